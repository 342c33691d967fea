"""From a model to its report and pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ttscribe.check.programs import capture_calls
from ttscribe.compiler.blocklist import Block
from ttscribe.compiler.compilation import Settings
from ttscribe.compiler.passes import DEFAULT_POLICY, policy
from ttscribe.compiler.program import Program
from ttscribe.devices import make_runner, open_program_device, require_values
from ttscribe.devices.programs import ProgramRunner
from ttscribe.devices.ttnn.device import simulator
from ttscribe.errors import ModelNotFound, OptionError
from ttscribe.reports.accuracy import EMULATOR, Accuracy, recorded, summary
from ttscribe.reports.calibration import MODEL, PUBLISHED, project_builds
from ttscribe.reports.collect import Compilation, check, collect, compile_graphs, compile_whisper
from ttscribe.reports.compare import compare
from ttscribe.reports.hardware import BOARDS
from ttscribe.reports.html import page
from ttscribe.reports.measure import ledger_differences, measure
from ttscribe.reports.model import Figure, ModelReport, to_json
from ttscribe.reports.operations import Variation, trace
from ttscribe.reports.pages import summary_page, trace_page
from ttscribe.reports.performance import Subject, render
from ttscribe.reports.speech import Clip
from ttscribe.reports.tuning import Softwares, Trial, blocks, measured, projected, trials
from ttscribe.reports.words import require_packages
from ttscribe.types import ProgressCallback
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import WhisperModel, shape_only_model
from ttscribe.writers import make_folder, write_text

# The cost model has one chip of an n300 as an n150.
_CHIP = {"n300": "n150"}


@dataclass(frozen=True)
class Request:
    """What to report on: a model's shape, how to compile it, and for which board.

    With ``speech`` the model's own weights are judged by it, on the emulator, or on the card ``device``, whose times
    are then measured too.
    """

    name: str
    model: WhisperModel
    settings: Settings
    board: str
    device: str | None = None
    speech: tuple[Clip, ...] = ()


@dataclass(frozen=True)
class Made:
    """A report and what its pages are rendered from."""

    report: ModelReport
    compilation: Compilation
    variations: tuple[Variation, ...]
    subject: Subject | None


def make(request: Request, *, offline: bool = True, progress: ProgressCallback | None = None) -> Made:
    """Compile, validate, project, and run what there are weights for; ``progress`` is of the speech.

    For a card the programs have the model's own weights, so that they can run there again (``tuned``).

    Raises OptionError where a card is to be measured without speech, or another than the board, or a recording is
    longer than a window; DeviceUnavailable for a mock board; ModelNotFound where speech is given and there are no
    weights.
    """
    _require_measurable(request)
    checkpoint = _checkpoint(request, offline=offline)
    model = request.model if request.device is None or checkpoint is None else checkpoint.model
    compilation = compile_whisper(request.name, model, request.settings)
    checked = check(compilation, request.board)
    subject = Subject.of(request.name, compilation.programs, _stand_ins(compilation))
    variations = tuple(trace(compilation.graphs, request.settings))
    ran = _Ran() if checkpoint is None else _run(request, checkpoint, progress)
    report = collect(
        compilation,
        checked,
        subject.detailed().get(_CHIP.get(request.board, request.board)),
        ran.accuracy or recorded().get((request.name, request.settings.precision.name)),
        variations,
        weights="none (the model's shape only)" if checkpoint is None else f"{checkpoint.name}, its own",
        timing=ran.timing,
        differences=ran.differences,
    )
    return Made(report, compilation, variations, subject)


def _require_measurable(request: Request) -> None:
    """Raise an error for a device whose times are not the board's, or speech that could not be judged by."""
    if request.speech:
        require_packages()
    if request.device is None:
        return
    if not request.speech:
        raise OptionError("--device measures with recordings and their texts: name a folder of them with --speech")
    if request.device not in ("ttnn", f"ttnn:{request.board}"):
        raise OptionError(f"{request.device} does not tell {request.board}'s times: measure on ttnn:{request.board}")
    if simulator() is not None:
        raise OptionError("TT_METAL_SIMULATOR is set: a simulator's times are not a board's; unset it")
    require_values(request.device)


def make_module(name: str, module: nn.Module, call: Callable[[Any], object], settings: Settings, board: str) -> Made:
    """The report of every graph that ``torch.compile`` makes while ``call(module)`` runs; nothing is projected."""
    started = time.perf_counter()
    graphs = capture_calls(module, call)
    compilation = compile_graphs(name, graphs, settings, time.perf_counter() - started)
    variations = tuple(trace(graphs, settings))
    report = collect(
        compilation, check(compilation, board), None, None, variations, weights="a tiny random configuration"
    )
    return Made(report, compilation, variations, None)


