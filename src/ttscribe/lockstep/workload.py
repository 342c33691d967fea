"""What is compared: compiled programs with inputs, of Whisper on speech or of any module on what it is given."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ttscribe.audio import SAMPLE_RATE, load_audio, log_mel
from ttscribe.check.programs import capture_runs
from ttscribe.compiler.compilation import Compiled, compile_graph
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.steps import timestamp_ids
from ttscribe.compiler.whisper_programs import capture_program, filled_prompt
from ttscribe.errors import OptionError
from ttscribe.whisper.config import ENGLISH_VOCABULARY
from ttscribe.whisper.model import WhisperModel
from ttscribe.whisper.tokenizer import special_tokens

# 10 s of read English that come with the weights of the extra ttscribe[bundled].
_BUNDLED_SPEECH = ("moonshine_voice", "assets/beckett.wav")
_PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")


@dataclass(frozen=True)
class Workload:
    """A compiled program, a host value for each of its inputs by name, and where these come from."""

    compiled: Compiled
    inputs: Mapping[str, Any]
    about: str


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a Whisper model to keep; None keeps all. The weights of what is kept are its own.

    ``layers``: the first layers of encoder and decoder. ``frames``: the first mel frames of a window, an even number.
    ``vocabulary``: the first tokens.
    """

    layers: int | None = None
    frames: int | None = None
    vocabulary: int | None = None

    def __str__(self) -> str:
        kept = {"layers": self.layers, "mel frames": self.frames, "tokens": self.vocabulary}
        told = ((count, name if count != 1 else name.removesuffix("s")) for name, count in kept.items())
        return ", ".join(f"the first {count} {name}" for count, name in told if count is not None)


