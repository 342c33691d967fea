"""docs/models/<model>/performance.md and its plots: what the cost model projects, from what, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscribe.compiler.passes import policy
from ttscribe.compiler.program import Program
from ttscribe.reports.calibration import MODEL, PUBLISHED, Build, Calibration, calibrate, project_builds
from ttscribe.reports.calibration_section import calibration_section
from ttscribe.reports.gap import Gap, gaps, savings, small_overhead
from ttscribe.reports.hardware import BOARDS, CORE_RATE, N150, PASSES, TILE_ROWS, Sourced
from ttscribe.reports.markdown import MICRO, MILLI, ms, percent, table
from ttscribe.reports.plots import roofline, short, time_by_kind
from ttscribe.reports.projection import FIRST_TOKEN, NEXT_TOKEN, Projection, Range, Total, project

PAGE, TIME_PLOT, ROOFLINE_PLOT = "performance.md", "time_{board}.svg", "roofline_{board}.svg"
PROGRAMS = (*FIRST_TOKEN, *NEXT_TOKEN)
# The build whose software a board's tables and plots suppose: the last published of each board.
DETAILED = {build.board: build for build in PUBLISHED}
_LEAST_SHARE = 0.01
_MEGA, _GIGA = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Subject:
    """What a page is about: a model's programs, and the fit that its projections use."""

    model: str
    programs: Mapping[str, Program]
    calibration: Calibration
    stand_ins: Mapping[str, Program]

    @classmethod
    def of(cls, model: str, programs: Mapping[str, Program], stand_ins: Mapping[str, Program]) -> Subject:
        """``stand_ins`` are distil-large-v3's programs, which published figures are fitted with."""
        return cls(model, programs, calibrate(stand_ins), stand_ins)

    @property
    def precision(self) -> str:
        return next(iter(self.programs.values())).precision

    def projections(self) -> dict[str, Projection]:
        return project_builds(self.programs, self.calibration)

    def detailed(self) -> dict[str, Projection]:
        """By board, with the software of the build that is shown in detail."""
        found = self.projections()
        return {board: found[build.name] for board, build in DETAILED.items()}


def write(folder: Path, subject: Subject) -> list[Path]:
    """Write the page and its plots into ``folder``; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = render(subject)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def render(subject: Subject) -> dict[str, str]:
    """File names and their text; equal subjects give equal bytes."""
    files = {PAGE: "\n".join(_page(subject)) + "\n"}
    fidelity = policy(subject.precision).fidelity
    for board, projection in subject.detailed().items():
        files[TIME_PLOT.format(board=board)] = time_by_kind(projection, PROGRAMS)
        files[ROOFLINE_PLOT.format(board=board)] = roofline(projection, PROGRAMS, fidelity)
    return files


def _page(subject: Subject) -> Iterator[str]:
    yield f"# {subject.model}: projected performance\n"
    yield _INTRODUCTION.format(precision=subject.precision)
    yield "\n## Projected figures\n"
    yield from _figures(subject)
    yield "\n## Where the time goes"
    for board, projection in subject.detailed().items():
        yield from _where(board, projection)
    yield "\n## Why tt-metal's figures are what they are\n"
    yield from _explanation(subject)
    yield "\n## What separates the estimate from the limits\n"
    yield _GAP
    for board, projection in subject.detailed().items():
        yield from _ranking(board, projection)
    yield "\n## What would be saved\n"
    yield _SAVINGS
    for board, projection in subject.detailed().items():
        yield from _saved(board, projection, subject)
    yield "\n## Calibration\n"
    yield from calibration_section(subject.calibration, subject.stand_ins)
    yield "\n## Constants\n"
    yield from table(("board", "constant", "value", "unit", "source"), _constants())
    yield "\n## To recompute a figure\n"
    yield from _example(subject)


_INTRODUCTION = """\
Every time and rate on this page is *projected*: computed from the compiled programs (`{precision}`) and published
constants. None was measured by us, and no card was involved. What others published is called *published*.

For each TT-NN call of a program:

    compute  = FLOPs, padded to tiles of 32 x 32 / rate of products at the call's math fidelity
    DRAM     = bytes of operands and results in DRAM, padded / DRAM rate; what is in L1 counts nothing
    launch   = device operations x overhead
    floor    = max(compute, DRAM) at the board's peak rates
    estimate = slowdown x max(compute, DRAM) at measured rates + launch

A call is *bound* by the longest of the three. Times of calls add up: nothing is taken to overlap. What norms and
element-wise calls compute is left out, for no rate of the vector unit is published. Attention over the cache counts all
of its slots, as in the last step of a window; FLOPs and bytes are those of the programs, one user. In the tables the
column *measured rates* is the sum of max(compute, DRAM) at measured rates, so that an estimate is
slowdown x measured rates + device operations x overhead, with both values from *Calibration*.

