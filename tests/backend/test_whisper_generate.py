"""Hugging Face's Whisper, unmodified, through ``torch.compile``: real weights, real speech, eager's tokens."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from hearing import audio
from oracle import generation_config, hugging_face
from ttscribe.audio import load_audio, log_mel
from ttscribe.compiler.capture.dynamo import captured
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.program import Reason
from ttscribe.compiler.report import CompileReport
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.whisper.checkpoints import Checkpoint

# One worker makes what the tests share, once.
pytestmark = pytest.mark.xdist_group("Hugging Face's Whisper")

CACHES = {"static": {"cache_implementation": "static"}, "growing": {}}
# Encoder, prompt and step; where the cache grows the second step is the first with a symbolic length.
GRAPHS = {"static": 3, "growing": 4}
OTHERS = {"tiny.en": ("en-quick_brown_fox", "en-counting"), "base": ("en-quick_brown_fox",)}
MOVES = ("ttnn.from_torch", "ttnn.to_torch", "ttnn.deallocate")


@dataclass
class Door:
    """One model twice, in eager mode and compiled, its weights shared."""

    checkpoint: Checkpoint
    cache: str
    reports: list[CompileReport] = field(default_factory=list)

    @cached_property
    def eager(self) -> WhisperForConditionalGeneration:
        model = hugging_face(self.checkpoint.model)
        model.generation_config = generation_config(self.checkpoint, model)
        return model

    @cached_property
    def compiled(self) -> WhisperForConditionalGeneration:
        model = hugging_face(self.checkpoint.model)
        model.generation_config = generation_config(self.checkpoint, model)
        options: dict[str, Any] = {"precision": "exact", "report": self.reports.append}
        model.get_encoder().compile(backend="ttnn", options=options)
        model.compile(backend="ttnn", options=options)
        return model

    def tokens(self, model: WhisperForConditionalGeneration, clip: Path) -> list[int]:
        mel = torch.from_numpy(log_mel(load_audio(clip), model.config.num_mel_bins))[None]
        return model.generate(mel, **CACHES[self.cache])[0].tolist()


# Each model by one way through the same code: compiling takes half a minute.
DOORS = [("tiny_en", "static"), ("base", "growing")]


@pytest.fixture(scope="module", params=DOORS, ids="-".join)
def door(request):
    name, cache = request.param
    torch._dynamo.reset()
    yield Door(request.getfixturevalue(name), cache)
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def transcribed(door, beckett):
    """The first recording, for which everything is compiled: eager's tokens and ours."""
    return door.tokens(door.eager, beckett), door.tokens(door.compiled, beckett)


def test_tokens_are_eagers(transcribed, door):
    expected, ours = transcribed
    assert ours == expected
    assert len(ours) > 10


def test_another_recording_compiles_nothing_new(transcribed, door):
    clips = [audio(name)["audio"] for name in OTHERS[door.checkpoint.name]]
    expected = [door.tokens(door.eager, clip) for clip in clips]
    with torch._dynamo.config.patch(error_on_recompile=True):
        ours = [door.tokens(door.compiled, clip) for clip in clips]
    assert ours == expected
    assert len(door.reports) == GRAPHS[door.cache]


def test_every_fallback_is_reported_with_its_reason(transcribed, door):
    """With a static cache only the positions' 64-bit sums; with a growing one what its length reaches."""
    targets = {
        "static": {("aten.add.Tensor", Reason.DTYPE), ("aten.add.Tensor", Reason.SHAPE)},
        "growing": {
            ("aten.add.Tensor", Reason.SYMBOLIC_INTEGER),
            ("aten.cat.default", Reason.SYMBOLIC_SHAPE),
            ("aten.scaled_dot_product_attention.default", Reason.SYMBOLIC_SHAPE),
        },
    }
    fallbacks = [fallback for report in door.reports for fallback in report.fallbacks]
    assert {(fallback.target, fallback.reason) for fallback in fallbacks} == targets[door.cache]
    for report in door.reports:
        assert all(f"{item.target} on the host ({item.reason.value}): " in str(report) for item in report.fallbacks)
    assert all(report.share > 0.9 for report in door.reports)
    assert door.reports[0].share == 1


def test_what_ran_is_what_was_reported(transcribed, door):
    """The ledger of each graph is a whole number of runs of it, on the device and on the host."""
    runs = []
    for report in door.reports:
        on_device = sum(count for name, count in report.ledger.items() if name[:5] == "ttnn." and name not in MOVES)
        count, rest = divmod(on_device, report.calls)
        assert rest == 0
        on_host = {name: total for name, total in report.ledger.items() if not name.startswith("ttnn.")}
        declared = Counter(fallback.target for fallback in report.fallbacks)
        assert on_host == {name: total * count for name, total in declared.items()}
        runs.append(count)
    _, prompts, *steps = runs
    assert prompts == runs[0]
    assert sum(steps) >= len(transcribed[1]) - 1


def programs_of(module, *arguments):
    """The program of each graph that ``torch.compile`` makes of a call."""
    found = []

    def compile_aot(graph, _example_inputs):
        found.append(compile_graph(captured(graph), CompileSettings(policy("bf16-hifi3"))).program)
        return graph.forward

    torch._dynamo.reset()
    backend = torch._dynamo.backends.common.aot_autograd(fw_compiler=compile_aot)
    with torch.no_grad():
        torch.compile(module, backend=backend)(*arguments)
    return found


def test_the_encoder_keeps_every_high_level_operation_whole(tiny_en):
    """Query, key and value are one product; GELU is in the call before it; the table of positions is a constant."""
    (program,) = programs_of(hugging_face(tiny_en.model).get_encoder(), torch.zeros(1, 80, 3000))
    layers = tiny_en.model.config.encoder_layers
    assert Counter(op.target for op in program.ops if op.target not in MOVES) == {
        "ttnn.to_layout": 1,
        "ttnn.permute": 1,
        "ttnn.conv1d": 2,
        "ttnn.add": 1 + 2 * layers,
        "ttnn.layer_norm": 1 + 2 * layers,
        "ttnn.linear": 4 * layers,
        "ttnn.experimental.nlp_create_qkv_heads": layers,
        "ttnn.transformer.scaled_dot_product_attention": layers,
        "ttnn.experimental.nlp_concat_heads": layers,
        "ttnn.reshape": 1,
    }
    assert sum(op.attribute("activation") == "gelu" for op in program.ops) == layers
    assert not program.host_segments


def test_the_compiled_copy_of_a_model_does_not_compile_its_generate(tiny_en):
    """Why the model is compiled in place."""
    door = Door(tiny_en, "static")
    wrapped = torch.compile(door.eager, backend="ttnn", options={"report": door.reports.append})
    wrapped.generate(torch.zeros(1, 80, 3000), max_new_tokens=1)
    assert not door.reports
