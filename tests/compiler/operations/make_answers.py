"""Makes ``answers.txt`` again: each of its calls, put to TT-NN itself on a mock n150.

    .venv/bin/python tests/compiler/operations/make_answers.py

The calls are the left sides of the file's lines: to ask another, add a line with the call alone, and run this.
The process that asks (``make_answers.py FOLDER``) may be ended by a call; another goes on with the next one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ANSWERS = Path(__file__).with_name("answers.txt")
SEPARATOR = " => "
REFUSED, ENDED = "refused", "ends the process"

# std::exception and its kinds, as nanobind translates them, and arguments that fit no signature.
REFUSALS = (RuntimeError, IndexError, ValueError, TypeError)


class Refused(Exception):
    """TT-NN raised."""


class Asked:
    """The module ttnn, a module in it or a function: a call notes in ``launched`` the device operations it launches."""

    def __init__(self, library: Any, device: Any, part: Any, launched: list[str]) -> None:
        self.library, self.device, self.part, self.launched = library, device, part, launched

    def __getattr__(self, name: str) -> "Asked":
        return Asked(self.library, self.device, getattr(self.part, name), self.launched)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        graph = self.library.graph
        self.device.clear_program_cache()
        graph.begin_graph_capture(graph.RunMode.NORMAL)
        try:
            return self.part(*args, **kwargs)
        except REFUSALS as error:
            raise Refused from error
        finally:
            self.launched[:] = device_operations(graph.end_graph_capture())


def device_operations(trace: list[dict[str, Any]]) -> Iterator[str]:
    """Names of what would be dispatched, in order, without the endings that they share."""
    for node in trace:
        name = node["params"]["name"] if node["node_type"] == "function_start" else ""
        if name.endswith("Operation"):
            yield name.removesuffix("Operation").removesuffix("Device")


class Board:
    """A mock board that answers calls written as in the file."""

    def __init__(self) -> None:
        import ttnn

        self.library, self.device = ttnn, ttnn.open_device(device_id=0)
        self.launched: list[str] = []
        self.names = {
            "T": self.tensor,
            "ttnn": Asked(ttnn, self.device, ttnn, self.launched),
            "GRID": ttnn.CoreGrid(y=8, x=8),
            "TILE": ttnn.TILE_LAYOUT,
            "RM": ttnn.ROW_MAJOR_LAYOUT,
            "DRAM": ttnn.DRAM_MEMORY_CONFIG,
            "L1": ttnn.L1_MEMORY_CONFIG,
            "bf16": ttnn.bfloat16,
            "bf8": ttnn.bfloat8_b,
            "bf4": ttnn.bfloat4_b,
            "f32": ttnn.float32,
            "i32": ttnn.int32,
            "u32": ttnn.uint32,
        }

    def tensor(self, *shape: int, dtype: Any = None, layout: Any = None, mem: Any = None) -> Any:
        return self.library.empty(
            list(shape),
            device=self.device,
            dtype=dtype or self.library.bfloat16,
            layout=layout or self.library.TILE_LAYOUT,
            memory_config=mem or self.library.DRAM_MEMORY_CONFIG,
        )

    def answer(self, call: str) -> str:
        try:
            made = eval(call, self.names)
        except Refused:
            return REFUSED
        outputs = made if isinstance(made, tuple | list) else [made]
        return f"{'; '.join(map(described, outputs))} | {','.join(self.launched)}".rstrip()


def described(tensor: Any) -> str:
    memory = tensor.memory_config()
    kinds = (tensor.dtype, tensor.layout, memory.buffer_type, memory.memory_layout)
    return " ".join([str(list(tensor.shape)), *(str(kind).rpartition(".")[2] for kind in kinds)])


def ask(folder: Path) -> None:
    """Answer the calls in ``folder``, each before the next is asked."""
    board = Board()
    with (folder / "answers").open("w", buffering=1) as answers:
        for call in json.loads((folder / "calls").read_text()):
            answers.write(f"{board.answer(call)}\n")
    # What TT-NN does while it shuts a mock board down is of no interest.
    os._exit(0)


def ask_in_a_process(calls: Sequence[str]) -> list[str]:
    """Answers of the first calls: all of them, or as far as the one that ended the process."""
    from ttscribe.devices.ttnn.mock import mock_environment

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "calls").write_text(json.dumps(calls))
        command = [sys.executable, __file__, name]
        done = subprocess.run(command, env=mock_environment("n150"), capture_output=True, text=True, check=False)
        opened = (folder / "answers").exists()
        answers = (folder / "answers").read_text().splitlines() if opened else []
    if done.returncode > 0 or not opened:
        raise RuntimeError(f"after {len(answers)} of {len(calls)} answers:\n{done.stderr}")
    return answers if done.returncode == 0 else [*answers, ENDED]


def answers_to(calls: Sequence[str]) -> list[str]:
    answers: list[str] = []
    while len(answers) < len(calls):
        answers += ask_in_a_process(calls[len(answers) :])
    return answers


def asked(text: str) -> list[str]:
    """The calls of a file."""
    return [line.partition(SEPARATOR)[0] for line in text.splitlines()]


def file_of(calls: Sequence[str], answers: Sequence[str]) -> str:
    return "".join(f"{call}{SEPARATOR}{answer}\n" for call, answer in zip(calls, answers, strict=True))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        calls = asked(ANSWERS.read_text())
        ANSWERS.write_text(file_of(calls, answers_to(calls)))
    else:
        ask(Path(sys.argv[1]))
