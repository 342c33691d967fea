"""A stand-in for TT-NN that computes with torch: as much of it as tests call, and faults on request.

``TTNN_STAND_IN_ERRS`` has the names of operations that compute something else: ``conv1d`` and ``gelu`` take a table in
place of GELU, as TT-NN's own table variant does, ``add`` is refused, ``relu`` ends the process, ``exp`` never ends.
"""

import os
import signal
import time
from types import SimpleNamespace

import torch
from torch.nn import functional as F


class _Words:
    """Any attribute is its own name."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, word):
        return f"{self._name}.{word}"


MathFidelity, UnaryOpType, ShardStrategy = _Words("MathFidelity"), _Words("UnaryOpType"), _Words("ShardStrategy")
bfloat16, bfloat8_b, float32, int32, uint32 = (
    f"DataType.{name}" for name in ("BFLOAT16", "BFLOAT8_B", "FLOAT32", "INT32", "UINT32")
)
TILE_LAYOUT, ROW_MAJOR_LAYOUT = "Layout.TILE", "Layout.ROW_MAJOR"
Conv2dL1FullSliceConfig = "Conv2dL1FullSliceConfig"
calls = []  # the names of what was called, in order
opened_with = {}
cluster = SimpleNamespace(get_cluster_type=lambda: "ClusterType.N150")


class MemoryConfig:
    def __init__(self, buffer, layout="TensorMemoryLayout.INTERLEAVED"):
        self.buffer_type, self.memory_layout = f"BufferType.{buffer}", layout


DRAM_MEMORY_CONFIG, L1_MEMORY_CONFIG = MemoryConfig("DRAM"), MemoryConfig("L1")


class _Made:
    def __init__(self, *positional, **keywords):
        self.positional = positional
        self.__dict__.update(keywords)


class CoreGrid(_Made): ...


class SDPAProgramConfig(_Made): ...


class Conv1dConfig(_Made): ...


class UnaryWithParam(_Made): ...


class LayerNormDefaultProgramConfig(_Made): ...


def init_device_compute_kernel_config(_architecture, **keywords):
    return _Made(**keywords)


def num_cores_to_corerangeset(count, _grid, row_wise):
    return count


def create_sharded_memory_config(**_):
    return MemoryConfig("L1", "TensorMemoryLayout.HEIGHT_SHARDED")


class Tensor:
    """``data`` is float32, or int64 for whole numbers."""

    def __init__(self, data, dtype=bfloat16, layout=TILE_LAYOUT, memory=DRAM_MEMORY_CONFIG):
        self.data, self.dtype, self.layout, self._memory = _rounded(data, dtype), dtype, layout, memory
        self.shape = tuple(data.shape)

    def memory_config(self):
        return self._memory

    def is_sharded(self):
        return "SHARDED" in self._memory.memory_layout

    def is_allocated(self):
        return True

    def buffer_address(self):
        return self.data.data_ptr()


def _rounded(data, dtype):
    if dtype in (int32, uint32):
        return data.to(torch.int64)
    return data.float() if dtype == float32 else data.to(torch.bfloat16).float()


def _errs(name):
    return name in os.environ.get("TTNN_STAND_IN_ERRS", "").split(",")


# The device.


class Device:
    def arch(self):
        return "Arch.WORMHOLE_B0"

    def compute_with_storage_grid_size(self):
        return SimpleNamespace(x=8, y=8)


def open_device(device_id, **options):
    opened_with.clear()
    opened_with.update(options)
    return Device()


def close_device(_device): ...


def synchronize_device(_device): ...


def get_device_ids():
    return [0]


def from_torch(tensor, dtype=bfloat16, layout=ROW_MAJOR_LAYOUT, device=None, memory_config=None, mesh_mapper=None):
    return Tensor(tensor.clone(), dtype, layout, memory_config or DRAM_MEMORY_CONFIG)


def to_device(tensor, _device, memory_config=None):
    return Tensor(tensor.data.clone(), tensor.dtype, tensor.layout, memory_config or DRAM_MEMORY_CONFIG)


def copy_host_to_device_tensor(host, tensor, cq_id=0):
    calls.append("copy_host_to_device_tensor")
    tensor.data.copy_(host.data)


def to_torch(tensor):
    return tensor.data.to(torch.int32) if tensor.dtype in (int32, uint32) else tensor.data.clone()


def clone(tensor):
    return Tensor(tensor.data.clone(), tensor.dtype, tensor.layout, tensor._memory)


def deallocate(_tensor): ...


def dump_tensor(path, tensor):
    torch.save([tensor.data, tensor.dtype, tensor.layout], path)


def load_tensor(path):
    return Tensor(*torch.load(path, weights_only=True))


# Operations.


def _like(tensor, data, memory_config=None, **form):
    return Tensor(
        data, form.get("dtype", tensor.dtype), form.get("layout", tensor.layout), memory_config or tensor._memory
    )


def table_gelu(x):
    """Straight lines between the function's values at these points."""
    knots = torch.tensor([-3.0, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3])
    x = x.contiguous()
    values, at = F.gelu(knots), torch.bucketize(x.clamp(-2.99, 2.99), knots).clamp(1, len(knots) - 1)
    share = (x - knots[at - 1]) / (knots[at] - knots[at - 1])
    lines = values[at - 1] + share * (values[at] - values[at - 1])
    return torch.where(x > 3, x, torch.where(x < -3, 0, lines))


