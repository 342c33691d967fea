"""Which precision a CPU gets, why, and what is refused."""

import runpy
import stat
from dataclasses import replace

import pytest
import torch

from ttscribe import processor
from ttscribe.devices import make_runner
from ttscribe.devices.cpu import kernels, precision
from ttscribe.devices.cpu.kernels import building
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model

FAST = frozenset(building.ARCHITECTURES["x86_64"]["bf16"])


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """A CPU of these features, on which the library was built, or not."""

    def make(features, *, built=True, architecture="x86_64"):
        needs = building.ARCHITECTURES.get(architecture, {})
        libraries = {name: tmp_path / f"{name}.so" for name in needs}
        if built:
            for library in libraries.values():
                library.touch()
        monkeypatch.setattr(kernels, "NEEDS", needs)
        monkeypatch.setattr(kernels, "instructions", lambda: features)
        monkeypatch.setattr(processor, "instructions", lambda: features)
        monkeypatch.setattr(kernels, "LIBRARIES", libraries)

    return make


@pytest.mark.parametrize(
    ("features", "built", "chosen", "why"),
    [
        (FAST, True, "int8", "this CPU multiplies 8-bit numbers (AVX-512 VNNI, and bfloat16 for attention)"),
        (FAST - {"avx512_bf16"}, True, "int8", "8-bit numbers (AVX-512 VNNI)"),
        (FAST - {"avx512_vnni"}, True, "int8", "8-bit numbers (AVX2)"),
        (FAST, False, "bfloat16", "no int8: the kernels were not built: install g++"),
        (FAST - {"avx2"}, True, "bfloat16", "no int8: this CPU has no avx2"),
        (frozenset({"sse4_2"}), True, "float32", "no bfloat16: this CPU has neither amx_bf16 nor avx512_bf16"),
    ],
)
def test_the_fastest_is_chosen_and_the_reason_said(cpu, features, built, chosen, why):
    cpu(features, built=built)
    choice = precision.automatic(WhisperConfig.named("tiny.en"))
    assert choice.precision == chosen
    assert why in choice.why


ARM = frozenset({"asimd", "asimddp"})


@pytest.mark.parametrize(
    ("features", "chosen", "why"),
    [
        (ARM | {"i8mm"}, "int8", "this CPU multiplies 8-bit numbers (Arm's I8MM)"),
        (ARM, "int8", "this CPU multiplies 8-bit numbers (Arm's dot products)"),
        (frozenset({"asimd"}), "float32", "no int8: this CPU has no asimddp"),
    ],
)
def test_arms_cpus_have_libraries_of_their_own(cpu, features, chosen, why):
    cpu(features, architecture="aarch64")
    choice = precision.automatic(WhisperConfig.named("tiny.en"))
    assert choice.precision == chosen
    assert why in choice.why


def test_another_architecture_has_none(cpu, monkeypatch):
    cpu(frozenset(), architecture="riscv64")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert kernels.why_not() == "the kernels are for x86_64 and aarch64, and this is riscv64"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"encoder_attention_heads": 1}, "attention heads are not 64 wide in this model"),
        ({"decoder_ffn_dim": 200}, "a feed-forward network of this model is no multiple of 32 wide"),
        ({"num_mel_bins": 100}, "100 mel bins of this model are no multiple of 16"),
        ({"max_source_positions": 1501}, "this model has more than 1500 encoder positions or 448 tokens"),
    ],
)
def test_a_model_of_another_shape_is_not_for_the_kernels(cpu, small_model, change, why):
    cpu(FAST)
    model = random_model(replace(small_model.config, **change))
    assert precision.automatic(model.config).precision == "bfloat16"
    with pytest.raises(OptionError, match=f"int8 cannot be had: {why}; choose float32 or bfloat16"):
        make_runner("cpu", model, "int8")


def test_int8_on_a_cpu_without_it_is_refused(cpu, tiny_en):
    cpu(frozenset({"avx2"}))
    with pytest.raises(OptionError, match=r"int8 cannot be had: this CPU has no fma, f16c; choose float32"):
        make_runner("cpu", tiny_en.model, "int8")


def test_cuda_without_a_gpu_says_what_is_missing(tiny_en, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceUnavailable, match="no NVIDIA GPU that PyTorch can use is here"):
        make_runner("cuda", tiny_en.model)


def test_a_gpu_that_has_no_room_is_told_in_a_line(small_model, monkeypatch):
    def to(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (8, 6))
    monkeypatch.setattr(small_model, "to", to, raising=False)
    with pytest.raises(DeviceUnavailable, match="the GPU has no room for the model in bfloat16: end what else uses it"):
        make_runner("cuda", small_model)


@pytest.fixture
def elsewhere(tmp_path):
    """The file that builds, beside sources in another folder: as it is run by itself, its names by name."""
    for name in (*building.SOURCES, "building.py"):
        (tmp_path / name).write_bytes((building.FOLDER / name).read_bytes())
    return runpy.run_path(str(tmp_path / "building.py"))


def compiler(folder, script):
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_without_a_compiler_nothing_is_built(elsewhere, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(elsewhere["CannotBuild"], match=r"no C\+\+ compiler: install g\+\+"):
        elsewhere["build"]()


def test_a_compiler_that_fails_leaves_nothing(elsewhere, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", compiler(tmp_path, "echo bad instruction >&2; exit 1"))
    with pytest.raises(elsewhere["CannotBuild"], match="compiler fails: bad instruction"):
        elsewhere["build"]()
    assert not list(tmp_path.glob("libttscribe*"))


def test_a_library_takes_the_place_of_an_older_one(elsewhere, monkeypatch, tmp_path):
    old = tmp_path / "libttscribe-000000000000.so"
    old.touch()
    monkeypatch.setenv("CXX", compiler(tmp_path, 'for last; do :; done; echo library >"$last"'))
    made = [*elsewhere["LIBRARIES"].values()]
    assert elsewhere["build"]() == made
    assert sorted(tmp_path.glob("libttscribe*")) == sorted(made)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert elsewhere["build"]() == made


def test_a_compiler_that_knows_no_float16_makes_the_others(elsewhere, monkeypatch, tmp_path):
    script = 'for last; do :; done; case "$*" in *avx512fp16*) exit 1;; esac; echo library >"$last"'
    monkeypatch.setenv("CXX", compiler(tmp_path, script))
    made = [path for name, path in elsewhere["LIBRARIES"].items() if name != "fp16"]
    assert elsewhere["build"]() == made
    assert sorted(tmp_path.glob("libttscribe*")) == sorted(made)
