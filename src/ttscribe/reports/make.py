"""One run that takes every figure of a report that can be taken on this machine; each program is compiled once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import numpy as np

from ttscribe.check import CheckReport, Kind, check_programs
from ttscribe.check.programs import checkable
from ttscribe.compiler.compilation import Compiled
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT
from ttscribe.compiler.program import Program, Role
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.decoding import Picks, Rules, TimestampGrammar
from ttscribe.devices import make_runner, open_program_device, require_values
from ttscribe.devices.programs import ProgramRunner
from ttscribe.devices.provenance import Provenance, provenance
from ttscribe.errors import ModelNotFound, OptionError
from ttscribe.evaluation.accuracy import EMULATOR, KERNELS, SIMULATOR, Accuracy, summary
from ttscribe.evaluation.compare import compare
from ttscribe.evaluation.speech import Clip
from ttscribe.evaluation.words import require_packages
from ttscribe.reports.batches import batches, compiled_steps
from ttscribe.reports.constants import CHIPS
from ttscribe.reports.kernel_times import added_up, first_token, real_time_factor, total
from ttscribe.reports.measure import ledger_differences, measure
from ttscribe.reports.schema import FORMAT, Figure, KernelTimes, ModelReport, Variation, counted, figures, status_of
from ttscribe.reports.trace import trace
from ttscribe.reports.work import FIRST_TOKEN, NEXT_TOKEN
from ttscribe.types import ProgressCallback
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.model import WhisperModel

_IN_ITS_PLACE = ("greedy_step", "decode_step")
_CPU = "this machine's CPU"
_SHAPE_ONLY = "none (the model's shape only)"


@dataclass(frozen=True)
class Request:
    """What to report on: a model's shape, and how to compile it for which board.

    With ``speech`` the model's own weights are judged by it: on the emulator in float32, on ``device``
    "emulator:kernels" as the kernels compute, or on the card ``device``, whose times are then measured too (of a
    simulator there are none). ``accuracy`` is what was judged before.
    """

    name: str
    model: WhisperModel
    settings: CompileSettings
    device: str | None = None
    speech: tuple[Clip, ...] = ()
    accuracy: Accuracy | None = None


@dataclass(frozen=True)
class Taken:
    """What a report is put together from: programs and the seconds that they took to compile, their check, and what
    running the model gave. ``timing`` are figures measured on the board, which stand in place of projected ones;
    ``differences`` those between what ran and what was compiled, None where nothing ran. ``steps`` of several windows
    are there by how many a chip, with their check.
    """

    compiled: tuple[Compiled, ...]
    seconds: float
    checked: CheckReport
    weights: str
    accuracy: Accuracy | None = None
    timing: Mapping[str, Figure] | None = None
    differences: tuple[str, ...] | None = None
    steps: Mapping[int, Compiled] = field(default_factory=dict)
    steps_checked: CheckReport | None = None


def make(
    request: Request, *, offline: bool = True, progress: ProgressCallback | None = None
) -> tuple[ModelReport, tuple[Compiled, ...]]:
    """Compile, validate, project, and run what there are weights for; ``progress`` is of the speech.

    Raises OptionError where a card is to be measured without speech, or another than the board, or a recording is
    longer than a window; DeviceUnavailable for a mock board; ModelNotFound where speech is given and there are no
    weights.
    """
    _require_measurable(request)
    checkpoint = _checkpoint(request, offline=offline)
    with _runner(request, checkpoint) as runner:
        started = time.perf_counter()
        compiled = tuple(runner.compiled(name) for name in PROGRAMS)
        seconds = time.perf_counter() - started
        steps = compiled_steps(runner, request.settings.board)
        checked, steps_checked = (
            check_programs([checkable(program) for program in programs], request.settings.board.name)
            for programs in (compiled, steps.values())
        )
        taken = Taken(compiled, seconds, checked, _SHAPE_ONLY, request.accuracy)
        if checkpoint is not None:
            ran = _run(runner, request, checkpoint, progress)
            taken = Taken(compiled, seconds, checked, f"{checkpoint.name}, its own", *ran)
        taken = replace(taken, steps=steps, steps_checked=steps_checked)
    return collect(request.name, request.settings, taken), compiled


def _require_measurable(request: Request) -> None:
    """Raise an error for a device whose times are not the board's, or speech that could not be judged by."""
    if request.speech:
        require_packages()
    if request.device is None:
        return
    board = request.settings.board.name
    if not request.speech:
        raise OptionError("--device measures with recordings and their texts: name a folder of them with --speech")
    if request.device == KERNELS:
        return
    if request.device not in ("ttnn", f"ttnn:{board}"):
        raise OptionError(f"{request.device} does not tell {board}'s times: measure on ttnn:{board}")
    require_values(request.device)


