"""What it brings that threads which decode at the same time take their steps together, on the CPU in int8.

    bench/joined_steps.py [--models base,small,medium] [--threads 1,4,8] [--rounds 3]

Each thread encodes a window of noise and takes 103 tokens after it, as many as 30 s of read speech have, twice; weights
are random ones of the model's shape. Printed for each number of threads: seconds of sound a second, of all threads
together, with joined steps and with each thread's alone, in turn; and the ratio of the two, of each round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ttscribe.decoding import Picks, Rules, greedy_on_host
from ttscribe.devices.cpu.int8 import Int8Runner
from ttscribe.devices.cpu.packed import pack
from ttscribe.reports.kernel_times import WINDOW_TOKENS
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model

WINDOWS = 2


class Alone(Int8Runner):
    """Takes each thread's steps as that asks for them."""

    def decode_step(self, token: Tensor, position: Tensor, state: list[Any]) -> Tensor:
        return self._step(token, position, state)

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)


def speed(runner: Int8Runner, threads: int) -> float:
    """Seconds of sound a second."""
    mel = torch.randn(
        1, runner.config.num_mel_bins, runner.config.mel_frames, generator=torch.Generator().manual_seed(0)
    )
    rules = Rules.of((), (), None)

    def decode(_: int) -> None:
        state = runner.start(runner.encode(mel))
        runner.prefill(torch.tensor([[0, 1]]), state)
        runner.greedy([Picks([2], [0.0])], 2, state, rules, limit=WINDOW_TOKENS, end=-1)

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, range(WINDOWS * threads)))
    return WINDOWS * threads * 30 / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="base,small,medium")
    parser.add_argument("--threads", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for model in arguments.models.split(","):
        config = WhisperConfig.named(model)
        packed = pack(random_model(config))
        runners = Int8Runner(packed, config), Alone(packed, config)
        speed(runners[0], 1)
        for threads in map(int, arguments.threads.split(",")):
            rounds = []
            for _ in range(arguments.rounds):
                each = [speed(runner, threads) for runner in runners]
                rounds.append((*each, each[0] / each[1]))
            said = "; ".join(f"{ours:.1f} and {theirs:.1f}, {ratio:.2f}" for ours, theirs, ratio in rounds)
            print(f"{model}, {threads} at once: {said}", flush=True)


if __name__ == "__main__":
    main()
