"""What passes are written with: look-ups over a program, and an editor that infers specs and drops what is unused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ttscribe.compiler.host import resolve, run, to_meta
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import (
    Attribute,
    Constant,
    HostOp,
    HostSpec,
    Op,
    Program,
    Ref,
    Step,
    TensorSpec,
    Value,
)


def producers(program: Program) -> dict[str, Op]:
    """The TT-NN call that makes each value."""
    return {value.name: op for op in program.ops for value in op.outputs}


def uses(program: Program) -> Counter[str]:
    """How often each value is read: by calls, by host segments, as an output."""
    counts: Counter[str] = Counter(program.outputs)
    counts.update(name for _, name in program.mutations)
    for step in program.body:
        counts.update(step.inputs() if isinstance(step, Op) else step.inputs)
    return counts


def consumers(program: Program) -> dict[str, list[Op]]:
    """The TT-NN calls that read each value."""
    found: dict[str, list[Op]] = {}
    for op in program.ops:
        for name in op.inputs():
            found.setdefault(name, []).append(op)
    return found


def written_inputs(program: Program) -> set[str]:
    """Device inputs that some call changes in place."""
    written = {name for op in program.ops for name in OPERATIONS[op.target].written(op)}
    return written & {value.name for value in program.inputs}


def constant_data(program: Program, name: str) -> Tensor | None:
    """What a device constant holds, where that is known without any param (positions, masks)."""
    source = next((constant.source for constant in program.constants if constant.value.name == name), None)
    made = {op.output.name: op for op in program.setup}
    values: dict[str, Any] = {}

    def evaluate(wanted: str) -> bool:
        if wanted in values:
            return True
        op = made.get(wanted)
        if op is None or not all(evaluate(needed) for needed in op.inputs()):
            return False
        values[wanted] = run(op, values)
        return True

    return values[source] if source is not None and evaluate(source) else None


class Editor:
    """A program being rewritten: add values, setup and constants; then build the new program from a new body."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.specs: dict[str, Any] = {name: value.spec for name, value in program.values().items()}
        self.setup = list(program.setup)
        self.constants = list(program.constants)
        self._sources = {constant.value.name: constant.source for constant in program.constants}
        self._renamed: dict[str, str] = {}

    def fresh(self, name: str) -> str:
        """``name``, or it with a number where it is taken."""
        unique, count = name, 0
        while unique in self.specs:
            count += 1
            unique = f"{name}_{count}"
        return unique

    def spec(self, name: str) -> TensorSpec:
        spec = self.specs[name]
        assert isinstance(spec, TensorSpec)
        return spec

    def op(
        self,
        target: str,
        *operands: str,
        names: Iterable[str] | None = None,
        keywords: Mapping[str, str | None] | None = None,
        source: Iterable[str] = (),
        **attributes: Attribute,
    ) -> Op:
        """A call with inferred outputs, called ``names`` (which may be those of what it replaces) or a fresh name."""
        given = tuple((key, name) for key, name in (keywords or {}).items() if name is not None)
        kept = tuple((key, item) for key, item in attributes.items() if item is not None)
        return self.reinfer(Op(target, operands, (), given, kept, tuple(source)), names)

    def reinfer(self, op: Op, names: Iterable[str] | None = None) -> Op:
        """``op`` with its outputs' specs inferred again, after its inputs or attributes changed."""
        specs = OPERATIONS[op.target].infer(op, [self.specs[name] for name in op.inputs()])
        called = list(names) if names is not None else [value.name for value in op.outputs]
        if not called:
            stem = op.source[0] if op.source else op.target.rpartition(".")[2]
            called = [self.fresh(stem) for _ in specs]
            for name, spec in zip(called, specs, strict=True):
                self.specs[name] = spec
        outputs = tuple(Value(name, spec) for name, spec in zip(called, specs, strict=True))
        self.specs.update({value.name: value.spec for value in outputs})
        return replace(op, outputs=outputs)

    def at_setup(self, target: str, *args: Any, name: str, **kwargs: Any) -> str:
        """Compute a host constant when the program is loaded; names among the arguments are given as Refs."""
        result = resolve(target)(*to_meta(args, self.specs), **to_meta(kwargs, self.specs))
        spec = HostSpec(tuple(result.shape), str(result.dtype).removeprefix("torch."))
        output = Value(self.fresh(name), spec)
        self.specs[output.name] = spec
        self.setup.append(HostOp(target, args, tuple(kwargs.items()), output))
        return output.name

    def constant(self, source: str, like: TensorSpec) -> str:
        """A device constant of the host value ``source``, of its shape and otherwise as ``like``."""
        spec = replace(like, shape=tuple(self.specs[source].shape))
        value = Value(self.fresh(f"{source}_on_device"), spec)
        self.specs[value.name] = spec
        self.constants.append(Constant(value, source))
        self._sources[value.name] = source
        return value.name

    def constant_source(self, name: str) -> str | None:
        """The host value that a device constant is made from."""
        return self._sources.get(name)

    def rename(self, old: str, new: str) -> None:
        """From here on, read ``new`` wherever ``old`` is read."""
        self._renamed[old] = new

    def current(self, name: str) -> str:
        while name in self._renamed:
            name = self._renamed[name]
        return name

    def renamed(self, op: Op) -> Op:
        """``op`` reading the values that stand for the ones that it read."""
        if not self._renamed:
            return op
        operands = tuple(self.current(name) for name in op.operands)
        keywords = tuple((key, self.current(name)) for key, name in op.keywords)
        return replace(op, operands=operands, keywords=keywords)

    def finish(self, body: Iterable[Step]) -> Program:
        """The new program, without anything that nothing reads."""
        steps = tuple(self._renamed_step(step) for step in body)
        program = replace(
            self.program,
            setup=tuple(self.setup),
            constants=tuple(self.constants),
            body=steps,
            outputs=tuple(self.current(name) for name in self.program.outputs),
            mutations=tuple((name, self.current(value)) for name, value in self.program.mutations),
        )
        return drop_unused(program)

    def _renamed_step(self, step: Step) -> Step:
        if isinstance(step, Op):
            return self.renamed(step)
        if not any(name in self._renamed for name in step.inputs):
            return step
        names = {name: self.current(name) for name in step.inputs}
        ops = tuple(
            replace(op, args=_rename_refs(op.args, names), kwargs=_rename_refs(op.kwargs, names)) for op in step.ops
        )
        return replace(step, ops=ops, inputs=tuple(dict.fromkeys(names.values())))


