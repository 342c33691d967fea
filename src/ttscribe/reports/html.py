"""A model's report as one HTML page that needs nothing from the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ttscribe.compiler.cost import op_cost
from ttscribe.compiler.program import HostSegment, Op, Program
from ttscribe.reports.model import FIGURES, ModelReport
from ttscribe.reports.operations import Variation
from ttscribe.reports.pages import card_command, in_order, is_whisper, shown

_FREES = "ttnn.deallocate"
# What a call is drawn as: products, attention, convolutions, norms; everything else moves or adds.
_KINDS = (
    ("product", ("ttnn.linear", "ttnn.matmul")),
    ("attention", ("scaled_dot_product_attention",)),
    ("convolution", ("ttnn.conv1d",)),
    ("norm", ("norm", "softmax")),
    ("state", ("update_cache", "fill_cache", "ttnn.copy", "plus_one", "argmax")),
    ("boundary", ("from_torch", "to_torch")),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One step of a program as it is drawn: its kind gives the colour, its title what is shown under the pointer."""

    kind: str
    title: str


def page(
    report: ModelReport, programs: Mapping[str, Program], variations: Sequence[Variation], plots: Mapping[str, str]
) -> str:
    """The page; equal arguments give equal text. ``plots`` are SVG documents by title."""
    source = files("ttscribe.reports").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source).render(
        report=report,
        figures=[(name, FIGURES[name], shown(figure), figure) for name, figure in in_order(report)],
        programs=[(summary, list(blocks(programs[summary.name]))) for summary in report.programs],
        most_l1=max((summary.peak_l1 or 0 for summary in report.programs), default=0) or 1,
        most_dram=max((summary.dram_added for summary in report.programs), default=0) or 1,
        variations=variations,
        plots=[(title, Markup(svg)) for title, svg in plots.items()],  # noqa: S704 - our own drawings
        kinds=[kind for kind, _ in _KINDS] + ["other", "host"],
        command=card_command(report) if is_whisper(report) else None,
    )


def blocks(program: Program) -> Iterator[Block]:
    """A program's steps in order, frees left out."""
    for index, step in enumerate(program.body):
        if isinstance(step, HostSegment):
            yield Block("host", f"step {index}: PyTorch: {_reasons(step)}")
        elif step.target != _FREES:
            yield Block(_kind(step), f"step {index}: {step.target} {_made(step)}{_cost(program, step)}")


def _kind(op: Op) -> str:
    return next((kind for kind, parts in _KINDS if any(part in op.target for part in parts)), "other")


def _reasons(segment: HostSegment) -> str:
    return "; ".join(f"{each.target} ({each.reason.value}): {each.sentence}" for each in segment.fallbacks)


def _made(op: Op) -> str:
    return " ".join(str(list(value.spec.shape)) for value in op.outputs)


def _cost(program: Program, op: Op) -> str:
    cost = op_cost(op, {name: value.spec for name, value in program.values().items()})
    moved = (cost.bytes_read + cost.bytes_written) / 2**20
    return f", {cost.flops / 1e9:.3g} GFLOP, {moved:.3g} MiB" if cost.device_operations else ""
