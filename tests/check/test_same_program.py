"""The programs that a check validates are those that the emulator runs and the accuracy table was made with."""

from dataclasses import replace

from ttscribe.check.programs import checkable_whisper
from ttscribe.compiler.serialise import from_json, to_json
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices import make_runner
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import WhisperModel, shape_only_model


def test_the_check_is_given_the_very_programs_that_the_emulator_runs():
    """With bfloat8_b weights, which are no bfloat16 default of anything; of a size with a layer each."""
    precision = "bfp8-mixed"
    config = replace(SIZES["tiny.en"], encoder_layers=1, decoder_layers=1)
    runner = make_runner("emulator", WhisperModel(config).eval(), precision, (1, 2, 50257))
    for checkable in checkable_whisper(shape_only_model(config), CompileSettings(policy(precision))):
        given = from_json(to_json(checkable.program))  # as it reaches the process with the mock board
        assert given == runner.compiled(given.name).program  # the very object that is loaded
