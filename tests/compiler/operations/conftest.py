import json

import pytest
import torch

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import DType, Layout, Op, Program, TensorSpec, Value
from ttscribe.devices.emulator import DeviceTensor, EmulatedDevice

# One Wormhole chip, as a cluster descriptor: TT-NN's host code asks it for tile sizes before it converts block formats.
N150 = {
    "arch": {0: "wormhole_b0"},
    "chips": {0: [0, 0, 0, 0]},
    "chip_unique_ids": {0: (1 << 56) | (0x18 << 36) | 0x42},
    "ethernet_connections": [],
    "chips_with_mmio": [{0: 0}],
    "io_device_type": "PCIe",
    "harvesting": {
        0: {
            "noc_translation": True,
            "harvest_mask": 0x20,
            "dram_harvesting_mask": 0,
            "eth_harvesting_mask": 0,
            "pcie_harvesting_mask": 0,
            "l2cpu_harvesting_mask": 0,
        }
    },
    "chip_to_boardtype": {0: "n150"},
    "chip_to_bus_id": {0: "0x0001"},
    "asic_locations": {0: 0},
    "boards": [[{"board_id": (1 << 56) | (0x18 << 36) | 0x42}, {"board_type": "n150"}, {"chips": [0]}]],
}


@pytest.fixture(scope="session")
def ttnn(tmp_path_factory):
    """TT-NN's host code, with a mock chip to ask for tile sizes."""
    descriptor = tmp_path_factory.mktemp("cluster") / "n150.yaml"
    descriptor.write_text(json.dumps(N150))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", str(descriptor))
        patch.setenv("TT_METAL_LOGGER_LEVEL", "FATAL")
        yield pytest.importorskip("ttnn")


def spec_of(tensor, dtype=None, layout=Layout.TILE):
    """A float tensor in tiles, an integer one as uint32 in rows, unless said otherwise."""
    if isinstance(tensor, TensorSpec):
        return tensor
    floating = tensor.is_floating_point()
    return TensorSpec(
        tuple(tensor.shape),
        dtype or (DType.BFLOAT16 if floating else DType.UINT32),
        layout if floating else Layout.ROW_MAJOR,
    )


def one_call(target, count, specs, keywords=(), **attributes):
    """A program that is one call, its tensors inputs: the first ``count`` by position, the others by keyword."""
    names = [f"x{index}" for index in range(len(specs))]
    op = Op(
        target, tuple(names[:count]), (), tuple(zip(keywords, names[count:], strict=True)), tuple(attributes.items())
    )
    outputs = OPERATIONS[target].infer(op, specs)
    values = tuple(Value(f"y{index}", spec) for index, spec in enumerate(outputs))
    op = Op(op.target, op.operands, values, op.keywords, op.attributes)
    inputs = tuple(Value(name, spec) for name, spec in zip(names, specs, strict=True))
    return Program("one", inputs, (), (), (), (op,), tuple(value.name for value in values))


@pytest.fixture
def run():
    """Run one TT-NN call on torch tensors (or DeviceTensors, which it may write to); gives its outputs' data."""

    def run(target, *tensors, exact=False, keywords=None, specs=None, **attributes):
        device = EmulatedDevice(exact=exact)
        everything = [*tensors, *(keywords or {}).values()]
        specs = specs or [each.spec if isinstance(each, DeviceTensor) else spec_of(each) for each in everything]
        program = one_call(target, len(tensors), specs, tuple(keywords or ()), **attributes)
        held = [
            each if isinstance(each, DeviceTensor) else device.to_device(each, spec)
            for each, spec in zip(everything, specs, strict=True)
        ]
        outputs = [output.data for output in device.load(program, {})(*held)]
        return outputs[0] if len(outputs) == 1 else outputs

    return run


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def held():
    """Put a tensor on an exact device, to be written in place."""
    return lambda tensor, spec=None: EmulatedDevice(exact=True).to_device(tensor, spec or spec_of(tensor))
