"""Ways in which reports of others were not true, one after another: what each would be here, and that it is not."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import accuracy as generator
from reports.by_hand import STAYS, StandIn, accuracy, report, taken
from reports.conftest import SETTINGS
from reports.small_programs import MODEL, linear
from ttscribe import check as checking
from ttscribe.check import CheckReport, Finding, Kind, programs
from ttscribe.cli.app import app
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.program import DType
from ttscribe.compiler.settings import POLICIES, WHISPER_POLICY, CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.devices import make_runner
from ttscribe.devices.programs import ProgramRunner
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.evaluation.accuracy import CONTRACTS, Forced, Text, summary
from ttscribe.evaluation.speech import Clip
from ttscribe.reports import make as making
from ttscribe.reports.constants import N150
from ttscribe.reports.kernel_times import added_up, first_token, total
from ttscribe.reports.make import Request, collect, make
from ttscribe.reports.schema import Provenance, Status
from ttscribe.transcription import Transcriber

pytestmark = pytest.mark.xdist_group("reports of a small Whisper")

ACCURACY_PAGE = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"
MEASURED = {"first_run", "ttft", "tsu", "ts", "rtf"}
REFUSED = Finding("encode", 3, Kind.REFUSED, "ttnn.relu()", "no")


def ttscribe(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def collected(compiled, variations, monkeypatch):
    """The report of the small Whisper, every operation lowered, of what a mock board and the records say."""
    monkeypatch.setattr(making, "trace", lambda *_: variations)
    return lambda accuracy, findings=(), **more: collect(
        "some-model", SETTINGS, taken(compiled, findings, accuracy=accuracy, **more)
    )


@pytest.fixture
def nothing_compiles(monkeypatch):
    """Whatever must be refused is refused before a minute of compiling."""

    def compiles(*_):
        raise AssertionError("it was compiled")

    monkeypatch.setattr(ProgramRunner, "compiled", compiles)


def request(**changes):
    return Request(**{"name": "tiny.en", "model": None, "settings": SETTINGS, **changes})


# 1. Time to the first token.


def test_the_time_to_the_first_token_is_not_that_of_the_whole_request(monkeypatch):
    few, many = (StandIn(monkeypatch, tokens=count).measure() for count in (1, 12))
    assert few.ttft_s == many.ttft_s
    assert few.steps_s < many.steps_s


def test_the_projected_time_to_the_first_token_has_no_decode_step_in_it():
    slow = {**MODEL, "timed_step": replace(linear(4096, 4096, 4096), name="timed_step")}
    usual, slower = (added_up(programs, N150) for programs in (MODEL, slow))
    assert first_token(slower) == first_token(usual)
    assert total(slower, ["timed_step"]) > total(usual, ["timed_step"])


# 2. Exceptions.


def test_an_exception_is_no_figure_of_zero(monkeypatch):
    with pytest.raises(RuntimeError, match="token went wrong"):
        StandIn(monkeypatch, fails="token").measure()


def test_an_exception_is_no_empty_transcript(tiny_en, beckett, monkeypatch):
    transcriber = Transcriber(tiny_en, "emulator", "exact")

    def breaks(_):
        raise RuntimeError("the encoder went wrong")

    monkeypatch.setattr(transcriber.runner, "encode", breaks)
    segments, _ = transcriber.transcribe(beckett)
    with pytest.raises(RuntimeError, match="the encoder went wrong"):
        list(segments)


def test_an_exception_while_a_report_runs_is_no_report(tiny_en, monkeypatch):
    def breaks(*_):
        raise RuntimeError("the encoder went wrong")

    monkeypatch.setattr(ProgramRunner, "encode", breaks)
    monkeypatch.setattr(making, "load_checkpoint", lambda *_, **__: tiny_en)
    monkeypatch.setattr(making, "check_programs", lambda *_: None)
    # Those that run are compiled when they do.
    monkeypatch.setattr(making, "PROGRAMS", ())
    with pytest.raises(RuntimeError, match="the encoder went wrong"):
        make(request(model=tiny_en.model))


# 3. Word error rates.


def records(*clips):
    """What ``bench/accuracy.py`` would record of clips of so many words and errors; float32 makes no mistakes."""
    forced, texts = [], []
    for index, (words, errors, changes) in enumerate(clips):
        names = {"model": "some-model", "policy": "bf16-hifi3", "file": f"{index}.flac"}
        given = {"tokens": 5, "agreed": 5, "margins": [], "mean_pcc": 1.0, "worst_pcc": 1.0}
        fp32 = changes.pop("fp32_errors", 0)
        forced.append(Forced(**names, **{**given, **changes}))
        texts.append(Text(**names, words=words, fp32_errors=fp32, errors=errors))
    return forced, texts


def test_the_word_error_rate_is_not_a_mean_over_clips():
    """One word of two wrong and none of ninety-eight: 1 %, where the mean of the clips' rates is 25 %."""
    assert summary(*records((2, 1, {}), (98, 0, {}))).wer == pytest.approx(1.0)


