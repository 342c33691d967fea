"""The report as data: what it may hold, how it is kept, and when a model is done."""

import json
from itertools import product

import pytest
from msgspec.structs import replace

from reports.by_hand import every_figure, program_check, report, same_but_for_time
from ttscribe.reports.schema import (
    FIGURES,
    FORMAT,
    Batch,
    Figure,
    KernelTimes,
    Provenance,
    Status,
    Variation,
    from_json,
    status_of,
    to_json,
)

SOUND = {"fallbacks": (), "findings": (), "accuracy": "met", "differences": ()}
PROJECTED = report(
    variations=(Variation("aten.relu.default", "float32[1]", ("encode",), {"lowered": 1}, {"ttnn.relu": 1}, (), 0.5),),
    kernels=(KernelTimes("encode", "linear", 1, 2, 3, 0.1, 0.2, 0.3, "somebody"),),
    batches=(Batch(32, 128, 0.004, 0.008, 0.002, 0.003),),
)
WANTING = report(
    status=Status.FAILED,
    reasons=("2 operations in PyTorch",),
    figures={},
    programs=(program_check(host_segments=2, peak_l1=None, peak_l1_call=None),),
    fallbacks=("encode: aten.sort.default: no_rule: nobody wrote a rule",),
    findings=("encode, step 0, refused: ttnn.relu(): no — “quoted” | piped",),
    ledger_differences=None,
)


def without(name):
    """The figures but one."""
    return {other: figure for other, figure in every_figure().items() if other != name}


@pytest.mark.parametrize("made", [report(), WANTING, PROJECTED], ids=["every figure", "none", "projected"])
def test_a_report_is_read_as_it_was_written(made):
    assert from_json(to_json(made)) == made


def test_a_report_that_nothing_ran_for_differs_from_one_without_differences():
    ran, not_run = report(ledger_differences=()), report(ledger_differences=None)
    assert (from_json(to_json(ran)).ledger_differences, from_json(to_json(not_run)).ledger_differences) == ((), None)


def test_the_text_names_its_format_and_is_the_same_for_equal_reports():
    assert json.loads(to_json(report()))["format"] == FORMAT
    assert to_json(report()) == to_json(report())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda document: document.update(format="ttscribe.report/1"), f"the format is not {FORMAT}"),
        (lambda document: document.pop("format"), "missing required field `format`"),
        (lambda document: document.update(extra=1), "unknown field `extra`"),
        (lambda document: document.pop("findings"), "missing required field `findings`"),
        (lambda document: document["figures"].update(speed=document["figures"]["tsu"]), "no figure is called speed"),
        (lambda document: document["figures"]["tsu"].update(provenance="guessed"), "Invalid enum value 'guessed'"),
        (lambda document: document["figures"]["tsu"].pop("provenance"), "missing required field `provenance`"),
        (lambda document: document.update(status="done"), "Invalid enum value 'done'"),
    ],
    ids=[
        "other format",
        "no format",
        "another field",
        "no field",
        "unknown figure",
        "unknown provenance",
        "no provenance",
        "status",
    ],
)
def test_what_is_no_report_is_refused(spoil, says):
    document = json.loads(to_json(report()))
    spoil(document)
    with pytest.raises(ValueError, match=says):
        from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"a report"'])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own message, or ours
        from_json(text)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_found_by_its_name_and_may_be_absent(name):
    assert report().figure(name) == every_figure()[name]
    assert report(figures=without(name)).figure(name) is None


def test_a_figure_that_is_none_of_ours_is_not_merely_absent():
    with pytest.raises(KeyError, match="no figure is called 'speed'"):
        report().figure("speed")


def test_a_figure_is_from_one_of_five_places():
    assert [each.value for each in Provenance] == ["validated", "emulated", "simulated", "projected", "measured"]


