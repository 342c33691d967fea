"""A program as JSON and back: ``from_json(to_json(program)) == program``."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from math import isfinite
from typing import Any

from ttscribe.compiler import program as ir
from ttscribe.compiler.program import Program

FORMAT = "ttscribe.program/3"
_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        ir.Config,
        ir.Constant,
        ir.Fallback,
        ir.HostOp,
        ir.HostSegment,
        ir.HostSpec,
        ir.Memory,
        ir.Op,
        ir.Program,
        ir.Ref,
        ir.Sharding,
        ir.TensorSpec,
        ir.Value,
    )
}
_ENUMS: dict[str, type[Enum]] = {cls.__name__: cls for cls in (ir.DType, ir.Layout, ir.Reason, ir.Role)}


def to_json(program: Program, *, indent: int | None = None) -> str:
    """The program as JSON text; weights are by name."""
    return json.dumps({"format": FORMAT, "program": _encode(program)}, indent=indent)


def from_json(text: str) -> Program:
    """The program that ``to_json`` wrote; ValueError where the text is something else."""
    try:
        document = json.loads(text)
        program = _decode(document["program"]) if document["format"] == FORMAT else None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a program in the format {FORMAT}: {error!r}") from error
    if not isinstance(program, Program):
        raise ValueError(f"not a program in the format {FORMAT}")  # noqa: TRY004
    return program


def _encode(item: Any) -> Any:
    if isinstance(item, Enum):
        return {"enum": type(item).__name__, "value": item.value}
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        fields = {field.name: _encode(getattr(item, field.name)) for field in dataclasses.fields(item)}
        return {"is": type(item).__name__, **fields}
    if isinstance(item, tuple | list):
        return [_encode(part) for part in item]
    # JSON has no infinity and no NaN, though Python's encoder writes them.
    if isinstance(item, float) and not isfinite(item):
        return {"float": repr(item)}
    return item


def _decode(item: Any) -> Any:
    if isinstance(item, list):
        return tuple(_decode(part) for part in item)
    if not isinstance(item, dict):
        return item
    if "float" in item:
        return float(item["float"])
    if "enum" in item:
        return _ENUMS[item["enum"]](item["value"])
    fields = {name: _decode(part) for name, part in item.items() if name != "is"}
    return _CLASSES[item["is"]](**fields)
