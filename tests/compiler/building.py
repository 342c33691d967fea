"""Small programs by hand, and running any program beside another."""

import torch
from torch import Tensor

from ttscribe.compiler.lowering.builder import Builder, Known
from ttscribe.compiler.memory import memory_owners
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import DType, HostSpec, Layout, Op, Program, Role, TensorSpec, Value
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.verify import verify
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.whisper.config import WhisperConfig

TINY = WhisperConfig(
    vocab_size=96,
    num_mel_bins=8,
    d_model=64,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=128,
    decoder_layers=2,
    decoder_attention_heads=2,
    decoder_ffn_dim=128,
    max_source_positions=50,
    max_target_positions=64,
)
SUPPRESSED = (1, 5)
EXACT = CompileSettings(policy("exact"))

GENERATOR = torch.Generator().manual_seed(0)


class Building(Builder):
    """A lowering's builder with inputs and params of its own; ``params`` have their data."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Value] = []
        self.params: dict[str, Tensor] = {}

    def given(self, name, *shape, dtype=DType.BFLOAT16):
        """An input: floats in tiles, integers in rows."""
        layout = Layout.TILE if dtype.floating else Layout.ROW_MAJOR
        self.inputs.append(self.declare(name, TensorSpec(shape, dtype, layout), Role.ARGUMENT))
        return name

    def weight(self, name, *shape, **form):
        """A param, as a device constant."""
        return self.device_constant(self.param(name, torch.randn(shape, generator=GENERATOR) / shape[0] ** 0.5), **form)

    def counted(self, start, end, *shape):
        """The whole numbers from ``start`` to ``end``, which the compiler knows, as a constant of ``shape``."""
        numbers = self.at_setup("aten.arange.start", start, end)
        return self.device_constant(self.at_setup("aten.reshape.default", numbers, shape))

    def param(self, name, data):
        self.declare(name, HostSpec(tuple(data.shape), str(data.dtype).removeprefix("torch.")))
        self.params[name] = data
        return Known(name)

    def ops(self, target, *operands, **attributes):
        """A call with several results; their names."""
        self.body.append(self.call(target, *operands, **attributes))
        return self.body[-1].results

    def program(self, *outputs):
        params = tuple(Value(name, self.specs[name]) for name in self.params)
        constants = tuple(self.constants.values())
        made = Program(
            "small",
            tuple(self.inputs),
            params,
            tuple(self.setup),
            constants,
            tuple(self.body),
            outputs,
            written_inputs=written_inputs(self.inputs, self.body, self.specs),
        )
        verify(made)
        return made


def written_inputs(inputs, body, specs):
    """The inputs that calls of a body write, also through views of them."""
    owners = memory_owners(body, specs)
    calls = [step for step in body if isinstance(step, Op)]
    names = {owners.get(name, name) for op in calls for name in OPERATIONS[op.target].written(op)}
    return tuple(value.name for value in inputs if value.name in names)


def arguments_for(program):
    """Seeded host tensors for a program's inputs, by name; integers are small positions."""
    generator = torch.Generator().manual_seed(1)
    return {
        value.name: torch.randn(value.spec.shape, generator=generator)
        if value.spec.dtype.floating
        else torch.randint(0, 4, value.spec.shape, generator=generator)
        for value in program.inputs
    }


def run(program, params, arguments, *, exact=True, times=1):
    """Outputs, and inputs as they are afterwards, as host tensors; ``times`` runs on the same inputs."""
    device = EmulatedDevice(exact=exact)
    inputs = [device.to_device(arguments[value.name], value.spec) for value in program.inputs]
    loaded = device.load(program, {value.name: params[value.name] for value in program.params})
    for _ in range(times):
        outputs = loaded(*inputs)
    return [output.data for output in outputs], {
        value.name: tensor.data for value, tensor in zip(program.inputs, inputs, strict=True)
    }


def assert_same(before, after, params, arguments=None):
    """Both programs give the same outputs and leave the same inputs behind."""
    verify(after)
    arguments = arguments or arguments_for(before)
    assert [value.name for value in before.inputs] == [value.name for value in after.inputs]
    assert_close(run(after, params, arguments), run(before, params, arguments))


def assert_close(results, wanted):
    for result, like in zip(results[0], wanted[0], strict=True):
        close(result, like)
    for name, like in wanted[1].items():
        close(results[1][name], like)


def close(result, like):
    torch.testing.assert_close(result.double(), like.double(), rtol=1e-4, atol=2e-5)


def targets(program):
    """The program's calls, in order, without their namespaces."""
    return [op.target.rpartition(".")[2] for op in program.ops]