def test_a_clip_without_a_right_word_is_not_left_out():
    found = summary(*records((10, 0, {}), (10, 0, {}), (5, 20, {"fp32_errors": 5})))
    assert found.words == 25
    assert (found.wer, found.fp32_wer) == (pytest.approx(80), pytest.approx(20))


def test_recordings_that_were_not_forced_are_not_in_the_rate_that_is_judged():
    forced, texts = records((10, 1, {}), (30, 5, {}))
    found = summary(forced[:1], texts)
    assert (found.words, found.wer) == (10, pytest.approx(10))


def test_words_said_of_silence_are_errors():
    assert summary(*records((10, 0, {}), (0, 2, {}))).wer == pytest.approx(20)


def test_the_worst_of_any_clip_is_what_counts():
    found = summary(*records((9, 0, {"mean_pcc": 0.9, "worst_pcc": 0.5, "margins": [0.1, 2.0]}), (9, 0, {})))
    assert (found.mean_pcc, found.worst_pcc, found.margin) == (0.9, 0.5, 2.0)


def test_tokens_are_counted_over_all_clips():
    found = summary(*records((9, 0, {"agreed": 1, "tokens": 1}), (9, 0, {"agreed": 0, "tokens": 99})))
    assert found.agreement == 0.01


def test_too_few_words_to_judge_by_are_no_contract_met():
    """One error in 499 words is more than 0.2 points."""
    assert accuracy(words=500).verdict == "met"
    assert accuracy(words=499).verdict == "cannot be judged by 499 words: it takes 500"


def test_what_is_recorded_of_a_model_and_policy_is_recorded_once_and_of_recordings_that_fp32_had():
    """Of tiny.en the English ones, which are 146; of base all 182. The 91 read utterances were forced."""
    forced, texts = generator.read_records(Forced), generator.read_records(Text)
    keys = {(each.model, each.policy) for each in texts}
    assert {name for _, name in keys} <= set(POLICIES)
    assert keys >= {(model, name) for model in ("tiny.en", "base") for name in ("exact", WHISPER_POLICY)}
    every = {key: {each.file for each in texts if (each.model, each.policy) == key} for key in keys}
    for model, name in keys:
        mine = [each.file for each in forced if (each.model, each.policy) == (model, name)]
        spoken = [each.file for each in texts if (each.model, each.policy) == (model, name)]
        assert len(set(mine)) == len(mine)
        assert len(set(spoken)) == len(spoken)
        assert set(mine) <= set(spoken) <= every[model, "exact"]
        if name == "exact":
            assert (len(mine), len(spoken)) == (91, {"tiny.en": 146, "base": 182}[model])


# 4. Math fidelity.


@pytest.fixture(scope="module")
def programs_of(compiled):
    return lambda name: [compile_graph(each.captured, CompileSettings(POLICIES[name])).program for each in compiled]


@pytest.mark.parametrize("name", POLICIES)
def test_a_policys_name_says_the_math_fidelity_that_its_programs_have(programs_of, name):
    said = {"hifi2": {"HiFi2"}, "mixed": {"HiFi2", "HiFi3"}}.get(name.partition("-")[2], {"HiFi3"})
    products = ("ttnn.linear", "ttnn.matmul", "ttnn.transformer.scaled_dot_product_attention")
    calls = [op for program in programs_of(name) for op in program.ops if op.target.startswith(products)]
    assert len(calls) > 30
    configurations = [op.attribute("compute_kernel_config") for op in calls]
    assert {(each["math_fidelity"], each["fp32_dest_acc_en"]) for each in configurations} == {
        (fidelity, True) for fidelity in said
    }


@pytest.mark.parametrize("name", POLICIES)
def test_a_policys_name_says_the_element_type_that_its_matrices_have(programs_of, name):
    said = DType.BFLOAT8_B if name.startswith("bfp8") else DType.BFLOAT16
    for program in programs_of(name):
        matrices = {op.operands[1] for op in program.ops if op.target == "ttnn.linear"}
        held = {constant.value.name: constant.value.spec.dtype for constant in program.constants}
        read_otherwise = {given for op in program.ops if op.target != "ttnn.linear" for given in op.inputs}
        assert {held[each] for each in matrices - read_otherwise if each in held} <= {said}
        assert program.precision == name


