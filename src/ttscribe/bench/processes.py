"""Processes that measure: a fresh one for each system and round, so that its memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "peers"


class StepFailed(Exception):
    """A process did not do its work; the message is the last line that it wrote."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python, and how many threads the libraries that it loads may use."""

    python: Path
    threads: int

    def run(self, *arguments: str | Path, cache: Path | None = None) -> str:
        """Run it; its standard output. ``cache`` is where it keeps what it makes of weights, else where anybody does.

        StepFailed where it does not end well.
        """
        command = [str(self.python), *map(str, arguments)]
        done = subprocess.run(command, env=self._environment(cache), capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode < 0:
            raise StepFailed(f"killed by signal {-done.returncode}")
        if done.returncode:
            raise StepFailed(_last_line(done.stderr) or f"exit status {done.returncode}")
        return done.stdout

    def worker(self, plan: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """What ``peers/worker.py`` measures by ``plan``, which is written to ``folder``."""
        path = folder / "plan.json"
        path.write_text(json.dumps(plan), encoding="utf-8")
        output = self.run(SCRIPTS / "worker.py", path, str(time.time()), cache=folder / "cache")
        measured: dict[str, Any] = json.loads(_last_line(output))
        return measured

    def _environment(self, cache: Path | None) -> dict[str, str]:
        # The libraries read it when they load: a value left over from a shell would hold some of them back.
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        # A start is not to compile Python's modules: the first one does, and keeps them.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if cache is not None:
            environment["TTSCRIBE_CACHE"] = str(cache)
        if self.python != Path(sys.executable):
            # It would have the peers import what was installed for ttscribe.
            environment.pop("PYTHONPATH", None)
        return environment


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].removeprefix("ttscribe.errors.")
