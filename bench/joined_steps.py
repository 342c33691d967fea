"""What it brings to take decode steps together, on the CPU in int8: of threads, and of a batch's windows.

    bench/joined_steps.py [--models base,small,medium] [--threads 1,4,8] [--batches 4,8,16] [--rounds 3]

Windows are of noise, and have 103 tokens, as many as 30 s of read speech have; weights are random ones of the model's
shape. Printed are seconds of sound a second, of two kinds in turn, and the ratio of the two, of each round: for each
number of threads, which decode two windows each, with joined steps and with each thread's alone; for each size of a
batch, windows together and one after the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from ttscribe.decoding import Picks, Rules, greedy_on_host
from ttscribe.devices.cpu.int8 import Int8Runner
from ttscribe.devices.cpu.packing import pack
from ttscribe.reports.kernel_times import WINDOW_TOKENS
from ttscribe.types import FloatArray, IntArray
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model

WINDOWS = 2


class Alone(Int8Runner):
    """Takes each thread's steps as that asks for them."""

    def decode_step(self, token: IntArray, position: IntArray, state: list[Any]) -> FloatArray:
        return self._step(token, position, state)

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)


def decode(runner: Int8Runner, windows: int = 1) -> None:
    """So many windows together, from features to their last token."""
    config = runner.config
    mel = np.random.default_rng(0).standard_normal((1, config.num_mel_bins, config.mel_frames), np.float32)
    state = runner.start(runner.encode(np.repeat(mel, windows, 0)))
    runner.prefill(np.array([[0, 1]] * windows), state)
    picked = [Picks([2], [0.0]) for _ in range(windows)]
    runner.greedy(picked, 2, state, Rules.of((), (), None), limit=WINDOW_TOKENS, end=-1)


def of_threads(runner: Int8Runner, threads: int) -> float:
    """Seconds of sound a second of so many threads."""
    windows = WINDOWS * threads
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: decode(runner), range(windows)))
    return 30 * windows / (time.perf_counter() - began)


def of_windows(runner: Int8Runner, windows: int, together: int) -> float:
    """Seconds of sound a second of windows, so many at a time."""
    began = time.perf_counter()
    for _ in range(windows // together):
        decode(runner, together)
    return 30 * windows / (time.perf_counter() - began)


def compare(what: str, rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> None:
    """Print both, in turn, for each round."""
    taken = [(ours(), theirs()) for _ in range(rounds)]
    said = "; ".join(f"{one:.1f} and {other:.1f}, {one / other:.2f}" for one, other in taken)
    print(f"{what}: {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="base,small,medium")
    parser.add_argument("--threads", default="1,4,8")
    parser.add_argument("--batches", default="4,8,16")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for model in arguments.models.split(","):
        config = WhisperConfig.named(model)
        packed = pack(random_model(config))
        joined, alone = Int8Runner(packed, config), Alone(packed, config)
        decode(joined)
        for threads in map(int, filter(None, arguments.threads.split(","))):
            pair = partial(of_threads, joined, threads), partial(of_threads, alone, threads)
            compare(f"{model}, {threads} threads", arguments.rounds, *pair)
        for size in map(int, filter(None, arguments.batches.split(","))):
            pair = partial(of_windows, joined, size, size), partial(of_windows, joined, size, 1)
            compare(f"{model}, batches of {size}", arguments.rounds, *pair)


if __name__ == "__main__":
    main()
