"""How programs are made and changed: an editor that infers specs and drops what is unused, and a driver of rewrites.

Lowering fills an empty ``Editor``. A pass describes its rewrites as rules, one for each TT-NN operation that it may
replace, and ``rewrite`` walks the program once, asking them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

from torch import Tensor

from ttscribe.compiler.host import host_spec, resolve, run, to_meta
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import (
    Attribute,
    Constant,
    HostOp,
    HostSegment,
    Op,
    Program,
    Ref,
    Role,
    Spec,
    Step,
    TensorSpec,
    Value,
)


class Editor:
    """A program in the making: add values, setup, constants and calls; then build the program from a body."""

    def __init__(self, program: Program | None = None) -> None:
        self.specs: dict[str, Any] = {} if program is None else dict(program.specs())
        self.setup: list[HostOp] = [] if program is None else list(program.setup)
        constants = () if program is None else program.constants
        self.constants: dict[tuple[str, Spec], Constant] = {
            (constant.source, constant.value.spec): constant for constant in constants
        }
        self._roles: dict[str, Role] = {} if program is None else _roles(program)
        self._sources = {constant.value.name: constant.source for constant in constants}
        self._renamed: dict[str, str] = {}

    def fresh(self, name: str) -> str:
        """``name``, or it with a number where it is taken."""
        unique, count = name, 0
        while unique in self.specs:
            count += 1
            unique = f"{name}_{count}"
        return unique

    def declare(self, name: str, spec: Spec, role: Role = Role.INTERMEDIATE) -> Value:
        """A new value; where the name is taken it gets a number."""
        return self._declared(self.fresh(name), spec, role)

    def _declared(self, name: str, spec: Spec, role: Role) -> Value:
        self.specs[name] = spec
        self._roles[name] = role
        return Value(name, spec, role)

    def spec(self, name: str) -> TensorSpec:
        """The spec of a value that is on the device."""
        spec = self.specs[name]
        assert isinstance(spec, TensorSpec), f"{name} is not on the device"
        return spec

    def role(self, name: str) -> Role:
        """What a value is for."""
        return self._roles.get(name, Role.INTERMEDIATE)

    def call(
        self,
        target: str,
        *operands: str,
        names: Sequence[str] = (),
        keywords: Mapping[str, str | None] | None = None,
        source: Iterable[str] = (),
        role: Role = Role.INTERMEDIATE,
        **attributes: Attribute,
    ) -> Op:
        """A call with inferred outputs, called ``names`` (which may be those of what it replaces) or by fresh names.

        Keywords and attributes that are None are left out. Raises SpecError where TT-NN would refuse the call.
        """
        tensors = tuple((key, name) for key, name in (keywords or {}).items() if name is not None)
        kept = tuple((key, item) for key, item in attributes.items() if item is not None)
        return self.reinferred(Op(target, operands, (), tensors, kept, tuple(source)), names, role)

    def reinferred(self, op: Op, names: Sequence[str] = (), role: Role = Role.INTERMEDIATE) -> Op:
        """``op`` with its outputs' specs inferred again, after its inputs or attributes changed."""
        specs = OPERATIONS[op.target].infer(op, [self.specs[name] for name in op.inputs])
        called = list(names) or list(op.results)
        if not called:
            stem = next(filter(None, op.source), op.target.rpartition(".")[2])
            return replace(op, outputs=tuple(self.declare(stem, spec, role) for spec in specs))
        outputs = zip(called, specs, strict=True)
        return replace(
            op, outputs=tuple(self._declared(name, spec, self._roles.get(name, role)) for name, spec in outputs)
        )

    def compute(self, target: str, *args: Any, name: str, **kwargs: Any) -> str:
        """Compute a host value when the program is loaded; names among the arguments are given as Refs."""
        result = resolve(target)(*to_meta(args, self.specs), **to_meta(kwargs, self.specs))
        output = self.declare(name, host_spec(result))
        self.setup.append(HostOp(target, args, tuple(kwargs.items()), output))
        return output.name

    def constant(self, source: str, like: TensorSpec) -> str:
        """The device constant of the host value ``source``, of its shape and otherwise as ``like``; made once."""
        spec = replace(like, shape=tuple(self.specs[source].shape))
        if (source, spec) not in self.constants:
            on_device = self.declare(f"{source}_on_device", spec)
            self.constants[source, spec] = Constant(on_device, source)
            self._sources[on_device.name] = source
        return self.constants[source, spec].value.name

    def is_constant(self, name: str) -> bool:
        """Whether a value is a device constant."""
        return name in self._sources

    def constant_source(self, name: str) -> str:
        """The host value that a device constant is made from."""
        return self._sources[name]

    def setup_data(self, name: str) -> Tensor | None:
        """What setup computes, where that is known without any param."""
        made = {op.output.name: op for op in self.setup}
        values: dict[str, Any] = {}

        def evaluate(wanted: str) -> bool:
            if wanted in values:
                return True
            op = made.get(wanted)
            if op is None or not all(map(evaluate, op.inputs)):
                return False
            values[wanted] = run(op, values)
            return True

        return values[name] if evaluate(name) else None

    def rename(self, old: str, new: str) -> None:
        """From here on, read ``new`` wherever ``old`` is read."""
        self._renamed[old] = new

    def current(self, name: str) -> str:
        """What is read where ``name`` was."""
        while name in self._renamed:
            name = self._renamed[name]
        return name

    def build(self, program: Program, body: Iterable[Step]) -> Program:
        """``program`` with this editor's setup and constants and a new body, without anything that nothing reads."""
        return drop_unused(
            replace(
                program,
                setup=tuple(self.setup),
                constants=tuple(self.constants.values()),
                body=tuple(map(self._with_current_names, body)),
                outputs=tuple(map(self.current, program.outputs)),
                mutations=tuple((name, self.current(value)) for name, value in program.mutations),
            )
        )

    def _with_current_names(self, step: Step) -> Step:
        if not any(name in self._renamed for name in step.inputs):
            return step
        if isinstance(step, HostSegment):
            return self._renamed_segment(step)
        return step.reading({name: self.current(name) for name in step.inputs})

    def _renamed_segment(self, segment: HostSegment) -> HostSegment:
        names = {name: self.current(name) for name in segment.inputs}
        ops = tuple(
            replace(op, args=_rename_refs(op.args, names), kwargs=_rename_refs(op.kwargs, names)) for op in segment.ops
        )
        return replace(segment, ops=ops, inputs=tuple(dict.fromkeys(names.values())))


