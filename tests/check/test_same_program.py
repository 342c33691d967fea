"""The programs that a check validates are those that the emulator runs and the accuracy table was made with."""

from ttscribe.check.programs import checkable_whisper
from ttscribe.compiler.serialise import from_json, to_json
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices import make_runner
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model


def test_the_check_is_given_the_very_programs_that_the_emulator_runs(tiny_en):
    """With bfloat8_b weights, which are no bfloat16 default of anything."""
    precision = "bfp8-hifi3"
    runner = make_runner("emulator", tiny_en.model, precision, tiny_en.suppress_tokens)
    for checkable in checkable_whisper(shape_only_model(SIZES["tiny.en"]), CompileSettings(policy(precision))):
        given = from_json(to_json(checkable.program))  # as it reaches the process with the mock board
        assert given == runner.compiled(given.name).program  # the very object that is loaded
