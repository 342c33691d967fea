"""What a Program says of a call, as TT-NN's own objects: how each is made, in one place.

``ttnn_argument`` turns an attribute into an expression over the names ``ttnn``, ``device`` and ``grid`` (the device's
compute grid). A device evaluates it (``evaluate``), ``compiler/emit.py`` writes it down (``source``). Sequences are
tuples in an expression and lists in what comes of it, as TT-NN's bindings want them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from math import isfinite
from typing import Any

from ttscribe.compiler.program import Config, DType, Layout, Memory, Sharding


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name such as ``ttnn.bfloat16`` or ``grid.x``."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Construct:
    """A call that makes one of TT-NN's objects."""

    function: Name
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        arguments = [*map(source, self.positional), *(f"{name}={source(item)}" for name, item in self.keywords)]
        return f"{self.function}({', '.join(arguments)})"


def source(expression: Any) -> str:
    """An expression as Python."""
    if isinstance(expression, Name | Construct):
        return str(expression)
    if isinstance(expression, tuple):
        return f"[{', '.join(map(source, expression))}]"
    if isinstance(expression, float) and not isfinite(expression):
        return f'float("{expression}")'
    return repr(expression)


def evaluate(expression: Any, names: Mapping[str, Any]) -> Any:
    """The value of an expression; ``names`` has ``ttnn``, ``device`` and ``grid``."""
    if isinstance(expression, Name):
        first, *rest = expression.path.split(".")
        return reduce(getattr, rest, names[first])
    if isinstance(expression, Construct):
        positional = [evaluate(item, names) for item in expression.positional]
        keywords = {name: evaluate(item, names) for name, item in expression.keywords}
        return evaluate(expression.function, names)(*positional, **keywords)
    if isinstance(expression, tuple):
        return [evaluate(item, names) for item in expression]
    return expression


def ttnn_argument(item: Any) -> Any:
    """An attribute of a call; element types, layouts, memory and configurations become expressions."""
    if isinstance(item, DType):
        return Name(f"ttnn.{item.value}")
    if isinstance(item, Layout):
        return Name(f"ttnn.{item.value.upper()}_LAYOUT")
    if isinstance(item, Memory):
        return _memory(item)
    if isinstance(item, Config):
        return _CONFIGS[item.kind]({name: ttnn_argument(value) for name, value in item.fields})
    if isinstance(item, tuple | list):
        return tuple(map(ttnn_argument, item))
    return item


def _construct(function: str, *positional: Any, **keywords: Any) -> Construct:
    return Construct(Name(function), positional, tuple(keywords.items()))


def _memory(memory: Memory) -> Name | Construct:
    if memory.sharding is None:
        return Name(f"ttnn.{memory.buffer.upper()}_MEMORY_CONFIG")
    # TT-NN would take the shape for the whole tensor's and divide it by the cores, were it not for the last argument.
    sharding = memory.sharding
    if memory.buffer == "dram":
        return _in_banks(sharding)
    return _construct(
        "ttnn.create_sharded_memory_config",
        shape=sharding.shape,
        core_grid=_construct("ttnn.num_cores_to_corerangeset", sharding.cores, Name("grid"), row_wise=True),
        strategy=Name(f"ttnn.ShardStrategy.{sharding.strategy.upper()}"),
        use_height_and_width_as_shard_shape=True,
    )


def _in_banks(sharding: Sharding) -> Construct:
    """Shards in DRAM: its banks are a row of cores to TT-NN, whatever the grid of the real ones."""
    first, last = (_construct("ttnn.CoreCoord", at, 0) for at in (0, sharding.cores - 1))
    banks = _construct("ttnn.CoreRangeSet", (_construct("ttnn.CoreRange", first, last),))
    return _construct(
        "ttnn.MemoryConfig",
        Name(f"ttnn.TensorMemoryLayout.{sharding.strategy.upper()}_SHARDED"),
        Name("ttnn.BufferType.DRAM"),
        _construct("ttnn.ShardSpec", banks, sharding.shape, Name("ttnn.ShardOrientation.ROW_MAJOR")),
    )


def _compute_kernel(fields: Mapping[str, Any]) -> Construct:
    fidelity = Name(f"ttnn.MathFidelity.{fields['math_fidelity']}")
    architecture = _construct("device.arch")
    return _construct("ttnn.init_device_compute_kernel_config", architecture, **{**fields, "math_fidelity": fidelity})


def _of_fields(kind: str, fields: Mapping[str, Any]) -> Construct:
    return _construct(f"ttnn.{kind}", **fields)


def _unary(fields: Mapping[str, Any]) -> Construct:
    operation, param = Name(f"ttnn.UnaryOpType.{fields['op']}"), fields.get("param")
    return _construct("ttnn.UnaryWithParam", operation, *(() if param is None else (param,)))


def _matmul(kind: str, fields: Mapping[str, Any]) -> Construct:
    grid = _construct("ttnn.CoreCoord", *fields["compute_with_storage_grid_size"])
    return _construct(f"ttnn.{kind}", **{**fields, "compute_with_storage_grid_size": grid})


# A product in blocks over both dimensions of the grid, and over all cores as one row.
MULTICAST = "MatmulMultiCoreReuseMultiCastProgramConfig"
MULTICAST_1D = "MatmulMultiCoreReuseMultiCast1DProgramConfig"

# Classes that take their fields as they are.
_OF_FIELDS = (
    *("CoreGrid", "Conv1dConfig", "LayerNormDefaultProgramConfig", "LayerNormShardedMultiCoreProgramConfig"),
    "MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig",
)

# How each kind of ``Config`` is made of its fields.
_CONFIGS: Mapping[str, Callable[[Mapping[str, Any]], Name | Construct]] = {
    # Asked of the opened device, not of the board: how many cores dispatch takes is decided when it is opened.
    "FullGrid": lambda _: _construct("ttnn.CoreGrid", y=Name("grid.y"), x=Name("grid.x")),
    "UnaryWithParam": _unary,
    **{kind: partial(_matmul, kind) for kind in (MULTICAST, MULTICAST_1D)},
    "ComputeKernelConfig": _compute_kernel,
    "SDPAProgramConfig": lambda fields: _construct(
        "ttnn.SDPAProgramConfig", compute_with_storage_grid_size=Name("grid"), **fields
    ),
    **{kind: partial(_of_fields, kind) for kind in _OF_FIELDS},
    "SigmoidMode": lambda fields: Name(f"ttnn.SigmoidMode.{fields['name']}"),
    # A value of its own, not a class to call.
    "Conv2dL1FullSliceConfig": lambda _: Name("ttnn.Conv2dL1FullSliceConfig"),
}
