"""Captured graphs that were kept on disk are those that capture gives."""

import logging

import pytest
import torch

from compiler.building import SUPPRESSED, TINY
from ttscribe.compiler.capture import kept
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.whisper.model import random_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where graphs are kept, with nothing in it."""
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path))
    return tmp_path / "graphs"


def never():
    raise AssertionError("it is captured again")


@pytest.fixture
def only_kept(monkeypatch):
    """From here on nothing can be captured."""
    return lambda: monkeypatch.setattr("ttscribe.compiler.whisper_programs.capture_method", lambda *_, **__: never())


@pytest.mark.parametrize("name", ["cross_kv", "timed_step"])
def test_a_graph_is_read_as_it_was_captured(name, model, folder, only_kept):
    captured = capture_program(name, model, suppress=SUPPRESSED)
    only_kept()
    read = capture_program(name, model, suppress=SUPPRESSED)
    assert str(read.graph) == str(captured.graph)
    assert [described(node) for node in read.graph.nodes] == [described(node) for node in captured.graph.nodes]
    assert (read.name, read.inputs, read.roles) == (captured.name, captured.inputs, captured.roles)
    assert str((read.outputs, read.mutations)) == str((captured.outputs, captured.mutations))
    assert [*read.params] == [*captured.params]
    assert all(torch.equal(read.params[name], data) for name, data in captured.params.items())
    assert lower(read) == lower(captured)


def described(node):
    result = node.meta.get("val")
    return None if result is None else (result.shape, result.stride(), result.dtype, result.device)


def test_weights_are_those_of_the_model_at_hand(model, folder, only_kept):
    capture_program("greedy_step", model)
    only_kept()
    other = random_model(TINY, seed=1)
    read = capture_program("greedy_step", other, suppress=[3])
    embeddings = read.params["model_decoder_embed_tokens_weight"]
    assert torch.equal(embeddings, other.decoder.embed_tokens.weight)
    assert not torch.equal(embeddings, model.decoder.embed_tokens.weight)
    assert read.params["suppress"].argmin() == 3


def test_another_length_or_element_type_is_another_graph(model, folder):
    capture_program("cross_kv", model)
    capture_program("cross_kv", random_model(TINY).to(torch.bfloat16))
    capture_program("prefill", model, length=64)
    graph = capture_program("prefill", model, length=32).graph
    (tokens,) = (node for node in graph.find_nodes(op="placeholder") if node.name == "tokens")
    assert tokens.meta["val"].shape[-1] == 32
    assert len(list(folder.iterdir())) == 4


def test_a_graph_of_other_code_is_captured_anew_and_replaces_the_old(model, folder, monkeypatch):
    capture_program("cross_kv", model)
    (before,) = folder.iterdir()
    monkeypatch.setattr(kept, "_code", lambda: ("changed",))
    capture_program("cross_kv", model)
    (after,) = folder.iterdir()
    assert after != before


@pytest.mark.parametrize("text", ["{", '{"nodes": []}'])
def test_a_damaged_file_is_said_and_written_again(model, folder, text, caplog):
    captured = capture_program("cross_kv", model)
    (file,) = folder.iterdir()
    whole = file.read_text()
    file.write_text(text)
    with caplog.at_level(logging.WARNING, logger="ttscribe.compiler"):
        again = capture_program("cross_kv", model)
    assert str(again.graph) == str(captured.graph)
    assert "is damaged" in caplog.text
    assert file.read_text() == whole


def test_where_nothing_can_be_written_it_is_said_and_the_graph_is_there(model, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, logger="ttscribe.compiler"):
        captured = capture_program("cross_kv", model)
    assert captured.outputs
    assert "capturing again at each start" in caplog.text
