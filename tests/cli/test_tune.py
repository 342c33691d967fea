"""``ttscribe tune``, and ``--tuned`` of other commands, as a user types them."""

import importlib.util
import json

import msgspec
import pytest
from typer.testing import CliRunner

from ttscribe import devices
from ttscribe.check import CheckReport
from ttscribe.cli.app import app
from ttscribe.compiler.tuned import Configuration, TunedFile
from ttscribe.tune import search
from tune.timed import timed_by

pytestmark = pytest.mark.xdist_group("tune")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The command run once for tiny.en, without a card: its result and the file."""
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")
    file = tmp_path_factory.mktemp("tuned") / "tiny.en.json"
    return CliRunner().invoke(app, ["tune", "tiny.en", "--offline", "--output", str(file)]), file


@pytest.fixture
def chosen(told, tmp_path):
    """A file in which the most promising that TT-NN takes is chosen for every call."""
    found = TunedFile.read(told[1])
    calls = tuple(msgspec.structs.replace(call, chosen=call.accepted[0].configuration) for call in found.calls)
    msgspec.structs.replace(found, calls=calls).write(tmp_path / "chosen.json")
    return tmp_path / "chosen.json"


def test_it_is_told_what_tt_nn_accepts_and_that_the_model_does_not_choose(told):
    result, file = told
    assert (result.exit_code, result.stderr) == (0, f"{file}\n")
    found = TunedFile.read(file)
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["product", "calls", "tried"]
    table, *_ = result.stdout.split("\n\n")
    assert [line.endswith("  as it is") for line in table.splitlines()[1:]] == [True] * len(found.calls)
    assert len(found.calls) > 3
    tried, accepted = sum(call.tried for call in found.calls), sum(len(call.accepted) for call in found.calls)
    assert lines[-1] == (
        f"{accepted} of {tried} candidates are accepted by TT-NN {found.ttnn}'s host software on a mock n150; "
        "the cost model does not tell them apart (projected): every call is kept as it is"
    )
    for call in found.calls:
        assert any(line.endswith(f": {call.call}") for line in lines)


def test_a_card_says_which_is_the_fastest(ttscribe, monkeypatch, tmp_path):
    """A stand-in, on which whole rows are faster than what TT-NN does, and blocks are slower."""

    def costs(op):
        config = op.attribute("program_config")
        found = None if config is None else Configuration.of(config)
        return {"rows": 5e-6, "columns": 9e-6}.get(getattr(found, "shared", "columns"), 2e-5)

    opened = []
    card = timed_by(monkeypatch, costs)
    monkeypatch.setattr(devices, "open_program_device", lambda *named: opened.append(named) or card)
    accepts = CheckReport("n150", "0.81.1", "bfp8-mixed", 1, 1, (), ())
    monkeypatch.setattr(search, "check_programs", lambda programs, board: accepts)
    file = tmp_path / "tuned.json"
    result = ttscribe("tune", "tiny.en", "--offline", "--device", "ttnn:n150", "--output", file)
    assert (result.exit_code, opened) == (0, [("ttnn:n150", "bfp8-mixed")])
    found = TunedFile.read(file)
    assert {call.provenance for call in found.calls} == {"measured"}
    assert {None if call.chosen is None else call.chosen.shared for call in found.calls} == {None, "rows"}
    anew = sum(call.chosen is not None for call in found.calls)
    last = f"measured on ttnn:n150: {anew} of {len(found.calls)} kinds of call are configured anew"
    assert result.stdout.splitlines()[-1].endswith(last)
    assert {*result.stderr.splitlines()} == {*(call.call for call in found.calls), str(file)}


def test_the_file_is_of_the_board_and_of_nobodys_machine(told):
    _, file = told
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["format"], document["board"]) == ("ttscribe.tuned/1", "n150")
    assert {call["provenance"] for call in document["calls"]} == {"projected"}
    assert "/" not in file.read_text(encoding="utf-8").replace("ttscribe.tuned/1", "")


def test_a_program_with_what_was_chosen_is_validated(ttscribe, chosen):
    result = ttscribe("check", "tiny.en", "--offline", "--tuned", chosen)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("validated: every call is accepted by TT-NN ")


def test_a_compiled_program_says_what_was_chosen(ttscribe, chosen, tmp_path):
    arguments = ["tiny.en", "--random-weights", "--program", "encode", "--tuned", chosen]
    printed = ttscribe("compile", *arguments, "--print").stdout
    assert "MatmulMultiCoreReuseMultiCastProgramConfig1" in printed
    assert ttscribe("emit", *arguments, "--output", tmp_path / "scripts").exit_code == 0
    script = (tmp_path / "scripts" / "encode.py").read_text(encoding="utf-8")
    assert "ttnn.MatmulMultiCoreReuseMultiCastProgramConfig(" in script


def test_the_emulator_transcribes_and_is_compared_with_what_was_chosen(ttscribe, tiny, beckett, chosen):
    arguments = ["transcribe", "--model", "tiny.en", "--offline", "--device", "emulator", "--tuned", chosen, beckett]
    assert "No matter" in ttscribe(*arguments).stdout
    cut = ["--program", "encode", "--random-weights", "--layers", "1", "--steps", "12"]
    compared = ttscribe("compare", "tiny.en", "--device", "emulator", "--with", "exact", *cut, "--tuned", chosen)
    assert compared.exit_code == 0


def test_a_file_for_another_board_is_one_line(ttscribe, told):
    result = ttscribe("check", "tiny.en", "--offline", "--board", "p150", "--tuned", told[1])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"ttscribe: error: tuned configurations {told[1]} are for n150, not for p150\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tune", "enormous", "--offline"], "enormous"),
        (["tune", "tiny.en", "--device", "emulator"], "emulator does not tell n150's times: tune on ttnn:n150"),
        (["tune", "tiny.en", "--device", "ttnn:p150"], "ttnn:p150 does not tell n150's times: tune on ttnn:n150"),
        (["check", "tiny.en", "--tuned", "absent.json"], "tuned configurations absent.json: No such file or directory"),
        (["compile", "tiny.en", "--random-weights", "--tuned", "README.md"], "ttscribe tune writes such a file"),
    ],
    ids=["model", "emulator", "another board", "no file", "another file"],
)
def test_mistakes_are_one_line(ttscribe, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("# ttscribe\n")
    result = ttscribe(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ttscribe: error: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_device_without_programs_takes_no_configurations(ttscribe, tiny, beckett, tmp_path):
    result = ttscribe(*tiny, "--offline", "--tuned", tmp_path / "tuned.json", beckett)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "tuned configurations are for programs on a card, and cpu runs none" in result.stderr
