"""``ttscribe report tiny.en``, run once in a process for everything that looks at what it gives."""

from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner, Result

from ttscribe.cli.app import app
from ttscribe.compiler.compilation import Compiled
from ttscribe.reports import make
from ttscribe.reports.schema import Variation

# Tests that use it run in one worker.
GROUP = "report of tiny.en"


@dataclass(frozen=True)
class Ran:
    """The command's result, the folder that it wrote, and what was compiled and traced on the way."""

    result: Result
    folder: Path
    compiled: tuple[Compiled, ...]
    variations: tuple[Variation, ...]


_DONE: list[Ran] = []


def ran(factory):
    """``factory`` is pytest's, of temporary folders."""
    if not _DONE:
        _DONE.append(_run(factory.mktemp("report") / "tiny.en"))
    return _DONE[0]


def _run(folder):
    made = []

    def spied(request, **options):
        made.append(make_report(request, **options))
        return made[-1]

    make_report = make.make
    with mock.patch.object(make, "make", spied):
        result = CliRunner().invoke(app, ["report", "tiny.en", "--offline", "--output", str(folder)])
    ((report, compiled),) = made
    return Ran(result, folder, compiled, report.variations)
