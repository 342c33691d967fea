"""One system, one model, one process: loads, warms up, measures, and prints what it measured as a line of JSON.

Usage: python worker.py PLAN.json STARTED

STARTED is ``time.time()`` just before the process was started. The plan is an object with

* ``module``: of this folder, or importable, with a class System;
* ``weights``, a path, and ``setting``, what the module calls its arithmetic, or null;
* ``device`` and ``threads``;
* ``random``: whether the weights are random, so that no text ends;
* ``window_tokens``: tokens of each window then, and of the measurement of a token;
* ``clips``: files of float32 samples, mono, 16 kHz. Without any the model is loaded, and nothing else.

It runs where ttscribe is not installed, and its systems share no code but this. A System has

* ``transcribe(samples)``: the whole text, greedily; returns how many tokens it has, timestamps included;
* ``features(samples)``, ``encode(features)`` and ``decode(states, count)`` for the first window, where ``decode``
  returns how many tokens came; or ``stages(samples, count)``, which returns what ``staged`` does;
* ``about()``: what is to be known of how it computes, by name.
"""

import importlib
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# The stages are gone through so often, or until so many seconds are spent.
REPEATS, ENOUGH_S = 3, 20.0


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def staged(system: Any, samples: Any, count: int) -> dict[str, float]:
    """Seconds of the encoder, to the first token (features and encoder included), and of each of ``count`` tokens."""
    start = time.perf_counter()
    features = system.features(samples)
    featured = time.perf_counter()
    states = system.encode(features)
    encoded = time.perf_counter()
    system.decode(states, 1)
    first = time.perf_counter()
    more = seconds(lambda: decoded(system, states, 1 + count))
    return {
        "encoder": encoded - featured,
        "first_token": first - start,
        "token": (more - (first - encoded)) / count,
    }


def decoded(system: Any, states: Any, count: int) -> None:
    got = system.decode(states, count)
    if got != count:
        raise SystemExit(f"asked for {count} tokens, got {got}")


def stages(system: Any, samples: Any, count: int) -> dict[str, list[float]]:
    """What each repetition gave, by stage."""
    once = system.stages if hasattr(system, "stages") else lambda *given: staged(system, *given)
    found: list[dict[str, float]] = []
    began = time.perf_counter()
    while not found or (len(found) < REPEATS and time.perf_counter() - began < ENOUGH_S):
        found.append(once(samples, count))
    return {name: [each[name] for each in found] for name in found[0]}


def clip(system: Any, samples: Any) -> dict[str, float]:
    start = time.perf_counter()
    tokens = system.transcribe(samples)
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def peak_mib() -> float:
    """The most memory that this process held; Linux counts in ``ru_maxrss`` what the one that started it held too."""
    status = Path("/proc/self/status")
    told = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if told:
        return int(told[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def measured(system: Any, plan: dict[str, Any]) -> dict[str, Any]:
    clips = [np.load(path) for path in plan["clips"]]
    if not clips:
        return {}
    system.transcribe(clips[0])
    return {
        "stages": stages(system, clips[0], plan["window_tokens"]),
        "clips": [clip(system, samples) for samples in clips],
        "peak_mib": peak_mib(),
        "about": system.about(),
    }


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    system = importlib.import_module(plan["module"]).System(plan)
    load = time.time() - float(sys.argv[2])
    sys.stdout.write(json.dumps({"load": load, **measured(system, plan)}) + "\n")


if __name__ == "__main__":
    main()
