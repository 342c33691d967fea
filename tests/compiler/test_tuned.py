"""The file of chosen configurations."""

import json
import re

import msgspec
import pytest

from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.program import Config
from ttscribe.compiler.tuned import FORMAT, Candidate, Configuration, Tuned, TunedCall, TunedFile
from ttscribe.errors import OptionError, OutputError

WIDE = Configuration("transposed blocks", (8, 8), 4, 1, 4, 6, 4)
NARROW = Configuration("columns", (8, 8), 1, 1, 2, 1, 26)
CALLS = (
    TunedCall("ttnn.linear(b)", 4, 9, (Candidate(WIDE, 1e-4), Candidate(NARROW, 2e-4)), "measured", 1.5e-4, WIDE),
    TunedCall("ttnn.linear(a)", 1, 3, (), "measured", 1e-4, None),
)
FOUND = TunedFile(FORMAT, "n300", "0.81.1", CALLS)


@pytest.fixture
def path(tmp_path):
    FOUND.write(tmp_path / "tuned.json")
    return tmp_path / "tuned.json"


def test_what_is_written_is_read_and_calls_are_in_order(path):
    assert TunedFile.read(path) == msgspec.structs.replace(FOUND, calls=CALLS[::-1])
    assert [call.refused for call in TunedFile.read(path).calls] == [3, 7]


def test_the_same_findings_are_the_same_bytes(path, tmp_path):
    msgspec.structs.replace(FOUND, calls=CALLS[::-1]).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("board", ["n300", "n300x2"])
def test_only_what_was_chosen_counts_on_every_board_of_the_kind(path, board):
    assert Tuned.read(path, BOARDS[board]) == Tuned((("ttnn.linear(b)", WIDE),))


def test_another_board_is_one_line(path):
    with pytest.raises(OptionError, match=re.escape(f"{path} are for n300, not for n150")):
        Tuned.read(path, BOARDS["n150"])


def spoilt(change):
    document = json.loads(msgspec.json.encode(FOUND))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        (spoilt(lambda it: it.update(format="ttscribe.tuned/9")), "ttscribe.tuned/9, not ttscribe.tuned/1"),
        (spoilt(lambda it: it.pop("board")), "missing required field `board`"),
        (spoilt(lambda it: it["calls"][0].update(host="somewhere")), "unknown field `host`"),
        (spoilt(lambda it: it["calls"][0]["chosen"].update(shared="otherwise")), "Invalid enum value 'otherwise'"),
        (spoilt(lambda it: it["calls"][0]["chosen"].update(per_core_M=0)), "Expected `int` >= 1"),
        (spoilt(lambda it: it["calls"][0]["chosen"].update(per_core_M="6")), "Expected `int`, got `str`"),
    ],
    ids=["empty", "a list", "format", "no board", "more", "sharing", "size", "type"],
)
def test_a_damaged_file_is_one_line(tmp_path, text, says):
    (tmp_path / "tuned.json").write_text(text)
    with pytest.raises(OptionError) as raised:
        Tuned.read(tmp_path / "tuned.json", BOARDS["n300"])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(OptionError, match=r"absent.json: No such file or directory$"):
        Tuned.read(tmp_path / "absent.json", BOARDS["n150"])
    with pytest.raises(OutputError, match="cannot write"):
        FOUND.write(tmp_path / "absent" / "tuned.json")


@pytest.mark.parametrize("configuration", [WIDE, NARROW])
def test_a_configuration_of_a_program_is_read_back(configuration):
    activation = Config("UnaryWithParam", (("op", "RELU"),))
    made = configuration.config(activation)
    assert made["fused_activation"] == activation
    assert Configuration.of(made) == configuration
    assert Configuration.of(Config("SDPAProgramConfig", made.fields)) is None


def test_a_configuration_is_told_in_one_phrase():
    assert str(WIDE) == "transposed blocks over 8x8 cores, 6x4 tiles a core, 1x4 at a time"
    assert str(NARROW) == "columns over 8x8 cores, 1x26 tiles a core, 1x2 at a time"
