"""Time to the first token and tokens a second, as tt-metal's demo defines them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, mode

import numpy as np

from ttscribe.audio import first_window, load_audio
from ttscribe.compiler.program import HostSegment, Program
from ttscribe.decoding import Picks, Rules, TimestampGrammar
from ttscribe.devices.programs import ProgramRunner
from ttscribe.devices.provenance import Provenance
from ttscribe.devices.ttnn.runner import TtnnRunner
from ttscribe.devices.ttnn.simulator import refuse_time
from ttscribe.evaluation.speech import Clip
from ttscribe.reports.schema import Figure, figures
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
        rate = round(self.tokens / self.steps_s, 4) if self.tokens else None
        return figures(
            Provenance.MEASURED,
            on,
            first_run=round(self.first_run_s, 4),
            ttft=round(1000 * self.ttft_s, 4),
            tsu=rate,
            ts=rate,
            rtf=round(self.work_s / self.audio_s, 4) if self.tokens else None,
        )


def measure(runner: ProgramRunner, checkpoint: Checkpoint, speech: Sequence[Clip]) -> Timing:
    """Transcribe recordings greedily, with timestamps: the first once cold, then each for the times.

    Raises DeviceUnavailable on a simulator, whose seconds are no board's.
    """
    if isinstance(runner, TtnnRunner):
        refuse_time("nothing is timed on it")
    tokenizer = checkpoint.tokenizer
    prompt = tokenizer.prompt(checkpoint.languages[0], "transcribe", timestamps=True)
    longest = runner.config.max_target_positions - len(prompt)
    grammar = TimestampGrammar.of(tokenizer, checkpoint.max_initial_timestamp_index)
    rules = Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, grammar)

    def timed(clip: Clip, limit: int) -> tuple[float, float, int]:
        """Seconds to the first token and of the steps after it, and how many those are."""
        samples = load_audio(clip.path)
        started = time.perf_counter()
        mel = first_window(samples, runner.config.num_mel_bins, runner.log_power)
        state = runner.start(runner.encode(mel))
        token, logprob = rules.pick(runner.prefill(np.array([prompt]), state)[0, -1], [])
        said = time.perf_counter()
        picked = Picks([token], [logprob])
        runner.greedy([picked], len(prompt), state, rules, limit=limit, end=tokenizer.eot)
        return said - started, time.perf_counter() - said, len(picked.tokens) - 1

    # The first run compiles kernels and records traces; tt-metal's demo drops its first clip too.
    cold_first, cold_steps, _ = timed(speech[0], 3)
    first, steps, tokens = zip(*(timed(clip, longest) for clip in speech), strict=True)
    audio_s = sum(clip.seconds for clip in speech)
    return Timing(cold_first + cold_steps, median(first), sum(steps), sum(tokens), sum(first) + sum(steps), audio_s)


def ledger_differences(runner: ProgramRunner) -> tuple[str, ...]:
    """Where what a runner ran is not what was compiled: every operation of a program runs as often as the program."""
    return tuple(line for loaded in runner.loaded_programs() for line in differences(loaded.program, loaded.ledger))


def differences(program: Program, ledger: Mapping[str, int]) -> list[str]:
    """What ``ledger`` counts that a whole number of runs of ``program`` does not."""
    steps = (step.ops if isinstance(step, HostSegment) else (step,) for step in program.body)
    planned = Counter(op.target for ops in steps for op in ops)
    # Most operations ran as often as the program: what differs is told, not what it is compared with.
    runs = mode(ledger.get(target, 0) // count for target, count in planned.items()) if planned else 0
    return [
        f"{program.name}: {target} ran {ledger.get(target, 0)} times, not {runs * planned[target]} for {runs} runs"
        for target in sorted({*planned, *ledger})
        if ledger.get(target, 0) != runs * planned[target]
    ]
