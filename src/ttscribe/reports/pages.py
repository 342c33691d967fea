"""A model's pages in Markdown: the summary, and the operation trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ttscribe.reports.markdown import table
from ttscribe.reports.model import FIGURES, Figure, ModelReport, ProgramSummary
from ttscribe.reports.operations import Variation

_STATUSES = ("lowered", "fused", "removed", "constant", "host", "blocked")
_TRACE = """# {model}: operation trace

Every ATen operation of every program with every variation of its inputs, and what became of it. *lowered*: TT-NN calls
of its own; *fused*: part of another operation's calls; *removed*: needs no call; *constant*: depends on weights and
shapes only, and is computed once at load; *host*: stays in PyTorch, with the reason; *blocked*: kept there by a
blocklist. *isolated* is the correlation of the operation alone, **emulated** under `{precision}`, with float32 PyTorch
on seeded inputs: absent where there is nothing to run alone.

## Summary
"""
_SUMMARY = """# {model}: report

{status} on {board}, `{precision}`, batch {batch}; weights: {weights}.{reasons}

Every figure carries a word: **validated** (TT-NN's host software on a mock board), **emulated** (numerics on the CPU),
**projected** (the cost model) or **measured**. A figure that could not be taken is not here. The operation trace is in
[input_variations.md](input_variations.md){performance}.

## Figures
"""
_PERFORMANCE = ", where the time would go in [performance.md](performance.md)"


_ON_A_CARD = """
In a clone of the repository, on a machine with the card, this takes the figures that are missing here, judges the
accuracy, and fills this model's row:

```sh
{command}
```

SPEECH is a folder of English recordings of at most 30 s with their texts, 500 words or more: a part of LibriSpeech,
such as `dev-clean/1272`, whose 73 utterances are those of `hf-internal-testing/librispeech_asr_dummy`, or a folder with
a `manifest.tsv` (columns `file` and `text`). Without `--device` the emulator is judged, and nothing is timed.
"""


def summary_page(report: ModelReport) -> str:
    """``report.md``: figures, programs, what stays on the host, and what a card's owner must run."""
    return "\n".join(_summary_lines(report)) + "\n"


def _summary_lines(report: ModelReport) -> Iterator[str]:
    reasons = f" Not done: {'; '.join(report.reasons)}." if report.reasons else ""
    yield _SUMMARY.format(
        model=report.model,
        status=report.status.value,
        board=report.board,
        precision=report.precision,
        batch=report.batch,
        weights=report.weights,
        reasons=reasons,
        performance=_PERFORMANCE if report.figure("ttft") else "",
    )
    rows = [(FIGURES[name], shown(figure), figure.word.value, figure.on) for name, figure in in_order(report)]
    yield from table(("figure", "value", "word", "taken on, made from"), rows)
    yield "\n## Programs (validated)\n"
    heads = ("program", "TT-NN calls", "device operations", "host segments", "DRAM added MiB", "peak L1 B/core", "at")
    yield from table(heads, map(_program_row, report.programs))
    yield "\n## What stays in PyTorch\n"
    yield from [f"- {line}" for line in report.fallbacks] or ["Nothing."]
    if report.findings:
        yield "\n## What the mock board refuses\n"
        yield from [f"- {line}" for line in report.findings]
    yield "\n## What ran and what was compiled\n"
    if report.ledger_differences is None:
        yield "Nothing ran: there are no weights of this model here."
    else:
        yield from [f"- {line}" for line in report.ledger_differences] or ["No difference."]
    if is_whisper(report):
        yield "\n## On a card\n"
        yield _ON_A_CARD.format(command=card_command(report))
    yield f"\nVersions: {', '.join(f'{name} {number}' for name, number in report.versions.items())}."


def card_command(report: ModelReport) -> str:
    """What somebody with a card runs in a clone of the repository."""
    how = f"--board {report.board} --device ttnn:{report.board} --precision {report.precision} --speech SPEECH"
    return f"ttscribe report {report.model} {how} --output docs/models/{report.model} --table README.md"


def is_whisper(report: ModelReport) -> bool:
    """Whether the report is of a Whisper model, which ``ttscribe report`` can measure."""
    return report.figure("device_operations_token") is not None


def in_order(report: ModelReport) -> list[tuple[str, Figure]]:
    """The figures that were taken, in the schema's order."""
    return [(name, report.figures[name]) for name in FIGURES if name in report.figures]


def shown(figure: Figure) -> str:
    """Value and unit as a person reads them."""
    value = figure.value
    if figure.unit.startswith("B"):
        return f"{value:,.0f} {figure.unit}"
    number = f"{value:,}" if isinstance(value, int) else f"{value:.5g}"
    return f"{number} {figure.unit}".strip()


def _program_row(program: ProgramSummary) -> Sequence[object]:
    return (
        f"`{program.name}`",
        program.calls,
        program.device_operations,
        program.host_segments,
        f"{program.dram_added / 2**20:,.1f}",
        "" if program.peak_l1 is None else f"{program.peak_l1:,}",
        "" if program.peak_l1_call is None else f"`{program.peak_l1_call}`",
    )


def trace_page(model: str, precision: str, variations: Sequence[Variation]) -> str:
    """``input_variations.md``."""
    return "\n".join(_trace_lines(model, precision, variations)) + "\n"


def _trace_lines(model: str, precision: str, variations: Sequence[Variation]) -> Iterator[str]:
    yield _TRACE.format(model=model, precision=precision)
    groups = {target: list(found) for target, found in groupby(variations, key=lambda variation: variation.target)}
    yield from table(
        ("ATen operation", "variations", "nodes", *_STATUSES, "lowest isolated PCC"),
        [_operation_row(target, found) for target, found in groups.items()],
    )
    for target, found in groups.items():
        yield f"\n## {target}\n"
        heads = ("input variation", "programs", "nodes", "status", "TT-NN calls", "isolated PCC", "host", "reason")
        yield from table(heads, map(_variation_row, found))


def _operation_row(target: str, found: Sequence[Variation]) -> Sequence[object]:
    counts = [sum(dict(each.statuses).get(status, 0) for each in found) for status in _STATUSES]
    correlations = [each.pcc for each in found if each.pcc is not None]
    lowest = f"{min(correlations):.5f}" if correlations else ""
    return (f"`{target}`", len(found), sum(each.count for each in found), *(count or "" for count in counts), lowest)


def _variation_row(each: Variation) -> Sequence[object]:
    return (
        f"`{each.inputs}`",
        ", ".join(each.programs),
        each.count,
        ", ".join(f"{status} {count}" for status, count in each.statuses),
        ", ".join(f"`{call}` {count}" for call, count in each.calls),
        "" if each.pcc is None else f"{each.pcc:.5f}",
        "yes" if each.on_host else "no",
        "; ".join(each.reasons),
    )
