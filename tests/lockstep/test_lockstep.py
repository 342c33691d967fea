"""Programs on two emulated devices, one of which errs on purpose."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from compiler.building import SUPPRESSED, TINY
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.errors import EmulationError, OptionError
from ttscribe.lockstep import Opened, Range, compare
from ttscribe.lockstep.findings import tolerance_of
from ttscribe.lockstep.workload import Cut, cut_model, module_workloads, whisper_workloads
from ttscribe.whisper.model import random_model

BF16 = CompileSettings(policy("bf16-hifi3"))
PYTORCH = Opened("pytorch", None, float32=True)


@pytest.fixture(scope="module")
def workloads():
    """Every program of a small Whisper."""
    made = whisper_workloads(random_model(TINY), SUPPRESSED, PROGRAMS, BF16)
    return {each.compiled.program.name: each for each in made}


class Wrong(EmulatedDevice):
    """Adds ``by`` of a result's size to what the call at one step makes or writes; None: refuses the call."""

    def __init__(self, step, by):
        super().__init__()
        self.step, self.by = step, by

    def load(self, program, params):
        loaded = super().load(program, params)
        right = loaded.run_step

        def run_step(index, values):
            if index == self.step and self.by is None:
                raise EmulationError(f"{program.name}: step {index}: this cannot be")
            right(index, values)
            if index == self.step:
                made = program.body[index].results or program.body[index].operands[:1]
                values[made[0]].data.mul_(1 + self.by)

        loaded.run_step = run_step
        return loaded


def emulator(device=None):
    return Opened("emulator", device or EmulatedDevice(), float32=False)


def exact():
    return Opened("exact", EmulatedDevice(exact=True), float32=True)


def steps_of(program, target):
    return [index for index, step in enumerate(program.body) if step.target == target]


@pytest.mark.parametrize("name", PROGRAMS)
def test_rounding_alone_is_not_off(workloads, name):
    found = compare(workloads[name], emulator(), exact())
    assert (found.agrees, found.first_off, found.kept) == (True, None, None)
    program = workloads[name].compiled.program
    assert [each.step for each in found.steps] == [
        index for index, step in enumerate(program.body) if step.target != "ttnn.deallocate"
    ]
    assert all(each.alone is not None and each.end_to_end is not None for each in found.steps)
    assert found.verdict.startswith("nothing is off: ")


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_can_be_traced_to_pytorch_is_what_pytorch_computes(workloads, name):
    found = compare(workloads[name], exact(), PYTORCH)
    assert found.agrees, found.verdict
    ends = [each.end_to_end.error for each in found.steps if each.end_to_end is not None]
    assert len(ends) > len(found.steps) / 3
    assert max(ends) < 1e-4
    assert all(each.error < 1e-4 for each in found.outputs.values())
    assert found.outputs


def test_the_first_step_that_is_off_is_named_and_what_it_was_given_kept(workloads, tmp_path):
    workload = workloads["decode_step"]
    program = workload.compiled.program
    step = steps_of(program, "ttnn.linear")[2]
    found = compare(workload, emulator(Wrong(step, 0.05)), emulator(), folder=tmp_path / "kept")
    assert (found.first_off.step, found.first_off.target) == (step, "ttnn.linear")
    assert (
        found.verdict
        == f"off: step {step} (ttnn.linear), {program.body[step].results[0]}: relative error 0.05 > 0.0078"
    )
    # The steps after it are made on the reference's inputs: they are right, but their own values are not.
    after = [each for each in found.steps if each.step > step]
    assert max(each.alone.error for each in after) == 0
    assert max(each.end_to_end.error for each in after) > 0.01
    op = program.body[step]
    kept = load_file(found.kept.values)
    assert set(kept) == {*(f"input.{name}" for name in op.inputs), f"expected.{op.results[0]}"}
    x, weight, bias = (kept[f"input.{name}"] for name in op.inputs)
    torch.testing.assert_close(kept[f"expected.{op.results[0]}"], x @ weight + bias, rtol=0.02, atol=0.02)


def test_a_wrong_write_in_place_is_found_where_it_is_made(workloads):
    workload = workloads["decode_step"]
    step = steps_of(workload.compiled.program, "ttnn.experimental.paged_update_cache")[1]
    found = compare(workload, emulator(Wrong(step, 0.1)), emulator())
    assert found.first_off.step == step
    assert round(found.first_off.alone.error, 2) == 0.1
    assert found.steps[-1].end_to_end.error > 0


def test_a_refused_call_is_off_and_later_ones_are_compared_all_the_same(workloads, tmp_path):
    workload = workloads["encode"]
    step = steps_of(workload.compiled.program, "ttnn.layer_norm")[0]
    found = compare(workload, emulator(Wrong(step, None)), emulator(), folder=tmp_path)
    assert found.verdict.endswith(": this cannot be")
    assert found.kept.script.exists()
    after = [each for each in found.steps if each.step > step]
    assert all(each.alone.error == 0 and each.end_to_end is None for each in after)


