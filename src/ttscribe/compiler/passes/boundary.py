"""Inputs in the form that their readers want, and state that is written where it is, without a copy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.passes.rewrite import Editor, consumers, producers, uses
from ttscribe.compiler.program import Layout, Op, Program, Step, TensorSpec, Value
from ttscribe.compiler.sharing import memory_owners


def inputs_as_read(program: Program) -> Program:
    """An input that is only ever read in another element type or layout is passed in that one.

    Where the program also writes the input, what it writes must be to hand in that form too.
    """
    readers, made, editor = consumers(program), producers(program), Editor(program)
    lasting = _lasting(program, editor)
    inputs = []
    for value in program.inputs:
        wanted = None if value.name in lasting else _wanted(value, readers.get(value.name, []), made, lasting)
        inputs.append(value if wanted is None else Value(value.name, wanted))
        if wanted is not None:
            editor.specs[value.name] = wanted
            for op in readers[value.name]:
                if _is_cast(op):
                    editor.rename(op.output.name, value.name)
    dropped = {id(op) for value in program.inputs for op in readers.get(value.name, []) if _is_renamed(editor, op)}
    changed = {value.name for value, old in zip(inputs, program.inputs, strict=True) if value != old}
    body = [_uncast_copy(editor, made, step, changed) for step in program.body if id(step) not in dropped]
    return replace(editor.finish(body), inputs=tuple(inputs))


def _lasting(program: Program, editor: Editor) -> set[str]:
    """What owns the memory of outputs and of new state: read at the end, when inputs may have changed."""
    owners = memory_owners(program.body, editor.specs)
    names = [*program.outputs, *(op.operands[0] for op in program.ops if op.target == "ttnn.copy")]
    return {owners.get(name, name) for name in names}


def _is_renamed(editor: Editor, op: Op) -> bool:
    return _is_cast(op) and editor.current(op.output.name) != op.output.name


def _is_cast(op: Op) -> bool:
    return op.target in ("ttnn.typecast", "ttnn.to_layout")


def _wanted(value: Value, readers: list[Op], made: dict[str, Op], lasting: set[str]) -> TensorSpec | None:
    """The one other form in which ``value`` is read, if there is just one."""
    if not isinstance(value.spec, TensorSpec):
        return None
    reads = [op for op in readers if not (op.target == "ttnn.copy" and op.operands[1] == value.name)]
    forms = {op.output.spec for op in reads if _is_cast(op)}
    if len(forms) != 1 or not all(_is_cast(op) for op in reads):
        return None
    (form,) = forms
    assert isinstance(form, TensorSpec)
    writes = [op for op in readers if op not in reads]
    if writes and any(op.output.name in lasting for op in reads):
        return None
    if any(_source_in(form, op.operands[0], made) is None for op in writes):
        return None
    return form


def _source_in(form: TensorSpec, name: str, made: dict[str, Op]) -> str | None:
    """The value that ``name`` was cast from, if it had ``form``'s element type and layout."""
    op = made.get(name)
    if op is None or not _is_cast(op):
        return None
    producer = made.get(op.operands[0])
    source = None if producer is None else producer.output.spec
    fits = isinstance(source, TensorSpec) and (source.dtype, source.layout) == (form.dtype, form.layout)
    return op.operands[0] if fits else None


def _uncast_copy(editor: Editor, made: dict[str, Op], step: Step, changed: set[str]) -> Step:
    """A copy into an input whose form changed takes the value from before the cast."""
    if not isinstance(step, Op) or step.target != "ttnn.copy" or step.operands[1] not in changed:
        return step
    source, destination = step.operands
    uncast = _source_in(editor.spec(destination), source, made)
    assert uncast is not None
    return replace(step, operands=(uncast, destination))


def convolutions_take_rows(program: Program) -> Program:
    """A convolution reads batch and time as one run of rows, tiled or not: what only regroups them is not needed."""
    made, editor = producers(program), Editor(program)
    body: list[Step] = []
    for step in program.body:
        if isinstance(step, Op) and step.target == "ttnn.conv1d":
            source = step.operands[0]
            while source in made and _keeps_rows(editor, made[source]):
                source = made[source].operands[0]
            body.append(replace(step, operands=(source, *step.operands[1:])))
        else:
            body.append(step)
    return editor.finish(body)


def _keeps_rows(editor: Editor, op: Op) -> bool:
    if op.target == "ttnn.to_layout":
        return True
    return (
        op.target == "ttnn.reshape" and editor.spec(op.operands[0]).shape[-1] == editor.spec(op.output.name).shape[-1]
    )


def count_in_place(program: Program) -> Program:
    """``copy(x + 1, x)`` becomes ``plus_one(x)``, at the end, after everything has read ``x``."""
    made, editor = producers(program), Editor(program)
    body: list[Step] = []
    for step in program.body:
        source = made.get(step.operands[0]) if isinstance(step, Op) and step.target == "ttnn.copy" else None
        if isinstance(step, Op) and source is not None and _adds_one(editor, source, step.operands[1]):
            body.append(editor.op("ttnn.plus_one", step.operands[1], source=step.source))
        else:
            body.append(step)
    return editor.finish(body)


def _adds_one(editor: Editor, op: Op, name: str) -> bool:
    spec = editor.spec(name)
    counts = not spec.dtype.floating and spec.layout is Layout.ROW_MAJOR
    return counts and op.target == "ttnn.add" and op.operands == (name,) and op.attribute("other") == 1


def write_into_state(program: Program) -> Program:
    """``copy(f(x), state)`` becomes ``f(x, into state)`` where the call can and nobody reads the old state after it."""
    made, counts, editor = producers(program), uses(program), Editor(program)
    at = {id(step): index for index, step in enumerate(program.body)}
    direct: dict[int, Op] = {}
    copies = set()
    for copy in program.ops:
        source = made.get(copy.operands[0]) if copy.target == "ttnn.copy" else None
        if source is None or not _can_write(source, copy, counts, editor):
            continue
        between = program.body[at[id(source)] + 1 : at[id(copy)]]
        after = program.body[at[id(copy)] + 1 :]
        if any(_touches(step, copy.operands[1]) for step in (*between, *after)):
            continue
        direct[id(source)] = copy
        copies.add(id(copy))
        editor.rename(copy.operands[0], copy.operands[1])
    body: list[Step] = []
    for step in program.body:
        if isinstance(step, Op) and id(step) in direct:
            into = OPERATIONS[step.target].into
            assert into is not None
            copy = direct[id(step)]
            written = step.with_keyword(into, copy.operands[1])
            body.append(replace(written, outputs=(), source=(*step.source, *copy.source)))
        elif id(step) not in copies:
            body.append(step)
    return editor.finish(body)


def _can_write(source: Op, copy: Op, counts: Counter[str], editor: Editor) -> bool:
    """Whether ``source`` may write its first result where ``copy`` puts it, and its others are not needed."""
    first, *others = (value.name for value in source.outputs)
    made, state = editor.spec(first), editor.spec(copy.operands[1])
    same = (made.shape, made.dtype, made.layout) == (state.shape, state.dtype, state.layout)
    first_is_copied = first == copy.operands[0] and OPERATIONS[source.target].into is not None
    return same and first_is_copied and not any(counts[name] for name in others)


def _touches(step: Step, name: str) -> bool:
    return name in (step.inputs() if isinstance(step, Op) else step.inputs)