TTFT is from samples in memory to the first token: host + `encode` + `cross_kv` + `prefill`; its floor has no time of
the host. t/s/u is 1 / `greedy_step`: the floor of a step is the ceiling of t/s/u. So tt-metal defines them."""

_GAP = """\
Estimate less floor, each second under one cause; the shares of a table add up to 100 %. Calls are counted in device
operations; *others* are norms, sums and moves. *The host* is what the fit finds before the first token that no program
explains: features, and moving them."""

_SAVINGS = """\
Each alternative by itself, the programs otherwise as they are: the estimate and the floor fall by so many ms. They
overlap, and do not add up. Which precisions keep the accuracy contract is in `docs/accuracy.md`."""


def _figures(subject: Subject) -> Iterator[str]:
    headers = ("software as of", "TTFT floor, ms", "TTFT estimate, ms", "t/s/u ceiling", "t/s/u estimate")
    yield from table(headers, _figure_rows(subject))
    yield ""
    yield _READING.format(model=MODEL)


_READING = """\
*Small overhead*: the slowdown and host time as fitted, and for each operation beside its work the seconds of the small
product in *Constants*, which tt-metal measured from a trace. p150 without traces is absent, for nothing is published to
fit its overhead to. A chip of an n300 has the n150's constants.

For {model} the estimate of a published build is the fit itself: it says what tt-metal's software would make of our
programs, not how much faster ours are. What the fit leaves over is under *Calibration*."""


def _figure_rows(subject: Subject) -> Iterator[Sequence[object]]:
    for name, projection in subject.projections().items():
        yield (name, *_figure(projection))
    for board, projection in subject.detailed().items():
        software = small_overhead(projection.software, projection.board)
        yield (f"{board}, traced, small overhead", *_figure(project(subject.programs, projection.board, software)))


def _figure(projection: Projection) -> Sequence[str]:
    ttft, rate = projection.ttft_s, projection.rate
    return (f"{ttft.floor * MILLI:.1f}", f"{ttft.estimate * MILLI:.1f}", f"{rate.floor:.0f}", f"{rate.estimate:.1f}")


def _where(board: str, projection: Projection) -> Iterator[str]:
    yield f"\n### {board}, software as of *{DETAILED[board].name}*\n"
    headers = (
        "program",
        "device operations",
        "GFLOP",
        "DRAM, MB",
        "bound",
        "floor, ms",
        "measured rates, ms",
        "estimate, ms",
    )
    yield from table(headers, ((f"`{name}`", *_sums(projection.programs[name])) for name in PROGRAMS))
    yield f"\n![time by kind of call]({TIME_PLOT.format(board=board)})"
    yield f"![roofline]({ROOFLINE_PLOT.format(board=board)})"
    for name in PROGRAMS:
        total = projection.programs[name]
        yield f"\n`{name}` by kind of call:\n"
        rows = ((f"`{short(kind)}`", *_sums(each), _part(each, total)) for kind, each in total.by_kind().items())
        yield from table(("call", *headers[1:], "of estimate"), rows)


def _sums(total: Total) -> Sequence[object]:
    sizes = (f"{total.flops / _GIGA:.2f}", f"{total.bytes_dram / _MEGA:.2f}")
    return (total.device_operations, *sizes, total.bound, *map(ms, (total.floor_s, total.device_s, total.estimate_s)))


def _part(each: Total, total: Total) -> str:
    return percent(each.estimate_s / total.estimate_s)


def _explanation(subject: Subject) -> Iterator[str]:
    """The published figures taken apart, with distil-large-v3's programs as stand-ins."""
    projections = project_builds(subject.stand_ins, subject.calibration)
    yield "Published figures of " + MODEL + ", taken apart by the fit:\n"
    headers = (
        "build",
        "per operation, us",
        "launch in TTFT",
        "launch in a step",
        "of the t/s/u ceiling",
        "TTFT over floor",
    )
    yield from table(headers, (_explained(build, projections[build.name]) for build in PUBLISHED))
    yield ""
    first, traced, *_ = (projections[build.name] for build in PUBLISHED)
    step = first.total(NEXT_TOKEN)
    yield _WHY.format(
        operations=step.device_operations,
        first=first.software.overhead_s * MICRO,
        traced=traced.software.overhead_s * MICRO,
        small=first.board.small_product.value * MICRO,
        megabytes=step.bytes_dram / _MEGA,
        slowdown=first.software.slowdown,
        dram=percent(first.board.dram_measured.value / first.software.slowdown / first.board.dram_peak.value),
    )


_WHY = """\
* **A step is overhead, not work.** Ours is {operations} device operations that move {megabytes:.0f} MB. The fit charges
  {first:.0f} us to each without traces on an n150, and {traced:.0f} us with; yet tt-metal's small product takes
  {small:.2f} us in all from a trace. So what the fit calls overhead on a traced build is mostly not launching: it is
  operations beyond ours, sampling on the host, and waiting for it. The published t/s/u rose by what took that away.
* **TTFT is the encoder**: products and attention at {slowdown:.2f} times what a large product takes, and its share of
  launches. The prompt and the cross-attention's keys and values are small beside it.
* **DRAM is far from its limit**: the same slowdown leaves {dram} of n150's peak to what is bound by it."""


