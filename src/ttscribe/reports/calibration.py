"""What tt-metal's published figures say about its software, fitted in the open.

A build is a release of tt-metal on a board; its figures for distil-large-v3 are seconds to the first token and for each
token after. Each is taken to be linear in what is fitted:

    overhead x device operations + slowdown x seconds at measured rates + (first token only) seconds of the host

The operations are those of our own programs, which stand in for tt-metal's: the fit charges whatever tt-metal does
beyond them (more operations, sampling on the host, reading tokens back) to the overhead. Overheads and the host's
seconds are at least zero, the slowdown at least one, and all figures count alike, by relative error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ttscribe.compiler.program import Program
from ttscribe.reports.hardware import BOARDS
from ttscribe.reports.projection import FIRST_TOKEN, NEXT_TOKEN, STATUS, Projection, Software, project

MODEL = "distil-large-v3"
TTFT, STEP = "TTFT", "step"
_EXCESS, _HOST = "excess", "host"


@dataclass(frozen=True, slots=True)
class Build:
    """A release of tt-metal on a board, and what was published of it: TTFT in seconds, t/s/u."""

    name: str
    board: str
    traced: bool
    ttft_s: float
    rate: float
    source: str


PUBLISHED = (
    Build("n150, no trace", "n150", False, 0.244, 54.7, "pytorch2.0_ttnn issue 1044 (tt-metal v0.58.0-rc22, May 2025)"),
    Build("n150, traced", "n150", True, 0.163, 105.0, "tt-metal README.md (v0.65.0-dev20251208)"),
    Build("p150, traced", "p150", True, 0.063, 263.4, "tt-metal README.md (December 2025)"),
    Build(
        "p150, traced, two queues",
        "p150",
        True,
        0.050,
        530.0,
        "tt-metal models/demos/audio/whisper/demo/demo.py, floor of its tests after pull request 43369 (2026)",
    ),
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a fit has: an overhead for each build or only for traced and untraced, and the host's time or none."""

    name: str
    each_build: bool
    host: bool

    def overhead(self, build: Build) -> str:
        """The overhead that a build has."""
        return build.name if self.each_build else f"traced: {build.traced}"

    def names(self, builds: Sequence[Build]) -> list[str]:
        overheads = list(dict.fromkeys(map(self.overhead, builds)))
        return [*overheads, _EXCESS, *([_HOST] if self.host else [])]


FORMS = (
    Form("overhead with and without trace, slowdown", each_build=False, host=False),
    Form("overhead of each build, slowdown", each_build=True, host=False),
    Form("overhead of each build, slowdown, host", each_build=True, host=True),
)


@dataclass(frozen=True, slots=True)
class Residual:
    """A published figure in seconds beside the fit; ``held_out_s`` is what a fit without this figure projects.

    It is None where the others do not tell every parameter.
    """

    status: ClassVar[str] = STATUS

    build: Build
    quantity: str
    published_s: float
    projected_s: float
    held_out_s: float | None

    @property
    def relative(self) -> float:
        return self.projected_s / self.published_s - 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """The software of each build, the number of values fitted, and what is left over at each published figure."""

    status: ClassVar[str] = STATUS

    form: Form
    software: Mapping[str, Software]
    parameters: int
    residuals: tuple[Residual, ...]

    @property
    def worst(self) -> float:
        """The largest relative residual, as a fraction."""
        return max(abs(residual.relative) for residual in self.residuals)


@dataclass(frozen=True, slots=True)
class _Figure:
    """One equation: what a published figure is made of, in seconds and device operations."""

    build: Build
    quantity: str
    published_s: float
    device_s: float
    device_operations: int

    def row(self, form: Form, names: Sequence[str]) -> list[float]:
        parts = {form.overhead(self.build): float(self.device_operations), _EXCESS: self.device_s}
        if self.quantity == TTFT:
            parts[_HOST] = 1.0
        return [parts.get(name, 0.0) for name in names]


def calibrate(
    programs: Mapping[str, Program], form: Form = FORMS[-1], builds: Sequence[Build] = PUBLISHED
) -> Calibration:
    """Fit ``form`` to what was published; ``programs`` are distil-large-v3's own, by name."""
    figures = list(chain.from_iterable(_figures(programs, build) for build in builds))
    names = form.names(builds)
    fitted = _fit(figures, form, names)
    software = {build.name: _software(build, form, fitted) for build in builds}
    residuals = tuple(_residual(figure, figures, form, names, fitted) for figure in figures)
    return Calibration(form, software, len(names), residuals)


def project_builds(
    programs: Mapping[str, Program], calibration: Calibration, builds: Sequence[Build] = PUBLISHED
) -> dict[str, Projection]:
    """The programs of any model on each build's board, with that build's software."""
    return {build.name: project(programs, BOARDS[build.board], calibration.software[build.name]) for build in builds}


def _figures(programs: Mapping[str, Program], build: Build) -> list[_Figure]:
    bare = project(programs, BOARDS[build.board], Software())
    published = ((TTFT, build.ttft_s, bare.total(FIRST_TOKEN)), (STEP, 1 / build.rate, bare.total(NEXT_TOKEN)))
    return [
        _Figure(build, quantity, seconds, total.device_s, total.device_operations)
        for quantity, seconds, total in published
    ]


def _software(build: Build, form: Form, fitted: Mapping[str, float]) -> Software:
    return Software(fitted[form.overhead(build)], 1 + fitted[_EXCESS], fitted.get(_HOST, 0.0))


def _residual(
    figure: _Figure, figures: Sequence[_Figure], form: Form, names: Sequence[str], fitted: Mapping[str, float]
) -> Residual:
    others = [other for other in figures if other is not figure]
    held_out = _value(figure, form, _fit(others, form, names)) if _determined(others, form, names) else None
    return Residual(figure.build, figure.quantity, figure.published_s, _value(figure, form, fitted), held_out)


def _determined(figures: Sequence[_Figure], form: Form, names: Sequence[str]) -> bool:
    """Whether these figures tell every parameter apart."""
    rows = np.array([figure.row(form, names) for figure in figures])
    largest = rows.max(axis=0)
    return bool(largest.all()) and bool(np.linalg.matrix_rank(rows / largest) == len(names))


def _value(figure: _Figure, form: Form, fitted: Mapping[str, float]) -> float:
    names = list(fitted)
    row = figure.row(form, names)
    return figure.device_s + sum(part * fitted[name] for part, name in zip(row, names, strict=True))


def _fit(figures: Sequence[_Figure], form: Form, names: Sequence[str]) -> dict[str, float]:
    """Least squares of the relative errors, with every value at least zero."""
    rows = np.array([figure.row(form, names) for figure in figures])
    wanted = np.array([figure.published_s - figure.device_s for figure in figures])
    scale = np.array([figure.published_s for figure in figures])
    values = _least_squares(rows / scale[:, None], wanted / scale)
    return dict(zip(names, map(float, values), strict=True))


def _least_squares(rows: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares over values of at least zero: the best of the fits with some of them left at zero."""
    count = rows.shape[1]
    fits = [np.zeros(count)]
    for kept in chain.from_iterable(combinations(range(count), size) for size in range(1, count + 1)):
        values = np.zeros(count)
        values[list(kept)] = np.linalg.lstsq(rows[:, kept], wanted, rcond=None)[0]
        fits.append(values)
    return min((fit for fit in fits if (fit >= 0).all()), key=lambda fit: float(((rows @ fit - wanted) ** 2).sum()))
