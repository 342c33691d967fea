"""One run that takes every figure of a Whisper model's report that can be taken here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from ttscribe.check import CheckReport, Kind, check_programs
from ttscribe.check.programs import checkable
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import Compiled, Settings, compile_graph
from ttscribe.compiler.program import Program
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.reports.accuracy import EMULATOR, Accuracy
from ttscribe.reports.model import Figure, ModelReport, ProgramSummary, Word, counted, status_of
from ttscribe.reports.operations import Variation
from ttscribe.reports.projection import FIRST_TOKEN, Projection
from ttscribe.whisper.model import WhisperModel

_STEP = "greedy_step"
_TIMESTAMPED = "decode_step"  # takes the place of greedy_step where the host applies timestamp rules


@dataclass(frozen=True)
class Compilation:
    """A model's graphs and programs, and the seconds that they took on this machine's CPU."""

    model: str
    settings: Settings
    graphs: tuple[CapturedGraph, ...]
    compiled: tuple[Compiled, ...]
    seconds: float

    @property
    def programs(self) -> dict[str, Program]:
        return {each.program.name: each.program for each in self.compiled}


def compile_whisper(name: str, model: WhisperModel, settings: Settings) -> Compilation:
    """Capture and compile all of a model's programs."""
    started = time.perf_counter()
    graphs = [capture_program(program, model) for program in PROGRAMS]
    return compile_graphs(name, graphs, settings, time.perf_counter() - started)


def compile_graphs(name: str, graphs: Sequence[CapturedGraph], settings: Settings, seconds: float = 0.0) -> Compilation:
    """Compile captured graphs; ``seconds`` is what capturing them took."""
    started = time.perf_counter()
    compiled = tuple(compile_graph(captured, settings) for captured in graphs)
    return Compilation(name, settings, tuple(graphs), compiled, seconds + time.perf_counter() - started)


def check(compilation: Compilation, board: str) -> CheckReport:
    """Validate on a mock board."""
    return check_programs([checkable(each) for each in compilation.compiled], board)


def collect(
    compilation: Compilation,
    checked: CheckReport,
    projection: Projection | None,
    accuracy: Accuracy | None,
    variations: Sequence[Variation],
    *,
    weights: str,
    timing: Mapping[str, Figure] | None = None,
    differences: Sequence[str] | None = None,
) -> ModelReport:
    """The report. What could not be taken is None: ``accuracy`` without weights, ``timing`` without a card.

    ``timing`` are figures measured on the board, which stand in place of projected ones; ``differences`` those between
    what ran and what was compiled.
    """
    fallbacks = [
        f"{each.program.name}: {fallback.target}: {fallback.reason.value}: {fallback.sentence}"
        for each in compilation.compiled
        for fallback in each.report.fallbacks
    ]
    findings = _refusals(checked)
    status, reasons = status_of(
        fallbacks=fallbacks,
        findings=findings,
        accuracy=None if accuracy is None else accuracy.verdict,
        differences=differences or (),
    )
    return ModelReport(
        compilation.model,
        weights,
        checked.board,
        compilation.settings.precision.name,
        1,
        status,
        reasons,
        {name: version(name) for name in ("ttscribe", "ttnn", "torch")},
        {
            **_compiled_figures(compilation, variations),
            **_checked_figures(checked),
            **(_accuracy_figures(accuracy) if accuracy is not None else {}),
            **(_projected_figures(projection) if projection is not None else {}),
            **(timing or {}),
        },
        tuple(_summary(checked)),
        tuple(fallbacks),
        tuple(findings),
        None if differences is None else tuple(differences),
    )


def _compiled_figures(compilation: Compilation, variations: Sequence[Variation]) -> dict[str, Figure]:
    on_host = [variation for variation in variations if variation.on_host]
    counts = {
        "torch_ops_before": len({variation.target for variation in variations}),
        "torch_ops_remaining": len({variation.target for variation in on_host}),
        "variations_before": len(variations),
        "variations_remaining": len(on_host),
        "moves": sum(_crossings(program) for program in compilation.programs.values() if program.name != _TIMESTAMPED),
    }
    made = "the compiler's own count, of the programs that were validated"
    figures = {name: Figure(count, "", Word.VALIDATED, made) for name, count in counts.items()}
    return {"compile": Figure(round(compilation.seconds, 1), "s", Word.MEASURED, "this machine's CPU"), **figures}


