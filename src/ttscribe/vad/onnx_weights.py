"""The weights of an ONNX file, without the library: what little of protocol buffers that takes.

A message is a series of fields, each a key (its number and one of four ways to write it) and a value:
https://protobuf.dev/programming-guides/encoding. The field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ttscribe.types import FloatArray

_GRAPH = 7  # of a model
_INITIALIZER = 5  # of a graph
_DIMS, _TYPE, _RAW_DATA = 1, 2, 9  # of a tensor
_FLOAT = 1  # the type of float32


def float_weights(path: Path) -> list[FloatArray]:
    """The float32 tensors of at least one dimension that a model's graph begins with, in the order of the file.

    Raises OSError where there is no such file, ValueError where it is no ONNX file or cut short.
    """
    message = memoryview(path.read_bytes())
    tensors = [
        _tensor(tensor)
        for number, graph in _fields(message)
        if number == _GRAPH
        for inner, tensor in _fields(_message(graph))
        if inner == _INITIALIZER
    ]
    return [tensor for tensor in tensors if tensor is not None]


def _tensor(value: int | memoryview) -> FloatArray | None:
    shape: list[int] = []
    kind, data = 0, memoryview(b"")
    for number, field in _fields(_message(value)):
        if number == _DIMS:
            shape += [field] if isinstance(field, int) else _numbers(field)
        elif number == _TYPE and isinstance(field, int):
            kind = field
        elif number == _RAW_DATA:
            data = _message(field)
    if kind != _FLOAT or not shape:
        return None
    try:
        return np.frombuffer(data, np.float32).reshape(shape)
    except (ValueError, OverflowError) as error:
        raise ValueError("a tensor of another size than it declares") from error


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, way = key >> 3, key & 7
        if way == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if way not in (1, 2, 5):
            raise ValueError(f"a field in a way that there is not: {way}")
        size, at = _varint(message, at) if way == 2 else ({1: 8, 5: 4}[way], at)
        if at + size > len(message):
            raise ValueError("the file is cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at
    raise ValueError("the file is cut short")


def _numbers(packed: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(packed):
        number, at = _varint(packed, at)
        numbers.append(number)
    return numbers


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")  # noqa: TRY004 - of a file, not of an argument
    return value