# 5. Thresholds.


def test_the_page_of_accuracy_has_the_same_contract_in_words():
    text = " ".join(ACCURACY_PAGE.read_text(encoding="utf-8").split())
    bf16, bfp8, exact = (CONTRACTS[name] for name in ("bf16", "bfp8", "exact"))
    assert (
        f"token agreement at least {100 * bf16.agreement:.0f} % (bf16) or {100 * bfp8.agreement:.0f} % (bfp8), "
        f"margins at most {bf16.margin} or {bfp8.margin}, PCC of every clip at least {bf16.mean_pcc} or "
        f"{bfp8.mean_pcc} and of every position at least {bf16.worst_pcc} or {bfp8.worst_pcc}, "
        f"WER at most {bf16.word_errors} points above fp32's." in text
    )
    assert f"every token but ties of {exact.margin}, PCC {exact.mean_pcc} and {exact.worst_pcc}, and fp32's WER" in text


def test_what_just_meets_the_contract_meets_it():
    assert accuracy(wer=5.0).verdict == "met"


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"agreed": 9799, "tokens": 10_000}, "agreement"),
        ({"margin": 0.501}, "margin"),
        ({"mean_pcc": 0.99899}, "PCC mean"),
        ({"worst_pcc": 0.98999}, "PCC worst"),
        ({"wer": 5.21}, "WER"),
        ({"policy": "bfp8-hifi3", "agreed": 9599, "tokens": 10_000}, "agreement"),
        ({"policy": "bfp8-hifi3", "margin": 1.001}, "margin"),
        ({"policy": "bfp8-hifi3", "mean_pcc": 0.98999}, "PCC mean"),
        ({"policy": "bfp8-hifi3", "worst_pcc": 0.94999}, "PCC worst"),
        ({"policy": "bfp8-hifi3", "wer": 5.21}, "WER"),
    ],
)
def test_what_is_just_under_the_contract_misses_it(changes, missed):
    assert accuracy(**{"wer": 5.0, **changes}).verdict == f"missed: {missed}"


@pytest.mark.parametrize(("device", "verdict"), [("emulator:kernels", "| met |"), ("emulator", "| missed: WER |")])
def test_the_page_of_accuracy_is_that_of_the_records(device, verdict):
    begin, end = generator.MARKERS[device]
    table = ACCURACY_PAGE.read_text("utf-8").partition(begin)[2].partition(end)[0]
    assert table.strip().splitlines() == "\n".join(generator.table(generator.FOLDERS[device])).strip().splitlines()
    assert verdict in table


# 6. The exit status.


@pytest.mark.parametrize(("findings", "status"), [((), 0), ((REFUSED,), 1)], ids=["accepted", "refused"])
def test_the_exit_status_of_a_check_is_its_verdict(monkeypatch, findings, status):
    told = CheckReport("n150", "0.0.0", "bf16-hifi3", 1, 1, (), findings)
    monkeypatch.setattr(programs, "checkable_whisper", lambda *_: [])
    monkeypatch.setattr(checking, "check_programs", lambda *_: told)
    result = ttscribe("check", "tiny.en")
    assert result.exit_code == status
    assert told.verdict in result.stdout


@pytest.fixture
def reported(monkeypatch):
    """``ttscribe report`` of a report that is made already."""

    def run_on(made):
        monkeypatch.setattr(making, "make", lambda *_, **__: (made, ()))
        return ttscribe("report", "tiny.en")

    return run_on


def test_a_failed_report_is_not_told_as_done(reported):
    result = reported(report(status=Status.FAILED, reasons=("1 call refused on the mock board",)))
    assert result.stdout.startswith("❌ some-model on n150, bf16-hifi3 (1 call refused on the mock board)\n")
    assert "✅" not in result.stdout


def test_the_exit_status_of_a_failed_report_is_1(reported):
    assert reported(report(status=Status.FAILED, reasons=("1 call refused on the mock board",))).exit_code == 1


# 7. What is done.


def test_lowered_accepted_and_accurate_is_done(collected):
    found = collected(accuracy(wer=5.0))
    assert (found.status, found.reasons) == (Status.DONE, ())


def test_lowered_and_accepted_is_not_done_where_accuracy_is_missed(collected):
    found = collected(accuracy(wer=13.29))
    assert found.figures["torch_ops_remaining"].value == 0
    assert (found.status, found.reasons) == (Status.IN_WORK, ("accuracy contract missed: WER",))


