"""Time to the first token and tokens a second, as tt-metal's demo defines them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, mode

import torch

from ttscribe.audio import load_audio, log_mel, window
from ttscribe.compiler.program import Program
from ttscribe.decoding import Rules
from ttscribe.devices.programs import ProgramRunner
from ttscribe.reports.model import Figure, Word
from ttscribe.reports.speech import Clip
from ttscribe.whisper.checkpoints import Checkpoint


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds over recordings, and the tokens that were decoded after each one's first.

    ``ttft_s`` is the median from the start of feature extraction (waveform in memory, model warm) to the first token on
    the host; ``steps_s`` the time of all decode steps after it; ``work_s`` both of all recordings, whose length is
    ``audio_s``; ``first_run_s`` a first token and two steps, cold.
    """

    first_run_s: float
    ttft_s: float
    steps_s: float
    tokens: int
    work_s: float
    audio_s: float

    def figures(self, on: str) -> dict[str, Figure]:
        """The report's figures; batch 1, so that t/s is t/s/u. Without a step there is no rate."""
        taken = {"first_run": (self.first_run_s, "s"), "ttft": (1000 * self.ttft_s, "ms")}
        if self.tokens:
            rate = self.tokens / self.steps_s
            taken |= {"tsu": (rate, "t/s/u"), "ts": (rate, "t/s"), "rtf": (self.work_s / self.audio_s, "")}
        return {name: Figure(round(value, 4), unit, Word.MEASURED, on) for name, (value, unit) in taken.items()}


def measure(runner: ProgramRunner, checkpoint: Checkpoint, speech: Sequence[Clip]) -> Timing:
    """Transcribe recordings greedily, without timestamps: the first once cold, then each for the times."""
    tokenizer = checkpoint.tokenizer
    prompt = tokenizer.prompt(checkpoint.languages[0], "transcribe", timestamps=False)
    limit = runner.config.max_target_positions - len(prompt)
    rules = Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, None)

    def timed(clip: Clip, limit: int) -> tuple[float, float, int]:
        """Seconds to the first token and of the steps after it, and how many those are."""
        samples = load_audio(clip.path)
        started = time.perf_counter()
        mel = window(log_mel(samples, runner.config.num_mel_bins), 0)[None]
        state = runner.start(runner.encode(mel))
        token = int(rules.apply(runner.prefill(torch.tensor([prompt]), state)[0, -1], []).argmax())
        said = time.perf_counter()
        tokens = runner.generate(token, len(prompt), state, limit=limit, end=tokenizer.eot)
        return said - started, time.perf_counter() - said, len(tokens)

    cold_first, cold_steps, _ = timed(speech[0], 2)
    first, steps, tokens = zip(*(timed(clip, limit) for clip in speech), strict=True)
    audio_s = sum(clip.seconds for clip in speech)
    return Timing(cold_first + cold_steps, median(first), sum(steps), sum(tokens), sum(first) + sum(steps), audio_s)


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
