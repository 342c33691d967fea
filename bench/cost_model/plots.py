"""Plots of a projection as SVG text: equal projections give equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from math import log10

from ttscribe.reports.projection import Projection
from ttscribe.reports.schema import CallTimes

_COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#44aa99", "#882255", "#999933"),
    *("#cc6677", "#88ccee", "#ddcc77", "#117733", "#332288", "#aa4499"),
    *("#661100", "#6699cc", "#000000", "#ddaa33"),
)
_WIDTH, _LEFT, _ROW = 980, 250, 22
_LEGEND_COLUMNS = 3
_MS = 1e3


def short(target: str) -> str:
    """A TT-NN name without its namespaces."""
    return target.rpartition(".")[2]


def time_by_kind(projection: Projection, board: str) -> str:
    """Two bars for each program, stacked by kind of call: the estimate, and the floor at the same scale."""
    programs = _by_program(projection)
    kinds = list(dict.fromkeys(each.call for calls in programs.values() for each in calls if each.call))
    colours = {kind: _COLOURS[index % len(_COLOURS)] for index, kind in enumerate(kinds)}
    parts = [_text(10, 18, f"Projected time by kind of call, {board}; each program at its own scale")]
    top = 34
    for name, (whole, *calls) in programs.items():
        parts += _bars(name, whole, calls, colours, top)
        top += 2 * _ROW + 14
    parts += _legend([(short(kind), colour) for kind, colour in colours.items()], top + 8)
    return _svg(parts, top + 30 + 18 * (len(kinds) // _LEGEND_COLUMNS))


def _by_program(projection: Projection) -> dict[str, list[CallTimes]]:
    """The sum of each program, and those of its kinds of calls after it."""
    return {name: list(calls) for name, calls in groupby(projection.calls(), key=lambda each: each.program)}


def _bars(
    name: str, whole: CallTimes, calls: Sequence[CallTimes], colours: dict[str, str], top: float
) -> Iterator[str]:
    for row, (label, seconds) in enumerate((("estimate", whole.estimate_s), ("floor", whole.floor_s))):
        y = top + row * _ROW
        yield _text(10, y + 15, f"{name}, {label} {seconds * _MS:.2f} ms")
        x = float(_LEFT)
        for each in calls:
            shown = (each.floor_s if row else each.estimate_s) / whole.estimate_s * (_WIDTH - _LEFT - 10)
            colour = colours[each.call]
            yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{shown:.1f}" height="{_ROW - 4}" fill="{colour}"/>'
            x += shown


def _legend(entries: Sequence[tuple[str, str]], top: float) -> Iterator[str]:
    for index, (label, colour) in enumerate(entries):
        x, y = 10 + index % _LEGEND_COLUMNS * 310, top + index // _LEGEND_COLUMNS * 18
        yield f'<rect x="{x}" y="{y - 10:.1f}" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 16, y, label)


_PLOT = (80.0, 40.0, 560.0, 400.0)  # left, top, width and height of the roofline's axes, in pixels
_X, _Y = (-1, 4), (9, 15)  # powers of ten of FLOP/byte and FLOP/s


def roofline(projection: Projection, board: str, fidelity: str) -> str:
    """FLOP/s as estimated over FLOP for each byte of DRAM: a point for each kind of call of each program."""
    points = [
        (f"{each.program} {short(each.call)}", each.flops / each.bytes_dram, each.flops / each.estimate_s)
        for each in projection.calls()
        if each.call and each.flops and each.bytes_dram
    ]
    chip = projection.chip
    parts = [_text(10, 18, f"Projected roofline, {board} at {fidelity}: dots as estimated, line the board's peak")]
    parts += _axes()
    parts.append(_roof(chip.peak(fidelity), chip.dram_peak.value))
    parts += _points(points)
    return _svg(parts, 500)


def _at(intensity: float, rate: float) -> tuple[float, float]:
    left, top, width, height = _PLOT
    x = left + (log10(intensity) - _X[0]) / (_X[1] - _X[0]) * width
    return x, top + height - (log10(rate) - _Y[0]) / (_Y[1] - _Y[0]) * height


def _axes() -> Iterator[str]:
    left, top, width, height = _PLOT
    yield f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#888888"/>'
    for power in range(_X[0], _X[1] + 1):
        yield _text(_at(10.0**power, 1e9)[0] - 12, top + height + 18, f"{10.0**power:g}")
    for power in range(_Y[0], _Y[1] + 1):
        yield _text(left - 48, _at(1.0, 10.0**power)[1] + 4, f"1e{power}")
    yield _text(left + width / 2 - 60, top + height + 40, "FLOP / byte of DRAM")
    yield _text(10, top - 6, "FLOP/s")


def _roof(peak: float, bandwidth: float) -> str:
    corners = ((10.0 ** _X[0], 10.0 ** _X[0] * bandwidth), (peak / bandwidth, peak), (10.0 ** _X[1], peak))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_at(*corner) for corner in corners))
    return f'<polyline points="{path}" fill="none" stroke="#000000" stroke-width="1.5"/>'


def _points(points: Sequence[tuple[str, float, float]]) -> Iterator[str]:
    for index, (label, intensity, rate) in enumerate(points):
        x, y = _at(intensity, rate)
        colour = _COLOURS[index % len(_COLOURS)]
        legend = 54 + index * 18
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
        yield f'<circle cx="660" cy="{legend - 4}" r="5" fill="{colour}"/>'
        yield _text(670, legend, label)


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(parts: Iterable[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}"'
    style = 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([f"{head} {style}", *parts, "</svg>"]) + "\n"
