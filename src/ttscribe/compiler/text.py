"""A program as text for people: what comes in, what is made at load, and the calls in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import (
    SHARDED_AS_MADE,
    Config,
    HostOp,
    HostSegment,
    HostSpec,
    Memory,
    Op,
    Program,
    Ref,
    Spec,
    Value,
)


def to_text(program: Program) -> str:
    """The whole program; equal programs give equal text."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    inputs = ", ".join(f"{_value(value)} as {value.role.value}" for value in program.inputs)
    yield f"program {program.name}({inputs}) -> {', '.join(program.outputs)}"
    yield f"precision {program.precision}"
    for name, source in program.mutations:
        yield f"mutates {name} = {source}"
    if program.written_inputs:
        yield f"writes {', '.join(program.written_inputs)}"
    for value in program.params:
        yield f"param {_value(value)}"
    for op in program.setup:
        yield f"setup {_host_op(op)}"
    for constant in program.constants:
        yield f"constant {_value(constant.value)} = {constant.source}"
    configs = _configs(program)
    for config, name in configs.items():
        yield f"config {name} = {argument(config)}"
    for step in program.body:
        yield from _segment(step) if isinstance(step, HostSegment) else [_op(step, configs)]


def _configs(program: Program) -> dict[Config, str]:
    """A name for each configuration, numbered by kind: calls repeat them."""
    names: dict[Config, str] = {}
    kinds: Counter[str] = Counter()
    for config in (item for op in program.ops for _, item in op.attributes if isinstance(item, Config)):
        if config not in names:
            kinds[config.kind] += 1
            names[config] = f"{config.kind}{kinds[config.kind]}"
    return names


def _value(value: Value) -> str:
    return f"{value.name}: {describe(value.spec)}"


def describe(spec: Spec) -> str:
    """A spec in one phrase: "bfloat16[1, 1500, 384] tile dram", or "host float32[1, 80, 3000]"."""
    shape = ", ".join(map(str, spec.shape))
    if isinstance(spec, HostSpec):
        return f"host {spec.dtype}[{shape}]"
    return f"{spec.dtype.value}[{shape}] {spec.layout.value} {_memory(spec.memory)}"


def _memory(memory: Memory) -> str:
    if memory.sharding is None:
        return memory.buffer
    sharding = memory.sharding
    if memory == SHARDED_AS_MADE:
        return "l1 sharded-as-made"
    return f"{memory.buffer} {sharding.strategy}-sharded {sharding.shape[0]}x{sharding.shape[1]} on {sharding.cores}"


def argument(item: Any) -> str:
    """An attribute or argument as a person writes it."""
    if isinstance(item, Ref):
        return item.name
    if isinstance(item, Memory):
        return _memory(item).replace(" ", "_")
    if isinstance(item, Config):
        return f"{item.kind}({', '.join(f'{name}={argument(value)}' for name, value in item.fields)})"
    if isinstance(item, Enum):
        return str(item.value)
    if isinstance(item, tuple | list):
        return f"[{', '.join(map(argument, item))}]"
    return repr(item)


def call_text(program: Program, op: Op) -> str:
    """One call with what each tensor is in place of its name: shape, element type, layout and memory."""
    return told_by_specs(op, program.specs())


def told_by_specs(op: Op, specs: Mapping[str, Spec]) -> str:
    """As ``call_text``; ``specs`` has that of everything that the call reads, by name."""

    def shown(item: Any) -> str:
        if isinstance(item, list):
            return f"[{', '.join(map(shown, item))}]"
        return describe(specs[item.name]) if isinstance(item, Ref) else argument(item)

    positional, keywords = OPERATIONS[op.target].call(op)
    arguments = [*map(shown, positional), *(f"{name}={shown(item)}" for name, item in keywords.items())]
    return f"{op.target}({', '.join(arguments)})"


def _op(op: Op, configs: Mapping[Config, str]) -> str:
    positional, named = OPERATIONS[op.target].call(op)
    keywords = {name: configs[item] if isinstance(item, Config) else argument(item) for name, item in named.items()}
    arguments = [*map(argument, positional), *(f"{name}={item}" for name, item in keywords.items())]
    call = f"{op.target}({', '.join(arguments)})"
    results = ", ".join(map(_value, op.outputs))
    source = f"  # {', '.join(op.source)}" if op.source else ""
    return f"  {results} = {call}{source}" if results else f"  {call}{source}"


def _host_op(op: HostOp) -> str:
    arguments = [*map(argument, op.args), *(f"{name}={argument(item)}" for name, item in op.kwargs)]
    return f"{_value(op.output)} = {op.target}({', '.join(arguments)})"


def _segment(segment: HostSegment) -> Iterator[str]:
    yield f"  host ({', '.join(segment.inputs)}) -> {', '.join(segment.results)}:"
    reasons = {fallback.node: fallback for fallback in segment.fallbacks}
    for op in segment.ops:
        yield f"    {_host_op(op)}"
        if op.output.name in reasons:
            fallback = reasons[op.output.name]
            yield f"      # {fallback.reason.value}: {fallback.sentence}"


__all__ = ["argument", "call_text", "describe", "to_text", "told_by_specs"]