def _rename_refs(argument: Any, names: Mapping[str, str]) -> Any:
    if isinstance(argument, Ref):
        return Ref(names.get(argument.name, argument.name))
    if isinstance(argument, tuple):
        return tuple(_rename_refs(item, names) for item in argument)
    return argument


def drop_unused(program: Program) -> Program:
    """Remove calls whose results nothing reads, and constants and setup that only they read."""
    needed = set(program.outputs) | {name for _, name in program.mutations}
    kept: list[Step] = []
    for step in reversed(program.body):
        writes = isinstance(step, Op) and not step.outputs
        made = [value.name for value in step.outputs] if isinstance(step, Op) else list(step.outputs)
        if writes or any(name in needed for name in made):
            needed.update(step.inputs() if isinstance(step, Op) else step.inputs)
            kept.append(step)
    constants = tuple(constant for constant in program.constants if constant.value.name in needed)
    needed.update(constant.source for constant in constants)
    setup: list[HostOp] = []
    for op in reversed(program.setup):
        if op.output.name in needed:
            needed.update(op.inputs())
            setup.append(op)
    return replace(program, body=tuple(reversed(kept)), constants=constants, setup=tuple(reversed(setup)))


__all__ = [
    "Editor",
    "constant_data",
    "consumers",
    "drop_unused",
    "producers",
    "uses",
    "written_inputs",
]
