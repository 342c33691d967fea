"""``ttscribe report tiny.en``, run once in a process for everything that looks at what it gives."""

from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner, Result

from ttscribe.cli import app
from ttscribe.reports import run
from ttscribe.reports.collect import Compilation

# Tests that use it run in one worker.
GROUP = "report of tiny.en"


@dataclass(frozen=True)
class Ran:
    """The command's result, the folder that it wrote, and what was compiled on the way, by model."""

    result: Result
    folder: Path
    compilations: dict[str, Compilation]


_DONE: list[Ran] = []


def ran(factory):
    """``factory`` is pytest's, of temporary folders."""
    if not _DONE:
        _DONE.append(_run(factory.mktemp("report") / "tiny.en"))
    return _DONE[0]


def _run(folder):
    compilations = {}

    def compile_whisper(name, model, settings):
        compilations[name] = run_compile(name, model, settings)
        return compilations[name]

    run_compile = run.compile_whisper
    with mock.patch.object(run, "compile_whisper", compile_whisper):
        result = CliRunner().invoke(app, ["report", "tiny.en", "--offline", "--output", str(folder)])
    return Ran(result, folder, compilations)