def gelu(x, fast_and_approximate_mode=False, memory_config=None):
    return _like(x, (table_gelu if _errs("gelu") or fast_and_approximate_mode else F.gelu)(x.data), memory_config)


def relu(x, memory_config=None):
    if _errs("relu"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return _like(x, x.data.relu(), memory_config)


def exp(x, memory_config=None, fast_and_approximate_mode=False):
    if _errs("exp"):
        time.sleep(3600)
    return _like(x, x.data.exp(), memory_config)


def add(x, y, memory_config=None, **_):
    if _errs("add"):
        raise RuntimeError("TT_FATAL @ binary.cpp:1: a == b\ninfo:\nShapes cannot be added\nbacktrace:\n --- nothing")
    return _like(x, x.data + (y.data if isinstance(y, Tensor) else y), memory_config)


def plus_one(x):
    x.data += 1
    return x


def linear(x, weight, bias=None, activation=None, memory_config=None, **_):
    made = x.data @ weight.data + (0 if bias is None else bias.data)
    return _like(x, F.gelu(made) if activation == "gelu" else made, memory_config)


def layer_norm(x, weight=None, bias=None, epsilon=1e-12, memory_config=None, **_):
    given = [None if each is None else each.data.flatten() for each in (weight, bias)]
    return _like(x, F.layer_norm(x.data, x.shape[-1:], *given, epsilon), memory_config)


def reshape(x, shape, memory_config=None):
    return _like(x, x.data.reshape(shape), memory_config)


def conv1d(
    input_tensor,
    weight_tensor,
    bias_tensor=None,
    *,
    in_channels,
    batch_size,
    input_length,
    stride,
    padding,
    conv_config,
    return_weights_and_bias=False,
    **_,
):
    calls.append("conv1d")
    rows = input_tensor.data.reshape(batch_size, input_length, in_channels).transpose(1, 2)
    bias = None if bias_tensor is None else bias_tensor.data.flatten()
    made = F.conv1d(rows, weight_tensor.data, bias, stride, padding).transpose(1, 2)[:, None]
    if getattr(conv_config, "activation", None) is not None:
        made = (table_gelu if _errs("conv1d") else F.gelu)(made)
    result = Tensor(made, memory=MemoryConfig("L1", "TensorMemoryLayout.HEIGHT_SHARDED"))
    return (result, (weight_tensor, bias_tensor)) if return_weights_and_bias else result


def _create_qkv_heads(x, num_heads, num_kv_heads, transpose_k_heads, memory_config=None, output_tensors=None):
    width = x.shape[-1] // (num_heads + 2 * num_kv_heads)
    counts = (num_heads, num_kv_heads, num_kv_heads)
    heads = [
        each.reshape(len(each), -1, count, width).transpose(1, 2)
        for each, count in zip(x.data[:, 0].split([width * count for count in counts], -1), counts, strict=True)
    ]
    return tuple(_like(x, each, memory_config) for each in heads)


def _concat_heads(x, memory_config=None):
    return _like(x, x.data.transpose(1, 2).flatten(2)[:, None], memory_config)


def _attention(q, k, v, is_causal=True, scale=None, memory_config=None, **_):
    made = F.scaled_dot_product_attention(q.data, k.data, v.data, is_causal=is_causal, scale=scale)
    return _like(q, made, memory_config)


experimental = SimpleNamespace(nlp_create_qkv_heads=_create_qkv_heads, nlp_concat_heads=_concat_heads)
transformer = SimpleNamespace(scaled_dot_product_attention=_attention)
