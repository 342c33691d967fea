"""Runs checks in processes of their own: TT-NN may end the process that it is loaded into."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ttscribe.check.findings import AT_LOAD, CheckReport, Finding, Kind, ProgramCheck
from ttscribe.compiler.boards import board
from ttscribe.compiler.program import HostSegment, Program, Step
from ttscribe.compiler.serialise import to_json
from ttscribe.compiler.text import call_text
from ttscribe.devices.ttnn.mock import mock_environment
from ttscribe.errors import DeviceUnavailable

# A program that ends the process this often is not looked at further.
_MOST_CRASHES = 5


@dataclass(frozen=True)
class Checkable:
    """A program and a key for each of its constants: constants of equal keys are one tensor on the card."""

    program: Program
    keys: Mapping[str, str]


def check_programs(programs: Sequence[Checkable], board_name: str = "n150") -> CheckReport:
    """Run every call of ``programs`` on a mock board, one program after another on one device.

    Their weights and state stay on the device together, as they do when a model runs. Raises OptionError for an unknown
    board and DeviceUnavailable where the mock board cannot be opened at all.
    """
    board(board_name)
    with tempfile.TemporaryDirectory(prefix="ttscribe-check-") as folder:
        return _Check(programs, board_name, Path(folder)).run()


class _Check:
    def __init__(self, programs: Sequence[Checkable], board_name: str, folder: Path) -> None:
        self.programs, self.board_name, self.folder = programs, board_name, folder
        self.environment = mock_environment(board_name)
        self.skipped: list[tuple[int, int]] = []
        self.crashes: list[Finding] = []
        for index, checkable in enumerate(programs):
            (folder / f"{index}.program.json").write_text(to_json(checkable.program))
            (folder / f"{index}.keys.json").write_text(json.dumps(dict(checkable.keys)))

    def run(self) -> CheckReport:
        while True:
            finished = self._process()
            if finished.returncode == 0:
                return self._report()
            place = self._place()
            # A negative status is the signal that ended the process, which is how TT-NN dies; Python's own errors are
            # positive.
            if finished.returncode > 0 or place is None or len(self.crashes) == _MOST_CRASHES:
                said = finished.stderr.strip().splitlines()
                reason = said[-1] if said else _ended(finished.returncode)
                raise DeviceUnavailable(f"the mock {self.board_name} cannot be used: {reason}")
            self._note_crash(*place, finished.returncode)

    def _process(self) -> subprocess.CompletedProcess[str]:
        (self.folder / "skip.json").write_text(json.dumps(self.skipped))
        (self.folder / "place").unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "ttscribe.check.worker",
            str(self.folder),
            str(len(self.programs)),
            self.board_name,
        ]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)  # noqa: S603

    def _place(self) -> tuple[int, int] | None:
        """Program and step that were under way when the process ended."""
        noted = self.folder / "place"
        words = noted.read_text().split() if noted.exists() else []
        return (int(words[-2]), int(words[-1])) if len(words) >= 2 else None

    def _note_crash(self, index: int, step: int, status: int) -> None:
        program = self.programs[index].program
        self.skipped.append((index, step))
        call = "weights, inputs and state" if step == AT_LOAD else _call(program, program.body[step])
        self.crashes.append(Finding(program.name, step, Kind.CRASHED, call, _ended(status)))

    def _report(self) -> CheckReport:
        document: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        findings = [Finding(**{**finding, "kind": Kind(finding["kind"])}) for finding in document["findings"]]
        order = {checkable.program.name: at for at, checkable in enumerate(self.programs)}
        findings = sorted([*self.crashes, *findings], key=lambda finding: (order[finding.program], finding.step))
        return CheckReport(
            self.board_name,
            version("ttnn"),
            ", ".join(dict.fromkeys(checkable.program.precision for checkable in self.programs)),
            document["dram"],
            document["l1"],
            tuple(ProgramCheck(**program) for program in document["programs"]),
            tuple(findings),
        )


def _call(program: Program, step: Step) -> str:
    return "host segment" if isinstance(step, HostSegment) else call_text(program, step)


def _ended(status: int) -> str:
    if status < 0:
        return f"TT-NN ended the process ({signal.Signals(-status).name})"
    return f"TT-NN ended the process (exit status {status})"