def test_lowered_and_accepted_is_not_done_where_nobody_judged_accuracy(collected):
    assert collected(None).status is Status.IN_WORK


def test_what_the_mock_board_refuses_is_failed_however_accurate(collected):
    assert collected(accuracy(wer=5.0), [REFUSED]).status is Status.FAILED


def test_what_ran_otherwise_is_failed_however_accurate(collected):
    assert collected(accuracy(wer=5.0), differences=["encode: ttnn.add ran 2 times"]).status is Status.FAILED


def test_an_operation_in_pytorch_is_in_work_and_not_called_a_refused_one(compiled):
    """The mock board's check finds host segments too, and what it finds of them is not counted twice."""
    encode = compiled[0]
    mixed = replace(encode, program=replace(encode.program, body=(*encode.program.body, STAYS)))
    found = Finding("encode", 9, Kind.HOST_SEGMENT, "aten.sort.default", "stays in PyTorch (no_rule)")
    made = collect("some-model", SETTINGS, taken((mixed, *compiled[1:]), [found], accuracy=accuracy(wer=5.0)))
    assert (made.status, made.reasons) == (Status.IN_WORK, ("1 operation in PyTorch",))
    assert made.figures["host_segments"].value == 1


# 8. Options that are not honoured, and figures of nothing.


SPEECH = (Clip(Path("speech.wav"), "some words", 2.0),)


def test_a_card_without_a_recording_is_refused_and_not_left_out(nothing_compiles):
    with pytest.raises(OptionError, match=r"^--device measures with recordings and their texts: name a folder of"):
        make(request(device="ttnn:n150"))


@pytest.mark.parametrize("device", ["emulator", "ttnn:p150"])
def test_times_of_another_device_are_refused_for_a_boards_row(nothing_compiles, device):
    with pytest.raises(OptionError, match="n150"):
        make(request(device=device, speech=SPEECH))


def test_times_of_a_mock_board_are_refused(nothing_compiles, monkeypatch, tmp_path):
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", str(tmp_path / "cluster.yaml"))
    with pytest.raises(DeviceUnavailable, match="a mock board computes nothing"):
        make(request(device="ttnn:n150", speech=SPEECH))


def test_accuracy_that_a_simulator_gave_says_so(collected):
    found = collected(accuracy(wer=5.0, device="simulator"))
    judged = {found.figures[name].provenance for name in ("wer", "token_agreement", "pcc_mean", "pcc_worst")}
    assert judged == {Provenance.SIMULATED}
    assert found.figures["wer_fp32"].provenance is Provenance.MEASURED


@pytest.mark.parametrize(
    ("device", "says"),
    [("emulator", "each operation in float32"), ("emulator:kernels", "sums as the kernels take them")],
)
def test_accuracy_that_was_emulated_says_in_which_way(collected, device, says):
    found = collected(accuracy(wer=5.0, device=device))
    for name in ("wer", "token_agreement", "pcc_mean", "pcc_worst"):
        assert found.figures[name].provenance is Provenance.EMULATED
        assert says in found.figures[name].source


def test_a_policy_of_programs_is_refused_where_nothing_is_compiled(tiny_en):
    with pytest.raises(OptionError, match="on cpu the precision is auto, float32, bfloat16, int8, not 'bf16-hifi3'"):
        make_runner("cpu", tiny_en.model, "bf16-hifi3")


def test_what_was_not_taken_is_absent_and_not_zero(collected):
    found = collected(None)
    assert MEASURED & set(found.figures) == {"ttft", "tsu", "ts", "rtf"}
    assert {found.figures[name].provenance for name in MEASURED - {"first_run"}} == {Provenance.PROJECTED}
    assert not {"wer", "wer_fp32", "token_agreement", "pcc_mean", "pcc_worst"} & set(found.figures)
    assert found.ledger_differences is None


def test_a_peak_that_one_program_does_not_have_is_absent(compiled):
    found = collect("some-model", SETTINGS, taken(compiled, peak=None))
    assert found.figure("peak_l1") is None
    assert {each.peak_l1 for each in found.programs} == {None}


def test_measured_figures_stand_in_place_of_projected_ones(collected, monkeypatch):
    measured = StandIn(monkeypatch).measure().figures("ttnn:n150")
    found = collected(None, timing=measured)
    assert {name: found.figures[name] for name in MEASURED} == measured


def test_every_program_of_the_model_is_in_its_report(collected):
    assert tuple(each.program for each in collected(None).programs) == PROGRAMS