def test_comparing_can_begin_and_end_at_any_step(workloads):
    workload = workloads["encode"]
    linear = steps_of(workload.compiled.program, "ttnn.linear")
    found = compare(workload, emulator(Wrong(linear[0], 0.5)), emulator(), steps=Range(linear[1], 3))
    assert found.steps[0].step == linear[1]
    assert all(each.step < linear[1] + 3 for each in found.steps)
    # Its own values begin as the reference's: what it would have done wrong before is not in them.
    assert found.agrees
    assert found.steps[0].end_to_end.error == 0


@pytest.mark.parametrize(
    ("steps", "reference", "says"),
    [
        (Range(1000), emulator, "and no step 1000"),
        (Range(0, 0), emulator, "at least one step"),
        (Range(3), lambda: PYTORCH, "--from is for other references"),
    ],
)
def test_impossible_ranges_are_refused(workloads, steps, reference, says):
    with pytest.raises(OptionError, match=says):
        compare(workloads["encode"], emulator(), reference(), steps=steps)


def test_outputs_that_are_too_far_off_are_told_even_where_no_step_is(workloads):
    """Here every step is a little off, and by more than rounding: a tolerance that hides it does not hide the end."""

    class Drifting(Wrong):
        def load(self, program, params):
            loaded = super().load(program, params)
            right = loaded.run_step

            def run_step(index, values):
                right(index, values)
                if program.body[index].target == "ttnn.linear":
                    values[program.body[index].results[0]].data.mul_(1.2)

            loaded.run_step = run_step
            return loaded

    found = compare(workloads["encode"], emulator(Drifting(-1, 0)), emulator(), tolerance=0.3)
    assert found.first_off is None
    assert not found.agrees
    assert found.verdict.startswith("off end to end, though no step is alone: ")


def test_tolerances_are_those_of_the_precision(workloads):
    assert compare(workloads["encode"], emulator(), exact()).tolerance == tolerance_of("bf16-hifi3", float32=True)
    assert compare(workloads["encode"], emulator(), emulator()).tolerance == tolerance_of("bf16-hifi3", float32=False)
    assert compare(workloads["encode"], exact(), exact()).tolerance == tolerance_of("exact", float32=True)


def test_a_comparison_is_data(workloads):
    found = compare(workloads["encode"], emulator(Wrong(3, 1.0)), emulator())
    data = found.to_json()
    assert (data["agrees"], data["verdict"]) == (False, found.verdict)
    assert data["steps"][0]["alone"]["error"] == 0


def test_a_module_is_compared_graph_by_graph():
    module = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64)).eval()
    (workload,) = module_workloads(module, (torch.zeros(1, 64, 64),), BF16)
    assert workload.about == "the example inputs, 1 of them seeded normal numbers"
    for reference in (exact(), PYTORCH):
        found = compare(workload, emulator(), reference)
        assert found.agrees, found.verdict
        assert found.outputs


def test_what_stays_on_the_host_is_gone_through_too():
    class Sorted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(64, 64)

        def forward(self, x):
            return self.linear(torch.sort(self.linear(x))[0])

    (workload,) = module_workloads(Sorted().eval(), (torch.zeros(1, 32, 64),), BF16)
    assert workload.compiled.program.host_segments
    assert compare(workload, emulator(), exact()).agrees


def test_a_cut_model_keeps_its_weights():
    model = random_model(TINY)
    smaller = cut_model(model, Cut(layers=1, frames=32, vocabulary=40))
    assert smaller.config == replace(TINY, encoder_layers=1, decoder_layers=1, max_source_positions=16, vocab_size=40)
    own = model.state_dict()
    assert all(
        torch.equal(own[name][tuple(map(slice, part.shape))], part) for name, part in smaller.state_dict().items()
    )
    assert str(Cut(layers=1, frames=32)) == "the first 1 layer, the first 32 mel frames"


@pytest.mark.parametrize("cut", [Cut(layers=0), Cut(frames=33), Cut(vocabulary=-1)])
def test_impossible_cuts_are_refused(cut):
    with pytest.raises(OptionError):
        cut_model(random_model(TINY), cut)


def test_tiny_ens_decode_step_is_not_off(tiny_en):
    made = whisper_workloads(tiny_en.model, tiny_en.suppress_tokens, ["decode_step"], BF16, cut=Cut(layers=2))
    (workload,) = made
    found = compare(workload, emulator(), exact())
    assert found.agrees, found.verdict
    assert workload.about.endswith("of the model the first 2 layers")
