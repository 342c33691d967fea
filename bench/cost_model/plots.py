"""Plots of what kernels add up to, as SVG text: equal times give equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from math import log10

from ttscribe.reports.constants import Chip
from ttscribe.reports.schema import KernelTimes

_COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#44aa99", "#882255", "#999933"),
    *("#cc6677", "#88ccee", "#ddcc77", "#117733", "#332288", "#aa4499"),
    *("#661100", "#6699cc", "#000000", "#ddaa33"),
)
_WIDTH, _LEFT, _ROW = 980, 250, 22
_LEGEND_COLUMNS = 3
_MS = 1e3


def time_by_kind(times: Sequence[KernelTimes], board: str) -> str:
    """Three bars for each program, stacked by kind of call: at most, at least, and the floor, at the same scale."""
    programs = {name: list(found) for name, found in groupby(times, key=lambda each: each.program)}
    kinds = list(dict.fromkeys(each.call for each in times))
    colours = {kind: _COLOURS[index % len(_COLOURS)] for index, kind in enumerate(kinds)}
    parts = [_text(10, 18, f"Projected time by kind of call, {board}; each program at its own scale")]
    top = 34
    for name, calls in programs.items():
        parts += _bars(name, calls, colours, top)
        top += 3 * _ROW + 14
    parts += _legend(list(colours.items()), top + 8)
    return _svg(parts, top + 30 + 18 * (len(kinds) // _LEGEND_COLUMNS))


def _bars(name: str, calls: Sequence[KernelTimes], colours: dict[str, str], top: float) -> Iterator[str]:
    longest = sum(each.most_s for each in calls)
    for row, (label, field) in enumerate((("at most", "most_s"), ("at least", "least_s"), ("floor", "floor_s"))):
        y = top + row * _ROW
        yield _text(10, y + 15, f"{name}, {label} {sum(getattr(each, field) for each in calls) * _MS:.2f} ms")
        x = float(_LEFT)
        for each in calls:
            shown = getattr(each, field) / longest * (_WIDTH - _LEFT - 10)
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


def roofline(times: Sequence[KernelTimes], chip: Chip, board: str, fidelity: str) -> str:
    """FLOP/s over FLOP for each byte of DRAM, by the middle of the times: a point for each kind of call."""
    points = [
        (f"{each.program} {each.call}", each.flops / each.bytes_dram, 2 * each.flops / (each.least_s + each.most_s))
        for each in times
        if each.flops and each.bytes_dram
    ]
    parts = [_text(10, 18, f"Projected roofline, {board} at {fidelity}: dots by the middle, line the board's peak")]
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