def cut_model(model: WhisperModel, cut: Cut) -> WhisperModel:
    """The model with what ``cut`` keeps; raises OptionError for less than one of anything, or an odd number of frames.

    What there are fewer of than ``cut`` would keep is kept whole.
    """
    for name in ("layers", "frames", "vocabulary"):
        if (count := getattr(cut, name)) is not None and count < 1:
            raise OptionError(f"--{name} {count}: at least 1 is kept")
    if cut.frames is not None and cut.frames % 2:
        raise OptionError(f"--frames {cut.frames}: two mel frames make one position, so it is an even number")
    config = model.config
    kept = replace(
        config,
        encoder_layers=min(config.encoder_layers, cut.layers or config.encoder_layers),
        decoder_layers=min(config.decoder_layers, cut.layers or config.decoder_layers),
        max_source_positions=min(config.max_source_positions, (cut.frames or config.mel_frames) // 2),
        vocab_size=min(config.vocab_size, cut.vocabulary or config.vocab_size),
    )
    with torch.device("meta"):
        smaller = WhisperModel(kept)
    own = model.state_dict()
    weights = {
        name: own[name][tuple(map(slice, like.shape))].contiguous() for name, like in smaller.state_dict().items()
    }
    smaller.load_state_dict(weights, assign=True)
    return smaller.eval().requires_grad_(requires_grad=False)


def speech_features(audio: Path | None, bins: int, frames: int) -> tuple[Tensor, str]:
    """Log-mel [1, frames, bins] of the beginning of a recording, and whose: bundled speech, or noise, without one."""
    samples, whose = _samples(audio)
    mel = torch.from_numpy(log_mel(samples, bins)[:, :frames])
    mel = torch.nn.functional.pad(mel, (0, frames - mel.shape[1]))
    return mel.T[None].contiguous(), f"{whose}, from its beginning"


def _samples(audio: Path | None) -> tuple[Any, str]:
    if audio is not None:
        return load_audio(audio), str(audio)
    package, path = _BUNDLED_SPEECH
    found = importlib.util.find_spec(package)
    bundled = None if found is None or found.origin is None else Path(found.origin).parent / path
    if bundled is not None and bundled.is_file():
        return load_audio(bundled), f"speech ({bundled.name} of {package})"
    noise = torch.randn(10 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) / 10
    return noise.numpy(), "seeded noise (no recording was given, and ttscribe[bundled] is not installed)"


@torch.no_grad()
def whisper_inputs(model: WhisperModel, name: str, mel: Tensor) -> list[Tensor]:
    """What a program of PROGRAMS is given in the middle of transcribing, in order, computed by PyTorch.

    ``mel`` is [1, frames, bins]; a decode step follows the prompt.
    """
    if name == "encode":
        return [mel]
    states = model.encode(mel.transpose(1, 2))
    cross = model.cross_kv(states)
    if name == "cross_kv":
        return [states, *(torch.zeros_like(tensor) for tensor in pytree.tree_leaves(cross))]
    state, prompt = model.new_state(cross), torch.tensor([prompt_of(model.config.vocab_size)])
    if name == "prefill":
        tokens, rows = filled_prompt(prompt, (0, -1), model.config)
        return [tokens, *pytree.tree_leaves(state), rows]
    logits = model.prefill(prompt, state)
    step = [logits[0, -1].argmax()[None], torch.tensor([prompt.shape[1]])]
    if name == "timed_step":
        # Any timestamp may come, and any text.
        ids = timestamp_ids(model.config.vocab_size)
        step += [torch.tensor([ids.begin]), torch.tensor([False]), torch.tensor([False])]
    return [*step, *pytree.tree_leaves(state)]


def prompt_of(vocab_size: int) -> tuple[int, ...]:
    """The prompt of English without timestamps; of a vocabulary that was cut, its first tokens."""
    if vocab_size < ENGLISH_VOCABULARY:
        return tuple(min(token, vocab_size - 1) for token in range(len(_PROMPT)))
    known = special_tokens(vocab_size)
    return tuple(known[token] for token in (_PROMPT if vocab_size > ENGLISH_VOCABULARY else _PROMPT[::3]))


def whisper_workloads(
    model: WhisperModel,
    suppress: Sequence[int],
    names: Sequence[str],
    settings: CompileSettings,
    audio: Path | None = None,
    cut: Cut | None = None,
) -> Iterator[Workload]:
    """The programs of these names, each compiled when it is asked for."""
    smaller = model if cut is None else cut_model(model, cut)
    config = smaller.config
    mel, whose = speech_features(audio, config.num_mel_bins, config.mel_frames)
    about = whose + (f"; of the model {cut}" if cut is not None and str(cut) else "")
    suppressed = [token for token in suppress if token < config.vocab_size]
    for name in names:
        captured = capture_program(name, smaller, suppress=suppressed)
        compiled = compile_graph(captured, settings)
        inputs = [tensor.clone() for tensor in whisper_inputs(smaller, name, mel.to(smaller.dtype))]
        yield Workload(compiled, _by_name(compiled, inputs), about)


def module_workloads(module: nn.Module, example_inputs: Sequence[Any], settings: CompileSettings) -> Iterator[Workload]:
    """Every graph that ``torch.compile`` makes of ``module(*example_inputs)``, on what the call gives it.

    Floating-point inputs whose elements are all the same, such as zeros, tell little: they become seeded normal
    numbers.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = [_varied(each, generator) for each in example_inputs]
    changed = sum(new is not old for new, old in zip(drawn, example_inputs, strict=True))
    about = f"the example inputs, {changed} of them seeded normal numbers" if changed else "the example inputs"
    for captured, given in capture_runs(module, lambda called: called(*drawn)):
        compiled = compile_graph(captured, settings)
        yield Workload(compiled, {value.name: given[value.name] for value in compiled.program.inputs}, about)


def _varied(example: Any, generator: torch.Generator) -> Any:
    if not isinstance(example, Tensor) or not example.is_floating_point() or example.numel() < 2:
        return example
    if not (example == example.flatten()[0]).all():
        return example
    return torch.randn(example.shape, generator=generator).to(example.dtype)


def _by_name(compiled: Compiled, inputs: Sequence[Tensor]) -> dict[str, Any]:
    return {value.name: tensor for value, tensor in zip(compiled.program.inputs, inputs, strict=True)}
