"""Calls that are to write into a given tensor: TT-NN gives that tensor back, or the check names the call."""

import subprocess
import sys
from functools import cache

import pytest

from ttscribe.check import Kind
from ttscribe.check.programs import checkable
from ttscribe.check.run import _Check
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

pytestmark = pytest.mark.xdist_group("tiny.en")

CUTS_HEADS = "ttnn.experimental.nlp_create_qkv_heads"
# The worker, with a list of one where TT-NN wants as many tensors as it has results: so cross_kv was once.
LIST_OF_ONE = f"""
from dataclasses import replace
from ttscribe.check.worker import main
from ttscribe.compiler.operations import OPERATIONS

OPERATIONS[{CUTS_HEADS!r}] = replace(OPERATIONS[{CUTS_HEADS!r}], into_list=1)
main()
"""


class CheckedAsBefore(_Check):
    def _process(self):
        (self.folder / "skip.json").write_text("[]")
        command = [sys.executable, "-c", LIST_OF_ONE, str(self.folder), str(len(self.programs)), self.board_name]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)


@cache
def programs():
    model = shape_only_model(SIZES["tiny.en"])
    return [checkable(compile_graph(capture_program(name, model), CompileSettings())) for name in PROGRAMS]


def written(program):
    return [name for op in program.ops for name in OPERATIONS[op.target].written(op)]


def test_every_input_that_is_declared_as_written_is_written_by_a_call():
    for item in programs():
        inputs = {value.name for value in item.program.inputs}
        assert set(written(item.program)) & inputs == set(item.program.written_inputs)
    by_name = {item.program.name: item.program for item in programs()}
    assert len(by_name["cross_kv"].written_inputs) == 8
    assert by_name["encode"].written_inputs == ()
    assert {"token", "position"} < set(by_name["greedy_step"].written_inputs)


def test_a_list_of_one_leaves_the_state_as_it_was_and_is_found(tmp_path):
    report = CheckedAsBefore(programs(), "n150", tmp_path).run()
    assert {(finding.program, finding.kind) for finding in report.findings} == {("cross_kv", Kind.NOT_WRITTEN)}
    assert len(report.findings) == 8
    first = report.findings[0]
    assert (
        first.message
        == f"{CUTS_HEADS} does not write into state_cross_attention_0_key, which it was given to write into"
    )
