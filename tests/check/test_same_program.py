"""The programs that a check validates are those that the emulator runs and the accuracy table was made with."""

from compiler.building import TINY
from ttscribe.check.programs import checkable_whisper
from ttscribe.compiler.serialise import from_json, to_json
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices import make_runner
from ttscribe.whisper.model import random_model, shape_only_model


def test_the_check_is_given_the_very_programs_that_the_emulator_runs():
    """With bfloat8_b weights, which are no bfloat16 default of anything."""
    precision = "bfp8-hifi3"
    runner = make_runner("emulator", random_model(TINY), precision)
    for checkable in checkable_whisper(shape_only_model(TINY), CompileSettings(policy(precision))):
        given = from_json(to_json(checkable.program))  # as it reaches the process with the mock board
        assert given == runner.program(given.name).program