def _checkpoint(request: Request, *, offline: bool) -> Checkpoint | None:
    """The model's own weights: to be had where there is speech to judge them by, otherwise if they are here."""
    try:
        return load_checkpoint(request.name, offline=offline or not request.speech)
    except ModelNotFound:
        if request.speech:
            raise
        return None


def _runner(request: Request, checkpoint: Checkpoint | None) -> ProgramRunner:
    model, suppress = (request.model, ()) if checkpoint is None else (checkpoint.model, checkpoint.suppress_tokens)
    if request.device is None:
        emulator = open_program_device(EMULATOR, request.settings.precision.name)
        return ProgramRunner(model, emulator, request.settings, suppress)
    runner = make_runner(request.device, model, request.settings.precision.name, suppress)
    assert isinstance(runner, ProgramRunner)
    return runner


def _run(
    runner: ProgramRunner, request: Request, checkpoint: Checkpoint, progress: ProgressCallback | None
) -> tuple[Accuracy | None, Mapping[str, Figure] | None, tuple[str, ...]]:
    """Accuracy, timing and differences; without speech a window and a few tokens, for the differences alone."""
    timing, accuracy, judged_on = None, request.accuracy, request.device or EMULATOR
    word = provenance(judged_on)
    if word is Provenance.SIMULATED:
        judged_on = SIMULATOR
    elif word is Provenance.MEASURED:
        timing = measure(runner, checkpoint, request.speech).figures(judged_on)
    if request.speech:
        names = (request.name, request.settings.precision.name)
        accuracy = summary(*compare(checkpoint, runner, names, request.speech, progress), judged_on)
    else:
        _exercise(runner, checkpoint)
    return accuracy, timing, ledger_differences(runner)


def _exercise(runner: ProgramRunner, checkpoint: Checkpoint) -> None:
    """One silent window, its prompt and two tokens each way."""
    config, tokenizer = runner.config, checkpoint.tokenizer
    prompt = tokenizer.prompt(checkpoint.languages[0], "transcribe", timestamps=False)
    state = runner.start(runner.encode(np.zeros((1, config.num_mel_bins, config.mel_frames), np.float32)))
    runner.prefill(np.array([prompt]), state)
    runner.decode_step(np.array([tokenizer.eot]), np.array([len(prompt)]), state)
    grammar = TimestampGrammar.of(tokenizer, checkpoint.max_initial_timestamp_index)
    for timestamps in (None, grammar):
        picked, rules = Picks([tokenizer.eot], [0.0]), Rules.of(checkpoint.suppress_tokens, (), timestamps)
        # No token is -1, so that it goes on to the limit.
        runner.greedy([picked], len(prompt) + 1, state, rules, limit=3, end=-1)


def collect(name: str, settings: CompileSettings, taken: Taken) -> ModelReport:
    """The report; a figure that could not be taken is absent."""
    programs = {each.program.name: each.program for each in taken.compiled}
    variations = trace(taken.compiled, settings)
    kernels = added_up(programs, CHIPS[settings.board.name])
    fallbacks = tuple(
        f"{program}: {fallback.target}: {fallback.reason.value}: {fallback.sentence}"
        for program, each in programs.items()
        for fallback in each.fallbacks
    )
    # Host segments are told as fallbacks.
    checks = [taken.checked, *([] if taken.steps_checked is None else [taken.steps_checked])]
    findings = tuple(
        str(finding) for check in checks for finding in check.findings if finding.kind is not Kind.HOST_SEGMENT
    )
    accuracy, differences = taken.accuracy, taken.differences
    verdict = None if accuracy is None else accuracy.verdict
    status, reasons = status_of(fallbacks=fallbacks, findings=findings, accuracy=verdict, differences=differences or ())
    return ModelReport(
        FORMAT,
        name,
        taken.weights,
        taken.checked.board,
        settings.precision.name,
        1,
        status,
        reasons,
        {package: version(package) for package in ("ttscribe", "ttnn", "torch")},
        {
            **_counted_figures(taken, programs, variations),
            **_checked_figures(taken.checked, len(findings)),
            **({} if accuracy is None else _accuracy_figures(accuracy)),
            **_projected_figures(kernels, settings.board.name),
            **(taken.timing or {}),
        },
        taken.checked.programs,
        fallbacks,
        findings,
        differences,
        variations,
        kernels,
        tuple(map(str, settings.precision.overrides)),
        batches(taken.steps, kernels, settings.board),
    )


