"""What is known of the machine, and of a model's work."""

import time

import pytest
import torch

from ttscribe import processor
from ttscribe.bench import limits, machine
from ttscribe.bench.work import encoder_operations, layer_weights, vocabulary_weights
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model

CPUINFO = "processor\t: 0\nmodel name\t: A processor\nflags\t\t: fpu avx2 avx_vnni amx_tile\n"


@pytest.fixture(autouse=True)
def unread():
    """What was read of the processor is read again, before and after."""
    processor.described.cache_clear()
    yield
    processor.described.cache_clear()


def test_features_are_those_that_linux_lists(monkeypatch, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO)
    monkeypatch.setattr(processor, "_CPUINFO", file)
    assert (machine.processor(), machine.features()) == ("A processor", ("AVX2", "VNNI", "AMX"))


def test_where_nothing_is_listed_features_are_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "absent")
    assert machine.processor()
    assert machine.features() is None


def test_the_machine_has_cores_and_memory():
    here = machine.machine(1)
    assert here.cores >= 1
    assert here.memory_gib >= 1
    assert here.threads == 1


def test_limits_are_the_fastest_run():
    seconds = iter([0.03, 0.04, 0.02])
    assert 10 / 0.03 < limits.rate(lambda: time.sleep(next(seconds, 0.03)), 10) <= 10 / 0.02
    assert limits.rate(refuse, 10) is None


def refuse():
    raise RuntimeError("not implemented")


SMALL = WhisperConfig(51865, 80, 64, 2, 2, 256, 2, 2, 128, max_source_positions=50)


def test_the_encoders_work_is_what_its_layers_multiply():
    """Counted where each linear layer and convolution runs; attention multiplies twice, by keys and by values."""
    model, counted = random_model(SMALL), []
    for layer in model.encoder.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv1d):
            layer.register_forward_hook(
                lambda layer, _, output: counted.append(2 * output.numel() * layer.weight[0].numel())
            )
    model.encode(torch.zeros(1, 80, 100))
    attention = SMALL.encoder_layers * 2 * (2 * 50 * 50 * 64)
    assert encoder_operations(SMALL) == sum(counted) + attention


def test_a_token_is_multiplied_by_the_decoders_matrices():
    """The positions' matrix is added, and keys and values of cross-attention are made once for a window."""
    apart = ("embed_positions", "encoder_attn.k_proj", "encoder_attn.v_proj")
    read = [
        weight.numel()
        for name, weight in random_model(SMALL).decoder.named_parameters()
        if weight.ndim == 2 and not any(part in name for part in apart)
    ]
    assert layer_weights(SMALL) + vocabulary_weights(SMALL) == sum(read)
