"""docs/models/distil-large-v3/performance.md and its plots: what the cost model projects, from what, and why.

Made by ``bench/model_reports.py``. What ``ttscribe report`` writes under that name for any model and board is the part
about the kernels; this has both boards, tt-metal's published figures beside them, and what would make it faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from cost_model.check import their_step
from cost_model.gap import Gap, gaps, savings
from cost_model.plots import roofline, time_by_kind
from ttscribe.compiler.program import Program
from ttscribe.compiler.settings import policy
from ttscribe.reports.constants import CHIPS, CORE_RATE, PASSES, RELEASES, TILE_ROWS, Chip, Sourced
from ttscribe.reports.kernel_times import RATES, Range, added, first_token, kernel_times, real_time_factor, total
from ttscribe.reports.pages import kernel_tables, kernel_words, ms, percent, table
from ttscribe.reports.schema import KernelTimes
from ttscribe.reports.work import FIRST_TOKEN, NEXT_TOKEN, WITHOUT_TIMESTAMPS

MODEL = "distil-large-v3"
PAGE, TIME_PLOT, ROOFLINE_PLOT = "performance.md", "time_{board}.svg", "roofline_{board}.svg"
_LEAST_SHARE = 0.01
_NAMES = (*FIRST_TOKEN, *NEXT_TOKEN, *WITHOUT_TIMESTAMPS)


@dataclass(frozen=True)
class Subject:
    """distil-large-v3's programs by name, on each board that is shown."""

    boards: Mapping[str, Mapping[str, Program]]

    @property
    def precision(self) -> str:
        return next(iter(next(iter(self.boards.values())).values())).precision

    @cached_property
    def times(self) -> Mapping[str, list[KernelTimes]]:
        """By board, of all programs one after another."""
        return {
            board: [each for name in _NAMES for each in kernel_times(programs[name], CHIPS[board])]
            for board, programs in self.boards.items()
        }


def render(subject: Subject) -> dict[str, str]:
    """File names and their text; equal subjects give equal bytes."""
    files = {PAGE: "\n".join(_page(subject)) + "\n"}
    for board, times in subject.times.items():
        files[TIME_PLOT.format(board=board)] = time_by_kind(times, board)
        fidelity = policy(subject.precision).fidelity
        files[ROOFLINE_PLOT.format(board=board)] = roofline(times, CHIPS[board], board, fidelity)
    return files


def _page(subject: Subject) -> Iterator[str]:
    yield f"# {MODEL}: projected performance\n"
    yield _INTRODUCTION.format(precision=subject.precision)
    yield from table(("", "TTFT, ms", "t/s/u", "t/s/u without timestamps", "real-time factor"), _figures(subject))
    yield "\n## Beside tt-metal's\n"
    yield from _beside(subject)
    for board, times in subject.times.items():
        yield f"\n## What the kernels add up to, {board}\n"
        yield kernel_words(board)
        yield f"\n![time by kind of call]({TIME_PLOT.format(board=board)})"
        yield f"![roofline]({ROOFLINE_PLOT.format(board=board)})"
        yield from kernel_tables(times)
    yield "\n## What separates them from the limits\n"
    yield _GAP
    for board, programs in subject.boards.items():
        yield from _ranking(board, programs)
    yield "\n## What other programs would take\n"
    yield _SAVINGS
    for board, programs in subject.boards.items():
        yield f"\n{board}:"
        yield from table(("", "TTFT, ms", "a step, ms", "t/s/u"), _alternatives(programs, CHIPS[board]))
    yield "\n## Constants"
    yield from table(("board", "constant", "value", "unit", "source"), _constants(subject.boards))
    yield "\n## To recompute a figure\n"
    yield from _example(subject)


_INTRODUCTION = """\
Every time and rate on this page is *projected*: computed from the compiled programs (`{precision}`) and from what
others published. None was measured by us, and no card was involved. The programs are those that `transcribe` runs; a
range has each call at its slowest at one end, and at its fastest at the other."""

_GAP = """\
Time beyond the floor, by kind of call and by the middle of its range; the shares of a table add up to 100 %. The floor
is what the chip would take at its peak rates, with no time of the host and none between operations."""

_SAVINGS = """\
Each alternative by itself, the programs otherwise as they are. Which precisions keep the accuracy contract is in
`docs/accuracy.md`."""


def _figures(subject: Subject) -> Iterator[Sequence[object]]:
    for board, times in subject.times.items():
        steps = (total(times, names) for names in (NEXT_TOKEN, WITHOUT_TIMESTAMPS))
        factor = "{:.4f} to {:.4f}".format(*real_time_factor(times))
        yield (board, span(first_token(times)), *map(_rate, steps), factor)


def span(seconds: Range) -> str:
    """In ms, at least and at most."""
    return f"{ms(seconds[0])} to {ms(seconds[1])}"


def _rate(seconds: Range) -> str:
    return f"{1 / seconds[1]:.0f} to {1 / seconds[0]:.0f}"