def _stand_ins(compilation: Compilation) -> Mapping[str, Program]:
    """distil-large-v3's programs under the default policy, which published figures are fitted with."""
    if (compilation.model, compilation.settings.precision.name) == (MODEL, DEFAULT_POLICY):
        return compilation.programs
    return _distil_large_v3()


@cache
def _distil_large_v3() -> Mapping[str, Program]:
    return compile_whisper(MODEL, shape_only_model(SIZES[MODEL]), Settings(policy(DEFAULT_POLICY))).programs


@dataclass(frozen=True)
class _Ran:
    """What running a model gave, and ``differences`` between what ran and what was compiled."""

    timing: Mapping[str, Figure] | None = None
    accuracy: Accuracy | None = None
    differences: tuple[str, ...] | None = None


def _checkpoint(request: Request, *, offline: bool) -> Checkpoint | None:
    """The model's own weights: to be had where there is speech to judge them by, otherwise if they are here."""
    try:
        return load_checkpoint(request.name, offline=offline or not request.speech)
    except ModelNotFound:
        if request.speech:
            raise
        return None


def _run(request: Request, checkpoint: Checkpoint, progress: ProgressCallback | None) -> _Ran:
    """Without speech, a window and a few tokens on the emulator, for the ledger alone."""
    precision = request.settings.precision.name
    runner = make_runner(request.device or EMULATOR, checkpoint.model, precision, checkpoint.suppress_tokens)
    assert isinstance(runner, ProgramRunner)
    timing = accuracy = None
    if request.device is not None:
        timing = measure(runner, checkpoint, request.speech).figures(request.device)
    if request.speech:
        records = compare(checkpoint, runner, (request.name, precision), request.speech, progress)
        accuracy = summary(*records, request.device or EMULATOR)
    else:
        _exercise(runner, checkpoint)
    return _Ran(timing, accuracy, ledger_differences(runner))


def _exercise(runner: ProgramRunner, checkpoint: Checkpoint) -> None:
    """One silent window, its prompt and two tokens each way."""
    config, tokenizer = runner.config, checkpoint.tokenizer
    prompt = tokenizer.prompt(checkpoint.languages[0], "transcribe", timestamps=False)
    state = runner.start(runner.encode(torch.zeros(1, config.num_mel_bins, config.mel_frames)))
    runner.prefill(torch.tensor([prompt]), state)
    runner.decode_step(torch.tensor([tokenizer.eot]), torch.tensor([len(prompt)]), state)
    runner.generate(tokenizer.eot, len(prompt) + 1, state, limit=2, end=-1)


def pages(made: Made) -> dict[str, str]:
    """Every file of a report and its text."""
    report, compilation = made.report, made.compilation
    plots = {} if made.subject is None else render(made.subject)
    drawn = {
        name.removesuffix(".svg").replace("_", ", "): text for name, text in plots.items() if name.endswith(".svg")
    }
    return {
        "report.json": to_json(report),
        "report.md": summary_page(report),
        "input_variations.md": trace_page(report.model, report.precision, made.variations),
        "report.html": page(report, compilation.programs, made.variations, drawn),
        **plots,
    }


def write(made: Made, folder: Path) -> list[Path]:
    """Write every file of a report into ``folder``, each whole or not at all; the paths written."""
    make_folder(folder)
    written = []
    for name, text in pages(made).items():
        write_text(folder / name, text)
        written.append(folder / name)
    return written


def tuned(made: Made, board: str, device: str | None = None) -> tuple[list[Trial], list[Block]]:
    """Every lowered operation tried on the host, and the blocklist entries that this would add.

    By measurement on ``device``, where one is named; otherwise by the cost model.
    """
    if made.subject is None:
        raise OptionError("only Whisper's programs can be tuned: nothing else is projected")
    settings = made.compilation.settings
    if device is not None:
        clock = measured(open_program_device(device, settings.precision.name))
    else:
        projections = project_builds(made.subject.programs, made.subject.calibration)
        softwares = {build.traced: projections[build.name].software for build in PUBLISHED if build.board == "n150"}
        clock = projected(BOARDS[board], Softwares(softwares[True], softwares[False]))
    found = list(trials(made.compilation.graphs, settings, clock))
    return found, blocks(found, made.report.model)
