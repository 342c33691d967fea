"""A case as data: one call of TT-NN, its inputs by key or as seeded numbers. ``docs/recording.md`` has the format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from ttscribe.compiler.program import Config, DType, Layout, Memory, Sharding, TensorSpec
from ttscribe.errors import OptionError


class Drawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Numbers that are made anew: ``kind`` is normal (times ``scale``), integers (from ``low`` to below ``high``),
    ramp (evenly from ``low`` to ``high``, both included) or full (every element ``low``).
    """

    kind: str
    seed: int = 0
    scale: float = 1.0
    low: float = 0.0
    high: float = 1.0


class Cut(msgspec.Struct, frozen=True):
    """How an input is cut over cores."""

    strategy: str
    shape: tuple[int, int]
    cores: int


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input: ``key`` of its values, or how they are ``drawn``; ``host`` where TT-NN takes it from the host."""

    shape: tuple[int, ...]
    dtype: str
    layout: str = "tile"
    memory: str = "dram"
    key: str | None = None
    drawn: Drawn | None = None
    sharding: Cut | None = None
    host: bool = False

    @property
    def spec(self) -> TensorSpec:
        """The form in which the device holds it; ValueError for a word that TT-NN does not have."""
        cut = self.sharding
        sharding = None if cut is None else Sharding(cut.strategy, cut.shape, cut.cores)
        return TensorSpec(self.shape, DType(self.dtype), Layout(self.layout), Memory(self.memory, sharding))


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call: ``args`` and ``kwargs`` as they are made, ``{"tensor": NAME}`` for an input, ``{"kind": ...}`` for an
    object of TT-NN's.
    """

    name: str
    target: str
    inputs: dict[str, Input]
    group: str = ""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    note: str | None = None


def read_cases(path: Path) -> list[Case]:
    """The cases of a file of JSON lines; results in it are passed over. OptionError names the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: cannot be read ({error})") from error
    return [_case(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _case(path: Path, number: int, line: str) -> Case:
    try:
        case = msgspec.json.decode(line, type=Case)
        for given in case.inputs.values():
            _ = given.spec
        for name in _named((case.args, case.kwargs)):
            _ = case.inputs[name]
        attribute((case.args, case.kwargs))
    except KeyError as error:
        raise OptionError(f"{path}, line {number}: the call takes {error}, which is no input") from error
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise OptionError(f"{path}, line {number}: {error}") from error
    return case


def _named(item: Any) -> Iterator[str]:
    if isinstance(item, dict) and "tensor" in item:
        yield item["tensor"]
    elif isinstance(item, dict):
        for part in item.values():
            yield from _named(part)
    elif isinstance(item, list | tuple):
        for part in item:
            yield from _named(part)


def values_of(name: str, given: Input, values: Mapping[str, Tensor]) -> Tensor:
    """The host values of an input; OptionError where they are nowhere."""
    if given.drawn is not None:
        return draw(given.drawn, given.shape, floating=DType(given.dtype).floating)
    if given.key is None or given.key not in values:
        raise OptionError(f"input {name}: no values of the key {given.key!r} are given, nor how to draw them")
    return values[given.key]


def draw(drawn: Drawn, shape: tuple[int, ...], *, floating: bool) -> Tensor:
    """Seeded numbers, the same everywhere; OptionError for an unknown kind."""
    generator = torch.Generator().manual_seed(drawn.seed)
    count = int(torch.Size(shape).numel())
    if drawn.kind == "normal":
        made = drawn.scale * torch.randn(shape, generator=generator)
    elif drawn.kind == "integers":
        made = torch.randint(int(drawn.low), int(drawn.high), shape, generator=generator)
    elif drawn.kind == "ramp":
        made = torch.linspace(drawn.low, drawn.high, count).reshape(shape)
    elif drawn.kind == "full":
        made = torch.full(shape, drawn.low)
    else:
        raise OptionError(f"numbers are drawn as normal, integers, ramp or full, not as {drawn.kind!r}")
    return made.float() if floating else made.to(torch.int32)


def attribute(item: Any) -> Any:
    """An argument as an attribute of a Program: objects of TT-NN's by their kind, tensors and the device as they are.

    Raises ValueError or TypeError for words that TT-NN does not have.
    """
    if isinstance(item, list | tuple):
        return tuple(map(attribute, item))
    if not isinstance(item, dict) or "kind" not in item:
        return {name: attribute(part) for name, part in item.items()} if isinstance(item, dict) else item
    kind, fields = item["kind"], {name: part for name, part in item.items() if name != "kind"}
    if kind == "device":
        return item
    if kind == "dtype":
        return DType(fields["name"])
    if kind == "layout":
        return Layout(fields["name"])
    if kind == "memory":
        cut = fields.get("sharding")
        sharding = None if cut is None else Sharding(cut["strategy"], tuple(cut["shape"]), cut["cores"])
        return Memory(fields["buffer"], sharding)
    return Config(kind, tuple((name, attribute(part)) for name, part in fields.items()))