def _beside(subject: Subject) -> Iterator[str]:
    yield "Published of tt-metal's hand-written Whisper; what its step takes of the card is made up of the same parts:"
    heads = ("build", "published TTFT, ms", "published t/s/u", "a step, ms", "of it on the card, projected", "source")
    yield from table(
        heads,
        (
            (
                each.name,
                f"{1e3 * each.ttft_s:.0f}",
                f"{each.rate:g}",
                ms(1 / each.rate),
                _theirs(each.chip),
                each.source,
            )
            for each in RELEASES
        ),
    )
    yield ""
    times = subject.times["n150"]
    step = [each for each in times if each.program == WITHOUT_TIMESTAMPS[0]]
    yield _WHY.format(
        theirs=_theirs("n150"),
        ours=span(total(times, WITHOUT_TIMESTAMPS)),
        operations=step[-1].device_operations,
        megabytes=f"{sum(each.bytes_dram for each in step) / 1e6:.0f}",
        encoder=percent(sum(total(times, ["encode"])) / sum(first_token(times))),
    )


def _theirs(board: str) -> str:
    return span(their_step(RATES[CHIPS[board]]))


_WHY = """\
* **Most of their n150's step is not the card's.** Its 98 operations take {theirs} ms by our parts, of 9.5 ms. The rest
  is the host's, of which no split is published: until 2026 all logits of 32 rows came to it in each step, were untiled
  and searched there, and some fifteen operations were launched one by one beside the trace. On the p150 the same step,
  with the token picked on the card and a second command queue, is within the range.
* **Ours is {operations} operations that move {megabytes} MB**, {ours} ms: weights of half the bytes and in the banks'
  shards, norms on eight cores, no transposes, and nothing that waits for the host.
* **TTFT is the encoder**: {encoder} of it. The prompt and the cross-attention's keys and values are small beside it."""


def _ranking(board: str, programs: Mapping[str, Program]) -> Iterator[str]:
    for figure, found in groupby(gaps(programs, CHIPS[board]), key=lambda each: each.figure):
        parts = list(found)
        beyond = added(*((each.least_s, each.most_s) for each in parts))
        yield f"\n{board}, {figure}: {span(beyond)} ms beyond the floor."
        yield from table(
            ("program", "calls", "at least, ms", "at most, ms", "share", "what would close it"), _rows(parts)
        )


def _rows(found: Sequence[Gap]) -> Iterator[Sequence[object]]:
    for gap in found:
        if gap.share >= _LEAST_SHARE:
            calls = f"{gap.device_operations} {gap.call}" if gap.program else gap.call
            yield (gap.program, calls, ms(gap.least_s), ms(gap.most_s), percent(gap.share), gap.change)
    lesser = [gap for gap in found if gap.share < _LEAST_SHARE]
    least, most = added(*((gap.least_s, gap.most_s) for gap in lesser))
    share = percent(sum(gap.share for gap in lesser))
    yield ("", f"{len(lesser)} lesser kinds", ms(least), ms(most), share, "")


def _alternatives(programs: Mapping[str, Program], chip: Chip) -> Iterator[Sequence[object]]:
    for each in savings(programs, chip):
        yield (each.alternative, span(each.ttft_s), span(each.step_s), _rate(each.step_s))


def _constants(boards: Mapping[str, object]) -> Iterator[Sequence[object]]:
    yield ("all", "FLOPs of a core", *_constant(CORE_RATE))
    yield ("all", "least rows of a product", *_constant(TILE_ROWS))
    for fidelity, passes in PASSES.items():
        yield ("all", f"passes at {fidelity}", *_constant(passes))
    for board in boards:
        chip = CHIPS[board]
        yield (board, "cores that a product uses", *_constant(chip.cores))
        yield (board, "clock", *_constant(chip.clock))
        yield (board, "DRAM, peak", *_constant(chip.dram_peak))


def _constant(constant: Sourced) -> Sequence[str]:
    return (f"{constant.value:g}", constant.unit, constant.source)


_EXAMPLE = """\
Peak FLOP/s = cores x clock x {core:g} / passes of the fidelity. A program's time is the sum over its calls;
`ttscribe compile {model} --program NAME --print` lists them with shapes, types and memory. What a kind of call takes is
`PARTS` in `src/ttscribe/reports/kernel_times.py`. For example `{call}` of `{program}` on an n150: {operations} calls
whose weights are in the DRAM banks' shards, {size} bytes with their biases:

    at least = {size} / 238e9 + {operations} x 5.4e-6 s = {least:.0f} us
    at most  = {size} / 200e9 + {operations} x 8e-6 s = {most:.0f} us

and with GELU of the feed-forward's tiles, {gelu} us a tile of the busiest of 12 cores, {all_least:.0f} to
{all_most:.0f} us."""


def _example(subject: Subject) -> Iterator[str]:
    program, rates = WITHOUT_TIMESTAMPS[0], RATES[CHIPS["n150"]]
    times = (each for each in subject.times["n150"] if each.program == program)
    found = next(each for each in times if each.call == "linear" and "qwen3_tts" in each.source)
    yield _EXAMPLE.format(
        core=CORE_RATE.value,
        model=MODEL,
        call=found.call,
        program=program,
        operations=found.device_operations,
        size=found.bytes_dram,
        least=1e6 * (found.bytes_dram / 238e9 + found.device_operations * 5.4e-6),
        most=1e6 * (found.bytes_dram / 200e9 + found.device_operations * 8e-6),
        gelu=" to ".join(map(str, rates.gelu)),
        all_least=1e6 * found.least_s,
        all_most=1e6 * found.most_s,
    )
