"""A program as JSON, as text, and as a script."""

import json
from dataclasses import replace

import pytest
import torch

from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.emit import to_script
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.passes import optimise
from ttscribe.compiler.serialise import FORMAT, from_json, to_json
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.text import to_text
from ttscribe.compiler.verify import ProgramInvalid, verify
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.errors import CompileError


class OnTheHost(torch.nn.Module):
    """What no rule lowers, with arguments of every kind in between calls that are lowered."""

    def forward(self, x):
        x = torch.relu(x)
        values, order = x.sort(-1, descending=True)
        filled = torch.nn.functional.pad(values, (1, 2), value=float("-inf"))
        picked = filled[:, None, ..., ::2].roll((1, 2), (0, 1)).nan_to_num(neginf=None)
        return torch.tanh(picked.to(torch.float32)) + 1, order.to(torch.int16)


@pytest.fixture(scope="module")
def mixed():
    """A program with host segments."""
    captured = capture_method("mixed", OnTheHost(), OnTheHost().forward, {"x": torch.ones(3, 8)}, on_device=False)
    return optimise(lower(captured), CompileSettings(policy("bf16-hifi2")))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_stage_comes_back_from_json(name, compiled):
    for program in compiled[name].values():
        assert from_json(to_json(program)) == program


def test_host_segments_come_back_from_json(mixed):
    assert mixed.host_segments
    assert from_json(to_json(mixed, indent=1)) == mixed


def test_json_has_no_numbers_that_json_lacks(mixed):
    def refuse(constant):
        pytest.fail(f"{constant} is no JSON")

    assert json.loads(to_json(mixed), parse_constant=refuse)["format"] == FORMAT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"format": "another/1", "program": {}}',
        f'{{"format": "{FORMAT}"}}',
        f'{{"format": "{FORMAT}", "program": 5}}',
        f'{{"format": "{FORMAT}", "program": {{"is": "Ref", "name": "x"}}}}',
        f'{{"format": "{FORMAT}", "program": {{"is": "Nothing"}}}}',
        f'{{"format": "{FORMAT}", "program": {{"is": "Program", "name": "x"}}}}',
        f'{{"format": "{FORMAT}", "program": {{"enum": "DType", "value": "float7"}}}}',
    ],
)
def test_what_is_no_program_is_refused(text):
    with pytest.raises(ValueError, match=FORMAT):
        from_json(text)


def test_a_cut_text_is_refused(mixed):
    with pytest.raises(ValueError, match=FORMAT):
        from_json(to_json(mixed)[:-9])


def test_text_says_why_something_stays_on_the_host(mixed):
    text = to_text(mixed)
    for fallback in mixed.fallbacks:
        assert f"      # {fallback.reason.value}: {fallback.sentence}\n" in text
    assert "  host (relu_on_host) -> " in text


def test_text_tells_programs_apart(mixed, compiled):
    other = replace(mixed, precision="exact")
    assert to_text(other) != to_text(mixed)
    stages = list(compiled["decode_step"].values())
    assert len(set(map(to_text, stages))) == len(set(stages))


def test_a_configuration_is_written_once(compiled):
    text = to_text(list(compiled["encode"].values())[-1])
    assert text.count("math_fidelity=") == text.count("config ComputeKernelConfig")


@pytest.mark.parametrize("name", PROGRAMS)
def test_script_is_python_that_makes_every_call(name, compiled):
    program = list(compiled[name].values())[-1]
    script = to_script(program)
    compile(script, "program.py", "exec")
    for op in program.ops:
        assert f"{op.target}(" in script
    assert script.count("ttnn.deallocate(") == sum(op.target == "ttnn.deallocate" for op in program.ops)


def test_a_program_with_host_segments_is_no_script(mixed):
    with pytest.raises(CompileError, match="stay on the host"):
        to_script(mixed)


@pytest.mark.parametrize("part", range(8))
def test_a_program_that_lacks_a_call_is_refused(part, compiled):
    program = compiled["decode_step"]["lowered"]
    made = [step for step in program.body if step.outputs]
    missing = made[part * len(made) // 8]
    with pytest.raises(ProgramInvalid, match="before it is defined"):
        verify(replace(program, body=tuple(step for step in program.body if step is not missing)))


def test_infinities_are_python_in_a_script():
    class Masked(torch.nn.Module):
        def forward(self, x):
            return x.masked_fill(x > 0, float("-inf"))

    captured = capture_method("masked", Masked(), Masked().forward, {"x": torch.ones(3, 8)})
    script = to_script(optimise(lower(captured), CompileSettings(policy("exact"))))
    assert 'float("-inf")' in script
    compile(script, "script", "exec")