def _counted_figures(
    taken: Taken, programs: Mapping[str, Program], variations: Sequence[Variation]
) -> dict[str, Figure]:
    on_host = [variation for variation in variations if variation.on_host]
    return {
        **figures(Provenance.MEASURED, _CPU, compile=round(taken.seconds, 1)),
        **figures(
            Provenance.VALIDATED,
            "the compiler's own count, of the programs that were validated",
            torch_ops_before=len({variation.target for variation in variations}),
            torch_ops_remaining=len({variation.target for variation in on_host}),
            variations_before=len(variations),
            variations_remaining=len(on_host),
            # The others take the place of timed_step where there are no timestamps, and where only the host can pick.
            moves=sum(_crossings(program) for name, program in programs.items() if name not in _IN_ITS_PLACE),
        ),
    }


def _crossings(program: Program) -> int:
    """Tensors that cross in a run: those moved by a call, and device inputs written and outputs read by the host."""
    moved = sum(op.target in (MOVES_IN, MOVES_OUT) for op in program.ops)
    values = program.values()
    written = [value for value in program.inputs_of(Role.ARGUMENT) if value.on_device]
    read = [name for name in program.outputs if values[name].on_device and program.name != "encode"]
    return moved + len(written) + len(read)


def _checked_figures(checked: CheckReport, refused: int) -> dict[str, Figure]:
    on = f"TT-NN {checked.ttnn} on a mock {checked.board}"
    launches = {program.program: program.launches for program in checked.programs}
    whisper = {*FIRST_TOKEN, *NEXT_TOKEN} <= {*launches}
    peaks = [each.peak_l1 for each in checked.programs if each.peak_l1 is not None]
    return {
        **figures(Provenance.MEASURED, _CPU, check=round(sum(each.seconds for each in checked.programs), 1)),
        **figures(
            Provenance.VALIDATED,
            f"{on}, which refuses {counted(refused, 'call')}" if refused else on,
            host_segments=sum(each.host_segments for each in checked.programs),
            dram=max(each.dram_held for each in checked.programs),
            device_operations_window=sum(launches[name] for name in FIRST_TOKEN) if whisper else None,
            device_operations_token=sum(launches[name] for name in NEXT_TOKEN) if whisper else None,
            device_operations=None if whisper else sum(launches.values()),
            peak_l1=max(peaks) if len(peaks) == len(checked.programs) else None,
        ),
    }


def _accuracy_figures(accuracy: Accuracy) -> dict[str, Figure]:
    emulations = {EMULATOR: ", each operation in float32", KERNELS: ", sums as the kernels take them"}
    if accuracy.device in emulations:
        provenance, where = Provenance.EMULATED, emulations[accuracy.device]
    elif accuracy.device == SIMULATOR:
        provenance, where = Provenance.SIMULATED, ""
    else:
        provenance, where = Provenance.MEASURED, f", on {accuracy.device}"
    recordings = counted(accuracy.clips, "recording")
    freely = f"{recordings}, {accuracy.words} words"
    return {
        **figures(
            provenance,
            f"{recordings}, {accuracy.tokens} tokens{where}",
            token_agreement=round(100 * accuracy.agreement, 5),
            pcc_mean=round(accuracy.mean_pcc, 5),
            pcc_worst=round(accuracy.worst_pcc, 5),
        ),
        **figures(provenance, f"{freely}{where}", wer=round(accuracy.wer, 5)),
        **figures(Provenance.MEASURED, f"{freely}, in PyTorch on a CPU", wer_fp32=round(accuracy.fp32_wer, 5)),
    }


def _projected_figures(kernels: Sequence[KernelTimes], board: str) -> dict[str, Figure]:
    """What the kernels add up to, if they do."""
    if not kernels:
        return {}
    (ttft_floor, ttft), (least, most) = first_token(kernels), total(kernels, NEXT_TOKEN)
    rtf_floor, rtf = real_time_factor(kernels)
    return figures(
        Provenance.PROJECTED,
        f"what the kernels of {board} add up to, each by published times of its like",
        ttft_floor=round(1e3 * ttft_floor, 1),
        ttft=round(1e3 * ttft, 1),
        tsu_ceiling=round(1 / least, 1),
        tsu=round(1 / most, 1),
        ts=round(1 / most, 1),
        rtf_floor=round(rtf_floor, 4),
        rtf=round(rtf, 4),
    )
