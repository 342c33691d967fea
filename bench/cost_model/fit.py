"""Fits tt-metal's software to what it published, and writes it into the package's constants.

    bench/cost_model/fit.py [--write]

A release's figures for distil-large-v3 are seconds to the first token and for each token after. Each is taken to be
linear in what is fitted:

    overhead x device operations + slowdown x seconds at measured rates + (first token only) seconds of the host

The operations are those of our own programs, which stand in for tt-metal's: the fit charges whatever tt-metal does
beyond them (more operations, sampling on the host, reading tokens back) to the overhead. Overheads and the host's
seconds are at least zero, the slowdown at least one, and all figures count alike, by relative error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.program import Program
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.reports.constants import CHIPS, RELEASES, Release, Software
from ttscribe.reports.projection import FIRST_TOKEN, WITHOUT_TIMESTAMPS, project
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

MODEL = "distil-large-v3"
CONSTANTS = Path(__file__).resolve().parents[2] / "src" / "ttscribe" / "reports" / "constants.json"
TTFT, STEP = "TTFT", "step"
_EXCESS, _HOST = "excess", "host"


@dataclass(frozen=True, slots=True)
class Form:
    """What a fit has: an overhead for each release or only for traced and untraced, and the host's time or none."""

    name: str
    each_release: bool
    host: bool

    def overhead(self, release: Release) -> str:
        """The overhead that a release has."""
        return release.name if self.each_release else f"traced: {release.traced}"

    def names(self, releases: Sequence[Release]) -> list[str]:
        overheads = list(dict.fromkeys(map(self.overhead, releases)))
        return [*overheads, _EXCESS, *([_HOST] if self.host else [])]


FORMS = (
    Form("overhead with and without trace, slowdown", each_release=False, host=False),
    Form("overhead of each build, slowdown", each_release=True, host=False),
    Form("overhead of each build, slowdown, host", each_release=True, host=True),
)


@dataclass(frozen=True, slots=True)
class Residual:
    """A published figure in seconds beside the fit; ``held_out_s`` is what a fit without this figure projects.

    It is None where the others do not tell every parameter.
    """

    release: Release
    quantity: str
    published_s: float
    projected_s: float
    held_out_s: float | None

    @property
    def relative(self) -> float:
        return self.projected_s / self.published_s - 1


@dataclass(frozen=True, slots=True)
class Fit:
    """The software of each release, the number of values fitted, and what is left over at each published figure."""

    form: Form
    software: Mapping[str, Software]
    parameters: int
    residuals: tuple[Residual, ...]

    @property
    def worst(self) -> float:
        """The largest relative residual, as a fraction."""
        return max(abs(residual.relative) for residual in self.residuals)


@dataclass(frozen=True, slots=True)
class _Equation:
    """What a published figure is made of, in seconds and device operations."""

    release: Release
    quantity: str
    published_s: float
    device_s: float
    device_operations: int

    def row(self, form: Form, names: Sequence[str]) -> list[float]:
        parts = {form.overhead(self.release): float(self.device_operations), _EXCESS: self.device_s}
        if self.quantity == TTFT:
            parts[_HOST] = 1.0
        return [parts.get(name, 0.0) for name in names]

    def value(self, form: Form, fitted: Mapping[str, float]) -> float:
        row = self.row(form, list(fitted))
        return self.device_s + sum(part * value for part, value in zip(row, fitted.values(), strict=True))


def fit(programs: Mapping[str, Program], form: Form = FORMS[-1], releases: Sequence[Release] = RELEASES) -> Fit:
    """Fit ``form`` to what was published; ``programs`` are distil-large-v3's own, by name."""
    equations = list(chain.from_iterable(_equations(programs, release) for release in releases))
    names = form.names(releases)
    fitted = _least_squares(equations, form, names)
    software = {
        release.name: Software(fitted[form.overhead(release)], 1 + fitted[_EXCESS], fitted.get(_HOST, 0.0))
        for release in releases
    }
    residuals = tuple(_residual(each, equations, form, fitted) for each in equations)
    return Fit(form, software, len(names), residuals)


def _equations(programs: Mapping[str, Program], release: Release) -> list[_Equation]:
    bare = project(programs, CHIPS[release.chip], Software())
    published = ((TTFT, release.ttft_s, FIRST_TOKEN), (STEP, 1 / release.rate, WITHOUT_TIMESTAMPS))
    return [
        _Equation(
            release,
            quantity,
            seconds,
            sum(each.device_s for name in names for each in bare.programs[name]),
            sum(each.device_operations for name in names for each in bare.programs[name]),
        )
        for quantity, seconds, names in published
    ]


def _residual(equation: _Equation, equations: Sequence[_Equation], form: Form, fitted: Mapping[str, float]) -> Residual:
    others = [other for other in equations if other is not equation]
    names = list(fitted)
    held_out = equation.value(form, _least_squares(others, form, names)) if _determined(others, form, names) else None
    return Residual(equation.release, equation.quantity, equation.published_s, equation.value(form, fitted), held_out)


def _determined(equations: Sequence[_Equation], form: Form, names: Sequence[str]) -> bool:
    """Whether these figures tell every parameter apart."""
    rows = np.array([each.row(form, names) for each in equations])
    largest = rows.max(axis=0)
    return bool(largest.all()) and bool(np.linalg.matrix_rank(rows / largest) == len(names))


def _least_squares(equations: Sequence[_Equation], form: Form, names: Sequence[str]) -> dict[str, float]:
    """Least squares of the relative errors, with every value at least zero."""
    rows = np.array([each.row(form, names) for each in equations])
    wanted = np.array([each.published_s - each.device_s for each in equations])
    published = np.array([each.published_s for each in equations])
    # Columns are of very different size (launches count hundreds): scaled, so that none is taken for zero.
    largest = np.where(rows.max(axis=0) > 0, rows.max(axis=0), 1.0)
    values, _ = nnls(rows / published[:, None] / largest, wanted / published)
    return dict(zip(names, map(float, values / largest), strict=True))


def stand_ins() -> dict[str, Program]:
    """distil-large-v3's programs under the default policy."""
    model = shape_only_model(SIZES[MODEL])
    return {name: compile_graph(capture_program(name, model), CompileSettings()).program for name in PROGRAMS}


def rounded(software: Software) -> dict[str, float]:
    """As the constants have it: five figures, which the few published ones do not bear out."""
    values = {"overhead_s": software.overhead_s, "slowdown": software.slowdown, "host_s": software.host_s}
    return {name: float(f"{value:.5g}") for name, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the fitted values into constants.json")
    arguments = parser.parse_args()
    found = fit(stand_ins())
    for name, software in found.software.items():
        print(name, rounded(software))
    for each in found.residuals:
        print(f"{each.release.name}, {each.quantity}: {each.relative:+.1%} of time")
    if arguments.write:
        document = json.loads(CONSTANTS.read_text(encoding="utf-8"))
        for release in document["releases"]:
            release["software"] = rounded(found.software[release["name"]])
        CONSTANTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
