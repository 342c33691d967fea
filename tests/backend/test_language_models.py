"""Other families of models through ``torch.compile``: tiny, random, with logits far enough apart to decide."""

from collections.abc import Callable

import pytest
import torch
import transformers as hf
from torch import nn

from ttscribe.compiler.program import Reason

SMALL = {"vocab_size": 128, "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}
PROMPT = torch.tensor([[17, 5, 90, 33, 8, 101]])

MODELS: dict[str, Callable[[], hf.PreTrainedModel]] = {
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=2, n_head=2, n_embd=64, n_positions=64, **SMALL)),
    "gpt_neo": lambda: hf.GPTNeoForCausalLM(
        hf.GPTNeoConfig(
            num_layers=2,
            num_heads=2,
            hidden_size=64,
            attention_types=[[["global", "local"], 1]],
            window_size=8,
            max_position_embeddings=64,
            **SMALL,
        )
    ),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            num_hidden_layers=2,
            num_attention_heads=2,
            hidden_size=64,
            ffn_dim=128,
            word_embed_proj_dim=64,
            max_position_embeddings=64,
            **SMALL,
        )
    ),
    "codegen": lambda: hf.CodeGenForCausalLM(
        hf.CodeGenConfig(n_layer=2, n_head=4, n_embd=64, rotary_dim=8, n_positions=64, n_ctx=64, **SMALL)
    ),
    "bert": lambda: hf.BertModel(
        hf.BertConfig(num_hidden_layers=2, num_attention_heads=2, hidden_size=64, intermediate_size=128, vocab_size=128)
    ),
    "t5": lambda: hf.T5ForConditionalGeneration(
        hf.T5Config(num_layers=2, num_heads=2, d_model=64, d_kv=32, d_ff=128, decoder_start_token_id=0, **SMALL)
    ),
}
GENERATING = {
    # The step with a symbolic length: attention written out in PyTorch has many operations of that length.
    "gpt2": 0.85,
    "gpt_neo": 0.55,
    "opt": 0.85,
    "codegen": 0.75,
}


def random(name: str) -> hf.PreTrainedModel:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_a_forward_is_eagers_and_lowered_whole(name, compiled):
    model = random(name)
    arguments = {"input_ids": PROMPT} | ({"decoder_input_ids": PROMPT[:, :3]} if name == "t5" else {})
    expected, ours = model(**arguments)[0], compiled(model)(**arguments)[0]
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)
    (report,) = compiled.reports
    assert report.share == 1


@pytest.mark.parametrize("name", GENERATING)
def test_generate_gives_eagers_tokens_with_a_growing_cache(name, compiled):
    model = random(name)
    options = {"max_new_tokens": 8, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    expected = model.generate(PROMPT, **options)
    model.compile(backend="ttnn", options={"precision": "exact", "report": compiled.reports.append})
    ours = model.generate(PROMPT, **options)
    assert ours.sequences.tolist() == expected.sequences.tolist()
    torch.testing.assert_close(ours.logits, expected.logits, rtol=1e-3, atol=1e-3)
    prompt, first, later = compiled.reports
    assert prompt.share == first.share == 1
    assert later.share > GENERATING[name]
    lengths = {Reason.SYMBOLIC_INTEGER, Reason.SYMBOLIC_SHAPE}
    # Positions that only the mask is made of, whose shape has the length.
    whole_numbers = [item.target for item in later.fallbacks if item.reason not in lengths]
    assert set(whole_numbers) <= {"aten.unsqueeze.default", "aten.expand.default", "aten.view.default"}
    assert sum(later.ledger.values()) > 6 * later.calls
