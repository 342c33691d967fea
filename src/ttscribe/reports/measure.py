"""Time to the first token and tokens a second, as tt-metal's demo defines them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mode

import torch

from ttscribe.audio import SAMPLE_RATE, load_audio, log_mel, window
from ttscribe.compiler.program import Program
from ttscribe.devices.programs import ProgramRunner
from ttscribe.errors import OptionError
from ttscribe.reports.model import Figure, Word
from ttscribe.types import AudioSource
from ttscribe.whisper.checkpoints import Checkpoint

_LONGEST_S = 30  # one window


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, and the tokens that were decoded after the first.

    ``ttft_s`` is from the start of feature extraction (waveform in memory, model warm) to the first token on the host;
    ``steps_s`` the time of the decode steps after it; ``first_run_s`` a first token and two steps, cold;
    ``audio_s`` the length of the recording.
    """

    first_run_s: float
    ttft_s: float
    steps_s: float
    tokens: int
    audio_s: float

    def figures(self, on: str) -> dict[str, Figure]:
        """The report's figures; batch 1, so that t/s is t/s/u. Without a step there is no rate."""
        taken = {"first_run": (self.first_run_s, "s"), "ttft": (1000 * self.ttft_s, "ms")}
        if self.tokens:
            rate = self.tokens / self.steps_s
            taken |= {"tsu": (rate, "t/s/u"), "ts": (rate, "t/s")}
            taken["rtf"] = ((self.ttft_s + self.steps_s) / self.audio_s, "")
        return {name: Figure(round(value, 4), unit, Word.MEASURED, on) for name, (value, unit) in taken.items()}


def measure(runner: ProgramRunner, checkpoint: Checkpoint, audio: AudioSource) -> Timing:
    """Transcribe one recording of at most 30 s greedily, without timestamps: once cold, then once for the times."""
    samples = load_audio(audio)
    if len(samples) > _LONGEST_S * SAMPLE_RATE:
        raise OptionError(f"times are taken of at most {_LONGEST_S} s, not of {len(samples) / SAMPLE_RATE:.0f} s")
    tokenizer = checkpoint.tokenizer
    prompt = tokenizer.prompt(checkpoint.languages[0], "transcribe", timestamps=False)
    # <|endoftext|> is not picked first, as checkpoint.begin_suppress_tokens has it.
    allowed = torch.zeros(runner.config.vocab_size)
    allowed[[*checkpoint.suppress_tokens, *checkpoint.begin_suppress_tokens]] = -torch.inf

    def first_token() -> tuple[object, int]:
        mel = window(log_mel(samples, runner.config.num_mel_bins), 0)[None]
        state = runner.start(runner.encode(mel))
        logits = runner.prefill(torch.tensor([prompt]), state)[0, -1]
        return state, int((logits + allowed).argmax())

    started = time.perf_counter()
    state, token = first_token()
    limit = runner.config.max_target_positions - len(prompt)
    runner.generate(token, len(prompt), state, limit=2, end=tokenizer.eot)
    warm = time.perf_counter()
    state, token = first_token()
    said = time.perf_counter()
    tokens = runner.generate(token, len(prompt), state, limit=limit, end=tokenizer.eot)
    done = time.perf_counter()
    return Timing(warm - started, said - warm, done - said, len(tokens), len(samples) / SAMPLE_RATE)


def ledger_differences(runner: ProgramRunner) -> tuple[str, ...]:
    """Where what a runner ran is not what was compiled: every operation of a program runs as often as the program."""
    return tuple(line for each in runner.loaded_programs() for line in differences(each.program, each.ledger))


def differences(program: Program, ledger: Mapping[str, int]) -> list[str]:
    """What ``ledger`` counts that a whole number of runs of ``program`` does not."""
    planned = Counter(op.target for op in program.ops)
    planned.update(op.target for segment in program.host_segments for op in segment.ops)
    # Most operations ran as often as the program: what differs is told, not what it is compared with.
    runs = mode(ledger.get(target, 0) // count for target, count in planned.items()) if planned else 0
    return [
        f"{program.name}: {target} ran {ledger.get(target, 0)} times, not {runs * planned[target]} for {runs} runs"
        for target in sorted({*planned, *ledger})
        if ledger.get(target, 0) != runs * planned[target]
    ]