def test_a_model_is_done_where_nothing_is_wanting():
    assert status_of(**SOUND) == (Status.DONE, ())


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"fallbacks": ["a"]}, Status.IN_WORK, "1 operation in PyTorch"),
        ({"fallbacks": ["a", "b"]}, Status.IN_WORK, "2 operations in PyTorch"),
        ({"accuracy": None}, Status.IN_WORK, "accuracy with its own weights not judged"),
        ({"accuracy": "missed: WER"}, Status.IN_WORK, "accuracy contract missed: WER"),
        ({"findings": ["a"]}, Status.FAILED, "1 call refused on the mock board"),
        ({"findings": ["a", "b"]}, Status.FAILED, "2 calls refused on the mock board"),
        ({"differences": ["a"]}, Status.FAILED, "what ran is not what was compiled"),
    ],
)
def test_one_thing_wanting_is_enough_and_is_named(changed, status, reason):
    assert status_of(**{**SOUND, **changed}) == (status, (reason,))


def test_everything_wanting_is_named():
    status, reasons = status_of(fallbacks=["a"], findings=["b"], accuracy="missed: margin", differences=["c"])
    assert status is Status.FAILED
    assert len(reasons) == 4


def test_only_one_of_all_combinations_is_done():
    choices = product(((), ("a",)), ((), ("a",)), ("met", None, "missed: WER", ""), ((), ("a",)))
    names = ("fallbacks", "findings", "accuracy", "differences")
    found = [status_of(**dict(zip(names, choice, strict=True)))[0] for choice in choices]
    assert found.count(Status.DONE) == 1
    assert len(found) == 32


def changed(name, **changes):
    figures = every_figure()
    return {**figures, name: replace(figures[name], **changes)}


def test_equal_reports_differ_in_nothing():
    assert same_but_for_time(report(), report()) == []


def test_measured_seconds_may_differ():
    assert same_but_for_time(report(), report(figures=changed("compile", value=7.5))) == []


@pytest.mark.parametrize("name", ["dram", "wer", "tsu", "ttft"])
def test_a_figure_that_was_not_measured_may_not_differ(name):
    assert same_but_for_time(report(), report(figures=changed(name, value=7.5))) == [name]


def test_a_projected_figure_is_not_a_measured_one():
    assert same_but_for_time(report(), report(figures=changed("tsu", provenance=Provenance.MEASURED))) == ["tsu"]


def shape_alone():
    """What a machine without weights or card makes of the same model."""
    ran = ("token_agreement", "pcc_mean", "pcc_worst", "wer", "wer_fp32", "first_run")
    figures = {name: figure for name, figure in every_figure().items() if name not in ran}
    return report(
        weights="none", status=Status.IN_WORK, reasons=("not judged",), ledger_differences=None, figures=figures
    )


def test_what_only_a_card_can_tell_is_no_difference_from_a_machine_without():
    on_card = report(figures=changed("tsu", provenance=Provenance.MEASURED, value=7.5))
    assert same_but_for_time(shape_alone(), on_card) == same_but_for_time(on_card, shape_alone()) == []


def test_what_any_machine_can_tell_stays_a_difference_from_a_card():
    on_card = report(figures={**changed("dram", value=7.5), "peak_l1": every_figure()["dram"]})
    assert same_but_for_time(shape_alone(), on_card) == ["dram", "peak_l1"]


@pytest.mark.parametrize("name", ["compile", "dram"])
def test_a_figure_that_only_one_report_has_is_a_difference(name):
    other = report(figures=without(name))
    assert same_but_for_time(report(), other) == same_but_for_time(other, report()) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "another"),
        ("weights", "none"),
        ("board", "p150"),
        ("precision", "bfp8-hifi3"),
        ("batch", 2),
        ("status", Status.IN_WORK),
        ("reasons", ("something",)),
        ("programs", ()),
        ("fallbacks", ("something",)),
        ("findings", ("something",)),
        ("ledger_differences", ("encode: ttnn.add ran 2 times",)),
    ],
)
def test_whatever_else_differs_is_named(name, value):
    assert same_but_for_time(report(), report(**{name: value})) == [name]


def test_a_figure_is_a_value_a_unit_a_word_and_what_it_was_taken_on():
    assert Figure(1.5, "ms", Provenance.MEASURED, "ttnn:n150") != Figure(1.5, "ms", Provenance.MEASURED, "ttnn:p150")
