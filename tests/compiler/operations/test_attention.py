"""Attention and its cache."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from ttscribe.compiler.program import DType, Layout, Memory, Sharding, TensorSpec
from ttscribe.errors import EmulationError

SDPA = "ttnn.transformer.scaled_dot_product_attention"
IN_ROWS = Memory("l1", Sharding("height", (32, 32), 1))


def position(*values):
    return torch.tensor(values), TensorSpec((len(values),), DType.INT32, Layout.ROW_MAJOR)


@pytest.mark.parametrize("exact", [True, False])
def test_attention_is_torchs(run, exact):
    @settings(max_examples=40, deadline=None)
    @given(
        batch=st.integers(1, 3),
        heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]),
        queries=st.integers(1, 40),
        keys=st.integers(1, 90),
        kind=st.sampled_from(["full", "causal", "mask"]),
    )
    def check(batch, heads, queries, keys, kind):
        queries = keys if kind == "causal" else queries
        q = torch.randn(batch, heads[0], queries, 32)
        k, v = torch.randn(2, batch, heads[1], keys, 32)
        mask = torch.randn(batch, 1, queries, keys) if kind == "mask" else None
        keywords = {} if mask is None else {"attn_mask": mask}
        ours = run(SDPA, q, k, v, exact=exact, keywords=keywords, is_causal=kind == "causal")
        wanted = F.scaled_dot_product_attention(q, k, v, mask, is_causal=kind == "causal", enable_gqa=True)
        tolerance = 1e-5 if exact else 0.05
        torch.testing.assert_close(ours, wanted, rtol=tolerance, atol=tolerance)

    check()


def test_long_attention_is_the_same_piece_by_piece(run, monkeypatch):
    q, k, v = (torch.randn(1, 2, 300, 32) for _ in range(3))
    mask = torch.randn(1, 1, 300, 300)
    whole = run(SDPA, q, k, v, keywords={"attn_mask": mask}, is_causal=False)
    monkeypatch.setattr("ttscribe.compiler.operations.attention._SCORES_AT_ONCE", 40_000)
    assert torch.equal(run(SDPA, q, k, v, keywords={"attn_mask": mask}, is_causal=False), whole)


@pytest.mark.parametrize("exact", [True, False])
def test_decode_attends_up_to_its_position(run, exact):
    q, cache = torch.randn(1, 2, 4, 32), torch.randn(2, 4, 64, 32)
    positions, spec = position(3, 40)
    specs = [TensorSpec((1, 2, 4, 32)), *2 * [TensorSpec((2, 4, 64, 32))], spec]
    keywords = {"cur_pos_tensor": positions}
    ours = run(f"{SDPA}_decode", q, cache, cache, exact=exact, keywords=keywords, specs=specs)
    for user, last in enumerate((3, 40)):
        keys = cache[user, :, : last + 1]
        wanted = F.scaled_dot_product_attention(q[0, user][:, None], keys, keys)[:, 0]
        torch.testing.assert_close(ours[0, user], wanted, rtol=0.05, atol=1e-5 if exact else 0.05)
    poisoned = cache.clone()
    poisoned[0, :, 4:] = poisoned[1, :, 41:] = 1e4
    assert torch.equal(run(f"{SDPA}_decode", q, poisoned, cache, exact=exact, keywords=keywords, specs=specs), ours)


def test_heads_apart_and_together(run):
    fused = torch.randn(2, 1, 7, 3 * 4 * 32)
    q, k, v = run("ttnn.experimental.nlp_create_qkv_heads", fused, exact=True, num_heads=4, transpose_k_heads=True)
    split = fused.reshape(2, 7, 3, 4, 32).permute(2, 0, 3, 1, 4)
    assert torch.equal(q, split[0])
    assert torch.equal(k, split[1].mT)
    assert torch.equal(v, split[2])
    assert torch.equal(run("ttnn.experimental.nlp_concat_heads", q, exact=True), fused[..., : 4 * 32])


def test_queries_alone_and_keys_and_values_alone(run):
    create = "ttnn.experimental.nlp_create_qkv_heads"
    x, pair = torch.randn(1, 1, 7, 4 * 32), torch.randn(1, 1, 9, 2 * 4 * 32)
    q, k, _ = run(create, x, exact=True, num_heads=4, num_kv_heads=0)
    assert k.numel() == 0
    both = run(create, x, pair, exact=True, num_heads=4, num_kv_heads=4, transpose_k_heads=False)
    assert torch.equal(both[0], q)
    assert torch.equal(both[2], pair.reshape(9, 2, 4, 32)[:, 1].transpose(0, 1)[None])


def test_decode_heads_apart_and_together(run):
    fused = torch.randn(1, 1, 3, 3 * 4 * 32)
    q, k, v = run("ttnn.experimental.nlp_create_qkv_heads_decode", fused, exact=True, num_heads=4, num_kv_heads=4)
    assert torch.equal(torch.stack([q[0], k[0], v[0]], 1), fused.reshape(3, 3, 4, 32))
    specs = [TensorSpec((1, 3, 4, 32), memory=IN_ROWS)]
    rows = run("ttnn.experimental.nlp_concat_heads_decode", q, exact=True, specs=specs, num_heads=4)
    assert torch.equal(rows[0, 0, :3], q[0].flatten(1))


@pytest.mark.parametrize("dtype", [DType.BFLOAT16, DType.BFLOAT8_B])
def test_cache_update_writes_one_row_of_each_user(run, held, dtype):
    before = torch.randn(2, 4, 64, 32).bfloat16().float()
    cache = held(before.clone(), TensorSpec((2, 4, 64, 32), dtype))
    new, (positions, spec) = torch.randn(1, 2, 4, 32), position(3, 40)
    specs = [cache.spec, TensorSpec((1, 2, 4, 32), memory=IN_ROWS), spec]
    keywords = {"update_idxs_tensor": positions}
    run("ttnn.experimental.paged_update_cache", cache, new, keywords=keywords, specs=specs)
    wanted = before.clone()
    stored = run("ttnn.typecast", new.bfloat16().float(), dtype=dtype)
    for user, row in enumerate((3, 40)):
        wanted[user, :, row] = stored[0, user]
    assert torch.equal(cache.data, wanted)


def test_fused_cache_update_is_two(run, held):
    caches = [held(torch.randn(1, 4, 64, 32)) for _ in range(2)]
    new, (positions, spec) = torch.randn(1, 1, 4, 32), position(7)
    row = TensorSpec((1, 1, 4, 32), memory=IN_ROWS)
    specs = [caches[0].spec, row, caches[1].spec, row, spec]
    fused = "ttnn.experimental.paged_fused_update_cache"
    keywords = {"update_idxs_tensor": positions}
    run(fused, caches[0], new, caches[1], -new, exact=True, keywords=keywords, specs=specs)
    assert torch.equal(caches[0].data[:, :, 7], new[0])
    assert torch.equal(caches[1].data[:, :, 7], -new[0])


def test_position_outside_the_cache_is_an_error(run, held):
    cache, (positions, spec) = held(torch.zeros(1, 4, 64, 32)), position(64)
    specs = [cache.spec, TensorSpec((1, 1, 4, 32), memory=IN_ROWS), spec]
    keywords = {"update_idxs_tensor": positions}
    with pytest.raises(EmulationError, match=r"paged_update_cache\): position 64 is outside a cache of 64"):
        run("ttnn.experimental.paged_update_cache", cache, torch.zeros(1, 1, 4, 32), keywords=keywords, specs=specs)
