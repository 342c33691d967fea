"""Compiling takes time in proportion to layers."""

import time
from dataclasses import replace

from compiler.building import TINY
from ttscribe.compiler.compilation import compile_stages
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.whisper.model import random_model


def seconds(captured):
    """Processor time for lowering and every pass, the least of three."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        list(compile_stages(captured, CompileSettings(policy("bf16-hifi2"))))
        taken.append(time.process_time() - start)
    return min(taken)


def graph(name, layers):
    return capture_program(name, random_model(replace(TINY, encoder_layers=layers, decoder_layers=layers)))


def test_encoder_compiles_in_time_linear_in_layers():
    assert seconds(graph("encode", 16)) < 6 * seconds(graph("encode", 4))


def test_decode_step_compiles_in_time_linear_in_layers():
    assert seconds(graph("decode_step", 8)) < 6 * seconds(graph("decode_step", 2))
