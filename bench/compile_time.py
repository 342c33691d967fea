"""Seconds to capture, lower and optimise each Whisper program, and how they grow with the number of layers.

    bench/compile_time.py [--size distil-large-v3] [--layers 2,8,32] [--markdown docs/compiler.md]

No weights are needed, and every graph is captured anew. The process is warm (one small program is compiled first), and
what it made so far is frozen for the garbage collector, whose walk over half a million objects of PyTorch's would else
be counted in whichever step it falls. The second table varies the layers of encoder and decoder together, at the same
width.
"""

import argparse
import gc
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.cost import program_cost
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.operations import FREES
from ttscribe.compiler.passes import optimise
from ttscribe.compiler.program import Program
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import WhisperModel, shape_only_model

SETTINGS = CompileSettings()
BEGIN, END = "<!-- compile-time:begin -->", "<!-- compile-time:end -->"


def timed(name: str, model: WhisperModel) -> tuple[list[float], Program]:
    """Seconds of capture, lowering and passes, and the program."""
    marks = [time.perf_counter()]
    captured: CapturedGraph = capture_program(name, model)
    marks.append(time.perf_counter())
    lowered = lower(captured, SETTINGS)
    marks.append(time.perf_counter())
    final = optimise(lowered, SETTINGS)
    marks.append(time.perf_counter())
    return [after - before for before, after in pairwise(marks)], final


def by_program(size: str) -> Iterator[str]:
    model = shape_only_model(WhisperConfig.named(size))
    yield f"{size}, the true shape:\n"
    yield "| program | capture s | lowering s | passes s | TT-NN calls | device operations | host segments |"
    yield "|---|---|---|---|---|---|---|"
    for name in PROGRAMS:
        seconds, program = timed(name, model)
        calls = sum(op.target != FREES for op in program.ops)
        operations = program_cost(program).device_operations
        figures = [*(f"{second:.2f}" for second in seconds), calls, operations, len(program.host_segments)]
        yield f"| {name} | {' | '.join(map(str, figures))} |"


def by_layers(size: str, layers: list[int]) -> Iterator[str]:
    yield f"\nencode and greedy_step at {size}'s width, by layers of encoder and decoder:\n"
    yield "| layers | " + " | ".join(f"{name} {part} s" for name in ("encode", "greedy_step") for part in _PARTS) + " |"
    yield "|---|" + "---|" * 6
    for count in layers:
        model = shape_only_model(replace(WhisperConfig.named(size), encoder_layers=count, decoder_layers=count))
        seconds = [second for name in ("encode", "greedy_step") for second in timed(name, model)[0]]
        yield f"| {count} | {' | '.join(f'{second:.2f}' for second in seconds)} |"


_PARTS = ("capture", "lowering", "passes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="distil-large-v3")
    parser.add_argument("--layers", default="2,8,32")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        os.environ["TTSCRIBE_CACHE"] = folder
        lines = measure(arguments.size, [int(n) for n in arguments.layers.split(",")])
    print("\n".join(lines))
    if arguments.markdown is not None:
        before, _, rest = arguments.markdown.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        arguments.markdown.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


def measure(size: str, layers: list[int]) -> list[str]:
    """Both tables, in a warm process."""
    timed("greedy_step", shape_only_model(WhisperConfig(96, 8, 64, 1, 2, 128, 1, 2, 128, 50, 64)))
    gc.collect()
    gc.freeze()
    return [*by_program(size), *by_layers(size, layers)]


if __name__ == "__main__":
    main()
