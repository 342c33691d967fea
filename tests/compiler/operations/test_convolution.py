"""How many channels of a convolution a core has: what TT-NN's own host code chooses, on a mock board."""

import importlib.util
import json
import subprocess
import sys

import pytest

from ttscribe.compiler.operations.convolution_kernels import channels_of_a_core
from ttscribe.devices.ttnn.mock import mock_environment

# Channels in and out, positions in, stride, batch, tiles: of recorded calls, of every Whisper's two, and of others that
# TT-NN shards by positions, by both, or by channels.
SHAPES = (
    *((64, 64, 64, 1, 1, False), (64, 64, 64, 2, 1, False), (80, 64, 64, 1, 1, False), (64, 64, 32, 1, 1, False)),
    *((80, width, 3000, 1, 1, False) for width in (384, 512, 768, 1024, 1280)),
    *((width, width, 3000, 2, 1, True) for width in (384, 512, 768, 1024, 1280)),
    *((128, 1280, 3000, 1, 1, False), (384, 384, 3000, 2, 1, False), (256, 512, 2000, 1, 1, False)),
    *((8, 16, 1000, 1, 1, False), (3, 8, 16000, 1, 1, False), (32, 32, 16000, 1, 1, False)),
    *((96, 96, 3000, 1, 1, False), (96, 96, 3000, 1, 4, False), (40, 40, 333, 1, 4, False)),
    *((256, 256, 100, 1, 1, False), (512, 512, 50, 1, 1, False), (512, 512, 50, 1, 4, False)),
    *((16, 64, 300, 1, 1, False), (24, 24, 200, 1, 1, False), (160, 384, 200, 1, 2, False)),
)
ASK = """
import json, os, sys
import ttnn

device = ttnn.open_device(device_id=0, l1_small_size=16384)
widths = []
for channels, outputs, length, stride, batch, tiled in json.loads(sys.argv[1]):
    layout = ttnn.TILE_LAYOUT if tiled else ttnn.ROW_MAJOR_LAYOUT
    ttnn.graph.begin_graph_capture(ttnn.graph.RunMode.NORMAL)
    ttnn.conv1d(
        input_tensor=ttnn.empty([1, 1, batch * length, channels], device=device, dtype=ttnn.bfloat16, layout=layout),
        weight_tensor=ttnn.zeros([outputs, channels, 3], dtype=ttnn.bfloat16),
        bias_tensor=ttnn.zeros([1, 1, 1, outputs], dtype=ttnn.bfloat16),
        device=device,
        in_channels=channels,
        out_channels=outputs,
        batch_size=batch,
        input_length=length,
        kernel_size=3,
        stride=stride,
        padding=1,
        dilation=1,
        groups=1,
        conv_config=ttnn.Conv1dConfig(weights_dtype=ttnn.bfloat16),
    )
    started = [node for node in ttnn.graph.end_graph_capture() if node["node_type"] == "function_start"]
    halo = next(node for node in started if node["params"]["name"] == "HaloDeviceOperation")
    # The shards of what is convolved, as TT-NN prints them: shape=[positions, channels].
    widths.append(int(str(halo["arguments"][1]).split("shape=[")[1].split("]")[0].split(",")[1]))
print(json.dumps(widths), flush=True)
# What TT-NN does while it shuts a mock board down is of no interest.
os._exit(0)
"""


def test_channels_are_spread_over_cores_as_ttnns_host_code_does():
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")
    command = [sys.executable, "-c", ASK, json.dumps(SHAPES)]
    done = subprocess.run(command, env=mock_environment("n150"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ours = [
        channels_of_a_core(channels, outputs, 3, batch * -(-length // stride), tiled=tiled)
        for channels, outputs, length, stride, batch, tiled in SHAPES
    ]
    assert ours == json.loads(done.stdout.splitlines()[-1])
