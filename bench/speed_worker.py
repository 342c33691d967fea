"""One system, one model, one process: loads, warms up, measures, and prints the result as JSON.

    python speed_worker.py SYSTEM WEIGHTS_FOLDER THREADS RANDOM CLIP.npy...

RANDOM is 1 where the weights are random. The first clip, which should be the shortest, is also the warm-up.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from speed_systems import SYSTEMS, TOKENS, System

REPEATS = 3


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def decoding(system: System) -> dict[str, list[float]]:
    """Seconds from encoder states to the first token, and seconds for each of the ``TOKENS`` after it."""
    states = system.encoder.result
    for count in (1, 1 + TOKENS):
        got = system.decode(states, count)
        if got != count:
            raise SystemExit(f"asked for {count} tokens, got {got}")
    first = [seconds(lambda: system.decode(states, 1)) for _ in range(REPEATS)]
    more = [seconds(lambda: system.decode(states, 1 + TOKENS)) for _ in range(REPEATS)]
    pairs = zip(first, more, strict=True)
    return {"first_token_seconds": first, "token_seconds": [(whole - one) / TOKENS for one, whole in pairs]}


def clip(system: System, samples: Any) -> dict[str, float]:
    start = time.perf_counter()
    tokens = system.transcribe(samples)
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def main() -> None:
    name, folder, threads, random, *paths = sys.argv[1:]
    clips = [np.load(path) for path in paths]
    start = time.perf_counter()
    system = SYSTEMS[name].make(Path(folder), int(threads), random == "1")
    loaded = time.perf_counter() - start
    system.transcribe(clips[0])
    decoded = decoding(system)
    system.encoder.seconds.clear()
    results = [clip(system, samples) for samples in clips]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    encoder = system.encoder.seconds
    print(
        json.dumps({"load_seconds": loaded, "clips": results, "encoder_seconds": encoder, **decoded, "peak_mib": peak})
    )


if __name__ == "__main__":
    main()