def _roles(program: Program) -> dict[str, Role]:
    return {name: value.role for name, value in program.values().items()}


def _rename_refs(argument: Any, names: Mapping[str, str]) -> Any:
    if isinstance(argument, Ref):
        return Ref(names.get(argument.name, argument.name))
    if isinstance(argument, tuple):
        return tuple(_rename_refs(item, names) for item in argument)
    return argument


class Rewriter(Editor):
    """An editor of a whole program, with what rules ask of it: who makes and who reads a value, as the walk began."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.program = program
        # By identity: equal calls are different steps.
        self._amended: dict[int, Op] = {}

    @cached_property
    def _producers(self) -> dict[str, Op]:
        return {name: op for op in self.program.ops for name in op.results}

    @cached_property
    def _uses(self) -> Counter[str]:
        # Outputs are uses too: a rewrite must not take away what the caller reads.
        counts: Counter[str] = Counter(self.program.outputs)
        counts.update(name for _, name in self.program.mutations)
        counts.update(name for step in self.program.body for name in step.inputs)
        return counts

    @cached_property
    def _readers(self) -> dict[str, list[Op]]:
        readers: dict[str, list[Op]] = {}
        for op in self.program.ops:
            for name in op.inputs:
                readers.setdefault(name, []).append(op)
        return readers

    def producer(self, name: str, *targets: str) -> Op | None:
        """The call that makes a value, if there is one and, where ``targets`` are given, it is one of those."""
        op = self._producers.get(name)
        return op if op is None or not targets or op.target in targets else None

    def uses(self, name: str) -> int:
        """How often a value is read: by calls, by host segments, as an output."""
        return self._uses[name]

    def readers(self, name: str) -> list[Op]:
        """The calls that read a value."""
        return self._readers.get(name, [])

    def amend(self, op: Op, changed: Op) -> None:
        """Put ``changed`` where the step ``op`` stands, before or behind where the walk is."""
        self._amended[id(op)] = changed

    def amended(self, op: Op) -> Op:
        """``op`` as it stands now."""
        return self._amended.get(id(op), op)

    def run(self, rules: Mapping[str, Rule]) -> Program:
        """Walk the body once; what a rule gives takes the step's place, None leaves it."""
        return self.build(self.program, map(self._as_amended, list(self._walk(rules))))

    def _walk(self, rules: Mapping[str, Rule]) -> Iterator[Step]:
        for step in self.program.body:
            rule = rules.get(step.target)
            # Host segments have a target that no rule is for.
            replacement = None if rule is None else rule(self, step)  # type: ignore[arg-type]
            yield from [step] if replacement is None else replacement

    def _as_amended(self, step: Step) -> Step:
        return self._amended.get(id(step), step)

    def constant_data(self, name: str) -> Tensor | None:
        """What a device constant holds, where that is known without any param (positions, masks)."""
        source = self._sources.get(name)
        return None if source is None else self.setup_data(source)


Rule: TypeAlias = Callable[[Rewriter, Op], "Sequence[Step] | None"]


def rewrite(program: Program, rules: Mapping[str, Rule]) -> Program:
    """Apply ``rules``, by the TT-NN name of the call that each may replace, in one walk."""
    return Rewriter(program).run(rules)


def drop_unused(program: Program) -> Program:
    """Remove calls whose results nothing reads, and constants and setup that only they read."""
    needed = set(program.outputs) | {name for _, name in program.mutations}
    kept: list[Step] = []
    for step in reversed(program.body):
        # A call without results is there for what it writes.
        acts = step.effects if isinstance(step, HostSegment) else not step.outputs
        if acts or not needed.isdisjoint(step.results):
            needed.update(step.inputs)
            kept.append(step)
    constants = tuple(constant for constant in program.constants if constant.value.name in needed)
    needed.update(constant.source for constant in constants)
    setup: list[HostOp] = []
    for op in reversed(program.setup):
        if op.output.name in needed:
            needed.update(op.inputs)
            setup.append(op)
    return replace(program, body=tuple(reversed(kept)), constants=constants, setup=tuple(reversed(setup)))