def _crossings(program: Program) -> int:
    """Tensors that cross in a run: those moved by a call, and device inputs written and outputs read by the host."""
    moved = sum(op.target in ("ttnn.from_torch", "ttnn.to_torch") for op in program.ops)
    values = program.values()
    written = [value for value in program.inputs if value.on_device and not _stays(value.name)]
    read = [name for name in program.outputs if values[name].on_device and program.name != "encode"]
    return moved + len(written) + len(read)


def _stays(name: str) -> bool:
    """Whether a device input of a Whisper program is there already: state, or what another program made."""
    return name.startswith("state_") or name == "encoder_states"


def _refusals(checked: CheckReport) -> list[str]:
    """What the mock board found but host segments, which are told as fallbacks."""
    return [str(finding) for finding in checked.findings if finding.kind is not Kind.HOST_SEGMENT]


def _checked_figures(checked: CheckReport) -> dict[str, Figure]:
    findings = _refusals(checked)
    refused = f", which refuses {counted(len(findings), 'call')}" if findings else ""
    on, cpu = f"TT-NN {checked.ttnn} on a mock {checked.board}{refused}", "this machine's CPU"
    launches = {program.program: program.launches for program in checked.programs}
    figures = {
        "host_segments": Figure(sum(each.host_segments for each in checked.programs), "", Word.VALIDATED, on),
        "dram": Figure(max(each.dram_held for each in checked.programs), "B", Word.VALIDATED, on),
        "check": Figure(round(sum(each.seconds for each in checked.programs), 1), "s", Word.MEASURED, cpu),
    }
    if _STEP in launches:
        window = sum(launches[name] for name in FIRST_TOKEN)
        figures["device_operations_window"] = Figure(window, "", Word.VALIDATED, on)
        figures["device_operations_token"] = Figure(launches[_STEP], "", Word.VALIDATED, on)
    else:
        figures["device_operations"] = Figure(sum(launches.values()), "", Word.VALIDATED, on)
    peaks = [each.peak_l1 for each in checked.programs if each.peak_l1 is not None]
    if len(peaks) == len(checked.programs):
        figures["peak_l1"] = Figure(max(peaks), "B/core", Word.VALIDATED, on)
    return figures


def _accuracy_figures(accuracy: Accuracy) -> dict[str, Figure]:
    emulated = accuracy.device == EMULATOR
    where = "" if emulated else f", on {accuracy.device}"
    recordings = counted(accuracy.clips, "recording")
    forced = f"{recordings}, {accuracy.tokens} tokens{where}"
    freely = f"{recordings}, {accuracy.words} words"
    values = {
        "token_agreement": (100 * accuracy.agreement, "%", forced),
        "pcc_mean": (accuracy.mean_pcc, "", forced),
        "pcc_worst": (accuracy.worst_pcc, "", forced),
        "wer": (accuracy.wer, "%", f"{freely}{where}"),
    }
    word = Word.EMULATED if emulated else Word.MEASURED
    figures = {name: Figure(round(value, 5), unit, word, on) for name, (value, unit, on) in values.items()}
    fp32 = Figure(round(accuracy.fp32_wer, 5), "%", Word.MEASURED, f"{freely}, in PyTorch on a CPU")
    return {**figures, "wer_fp32": fp32}


def _projected_figures(projection: Projection) -> dict[str, Figure]:
    on = f"the cost model, calibrated, on {projection.board.name}"
    values = {
        "ttft_floor": (1000 * projection.ttft_s.floor, "ms"),
        "ttft": (1000 * projection.ttft_s.estimate, "ms"),
        "tsu_ceiling": (projection.rate.floor, "t/s/u"),
        "tsu": (projection.rate.estimate, "t/s/u"),
        "ts": (projection.rate.estimate, "t/s"),
    }
    return {name: Figure(round(value, 1), unit, Word.PROJECTED, on) for name, (value, unit) in values.items()}


def _summary(checked: CheckReport) -> list[ProgramSummary]:
    return [
        ProgramSummary(
            each.program,
            each.calls,
            each.launches,
            each.host_segments,
            each.dram_added,
            each.peak_l1,
            each.peak_l1_call,
        )
        for each in checked.programs
    ]