def _explained(build: Build, projection: Projection) -> Sequence[object]:
    launches = [
        sum(each.launch_s for each in projection.total(names).operations) for names in (FIRST_TOKEN, NEXT_TOKEN)
    ]
    return (
        build.name,
        f"{projection.software.overhead_s * MICRO:.1f}",
        percent(launches[0] / build.ttft_s),
        percent(launches[1] * build.rate),
        percent(build.rate / projection.rate.floor),
        f"{build.ttft_s / projection.ttft_s.floor:.1f} x",
    )


def _ranking(board: str, projection: Projection) -> Iterator[str]:
    parts: tuple[tuple[str, Sequence[str], float, Range], ...] = (
        ("TTFT", FIRST_TOKEN, projection.software.host_s, projection.ttft_s),
        ("a step", NEXT_TOKEN, 0.0, projection.step_s),
    )
    for title, names, host_s, span in parts:
        yield f"\n### {board}, {title}: {ms(span.estimate)} ms less {ms(span.floor)} ms\n"
        found = gaps(projection, names, host_s)
        shown = [gap for gap in found if gap.share >= _LEAST_SHARE]
        rest = sum(gap.seconds for gap in found[len(shown) :])
        headers = ("program", "calls", "cause", "ms", "share", "what would close it")
        last = (
            "",
            "",
            f"{len(found) - len(shown)} lesser ones",
            ms(rest),
            percent(1 - sum(g.share for g in shown)),
            "",
        )
        yield from table(headers, [*map(_gap_row, shown), last])


def _gap_row(gap: Gap) -> Sequence[object]:
    calls = f"{gap.device_operations} {gap.family}" if gap.program else ""
    return (gap.program, calls, gap.cause, ms(gap.seconds), percent(gap.share), gap.change)


def _saved(board: str, projection: Projection, subject: Subject) -> Iterator[str]:
    before = (ms(projection.ttft_s.estimate), ms(projection.step_s.estimate))
    yield "\n### {}, from TTFT {} ms and step {} ms\n".format(board, *before)
    headers = ("alternative", "TTFT, ms", "TTFT floor, ms", "step, ms", "step floor, ms", "t/s/u then")
    yield from table(
        headers,
        (
            (
                each.alternative,
                *map(ms, (each.ttft_s, each.ttft_floor_s, each.step_s, each.step_floor_s)),
                f"{1 / (projection.step_s.estimate - each.step_s):.1f}",
            )
            for each in savings(subject.programs, projection.board, projection.software)
        ),
    )


def _constants() -> Iterator[Sequence[object]]:
    yield ("all", "FLOPs of a core", *_constant(CORE_RATE))
    yield ("all", "least rows of a product", *_constant(TILE_ROWS))
    for fidelity, passes in PASSES.items():
        yield ("all", f"passes at {fidelity}", *_constant(passes))
    for board in BOARDS.values():
        known = () if board is N150 else tuple(N150.constants())
        for name, constant in board.constants():
            if (name, constant) not in known:
                yield (board.name, name, *_constant(constant))


def _constant(constant: Sourced) -> Sequence[str]:
    return (f"{constant.value:g}", constant.unit, constant.source)


_EXAMPLE = """\
Peak FLOP/s = cores x clock x {core:g} / passes of the fidelity. A program's time is the sum over its calls, each by the
formulas at the top; `ttscribe compile {model} --program NAME --print` lists them with shapes, types and memory.
For example the longest product of `{program}` on {board}, call {index} (`{target}` of {source}):

    compute  = {flops} FLOP / {measured:g} FLOP/s = {compute:.2f} us
    DRAM     = {size} byte / {bandwidth:g} byte/s = {dram:.2f} us
    launch   = {operations} x {overhead:.3f} us
    floor    = max({flops} / {peak:g}, {size} / {dram_peak:g}) s = {floor:.2f} us
    estimate = {slowdown:.4f} x {longer:.2f} + {launch:.2f} = {estimate:.2f} us"""


def _example(subject: Subject) -> Iterator[str]:
    name, (board, projection) = NEXT_TOKEN[0], next(iter(subject.detailed().items()))
    longest = max(projection.programs[name].operations, key=lambda each: (each.flops > 0, each.estimate_s))
    fidelity = policy(subject.precision).fidelity
    yield _EXAMPLE.format(
        core=CORE_RATE.value,
        model=subject.model,
        program=name,
        board=board,
        index=longest.index,
        target=longest.target,
        source=", ".join(f"`{node}`" for node in longest.source),
        flops=longest.flops,
        measured=longest.flops / longest.compute_s,
        compute=longest.compute_s * MICRO,
        size=longest.bytes_dram,
        bandwidth=projection.board.dram_measured.value,
        dram=longest.dram_s * MICRO,
        operations=longest.device_operations,
        overhead=projection.software.overhead_s * MICRO,
        peak=projection.board.peak(fidelity),
        dram_peak=projection.board.dram_peak.value,
        floor=longest.floor_s * MICRO,
        slowdown=projection.software.slowdown,
        longer=longest.device_s * MICRO,
        launch=longest.launch_s * MICRO,
        estimate=longest.estimate_s * MICRO,
    )
