"""Inputs in the form that their readers want, and state that is written where it is, without a copy."""

from __future__ import annotations

from dataclasses import replace

from ttscribe.compiler.editor import Rewriter, rewrite
from ttscribe.compiler.memory import memory_owners
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import Layout, Op, Program, TensorSpec, Value
from ttscribe.compiler.settings import CompileSettings

# Such casts come of PyTorch's int64: the device holds it as int32, and look-ups want the token as uint32.
_CASTS = ("ttnn.typecast", "ttnn.to_layout")


def propagate_layouts_to_inputs(program: Program, _settings: CompileSettings) -> Program:
    """An input that is only ever read in another element type or layout is passed in that one.

    Where the program also writes the input, what it writes must be to hand in that form too.
    """
    rewriter = Rewriter(program)
    lasting = _lasting(program, rewriter)
    changed: dict[str, TensorSpec] = {}
    for value in program.inputs:
        wanted = None if value.name in lasting else _wanted(rewriter, value, lasting)
        if wanted is not None:
            rewriter.specs[value.name] = changed[value.name] = wanted

    def drop_cast(rewriter: Rewriter, cast: Op) -> list[Op] | None:
        if cast.operands[0] not in changed:
            return None
        rewriter.rename(cast.output.name, cast.operands[0])
        return []

    def copy_uncast(rewriter: Rewriter, copy: Op) -> list[Op] | None:
        source, destination = copy.operands
        if destination not in changed:
            return None
        uncast = _source_in(rewriter, changed[destination], source)
        assert uncast is not None
        return [replace(copy, operands=(uncast, destination))]

    after = rewriter.run({**dict.fromkeys(_CASTS, drop_cast), "ttnn.copy": copy_uncast})
    inputs = tuple(replace(value, spec=changed.get(value.name, value.spec)) for value in program.inputs)
    return replace(after, inputs=inputs)


def _lasting(program: Program, rewriter: Rewriter) -> set[str]:
    """What owns the memory of outputs and of new state: read at the end, when inputs may have changed."""
    owners = memory_owners(program.body, rewriter.specs)
    names = [*program.outputs, *(op.operands[0] for op in program.ops if op.target == "ttnn.copy")]
    return {owners.get(name, name) for name in names}


def _wanted(rewriter: Rewriter, value: Value, lasting: set[str]) -> TensorSpec | None:
    """The one other form in which ``value`` is read, if there is just one."""
    readers = rewriter.readers(value.name)
    writes = [op for op in readers if op.target == "ttnn.copy" and op.operands[1] == value.name]
    reads = [op for op in readers if op not in writes]
    forms = {op.output.spec for op in reads if op.target in _CASTS}
    if len(forms) != 1 or any(op.target not in _CASTS for op in reads):
        return None
    (form,) = forms
    if not isinstance(form, TensorSpec) or (writes and any(op.output.name in lasting for op in reads)):
        return None
    return None if any(_source_in(rewriter, form, op.operands[0]) is None for op in writes) else form


def _source_in(rewriter: Rewriter, form: TensorSpec, name: str) -> str | None:
    """The value that ``name`` was cast from, if it had ``form``'s element type and layout."""
    cast = rewriter.producer(name, *_CASTS)
    if cast is None or rewriter.producer(cast.operands[0]) is None:
        return None
    source = rewriter.specs[cast.operands[0]]
    fits = isinstance(source, TensorSpec) and (source.dtype, source.layout) == (form.dtype, form.layout)
    return cast.operands[0] if fits else None


def skip_regrouping_before_convolutions(program: Program, _settings: CompileSettings) -> Program:
    """A convolution reads batch and time as one run of rows, tiled or not: what only regroups them is not needed."""

    def take_rows(rewriter: Rewriter, convolution: Op) -> list[Op]:
        source = convolution.operands[0]
        # TT-NN 0.81.1 takes [1, T, C] in rows and [1, 1, B T, C] in tiles alike, for it cuts its input into shards
        # anyway.
        while (op := rewriter.producer(source, "ttnn.to_layout", "ttnn.reshape")) is not None:
            if rewriter.spec(op.operands[0]).shape[-1] != rewriter.spec(source).shape[-1]:
                break
            source = op.operands[0]
        return [replace(convolution, operands=(source, *convolution.operands[1:]))]

    return rewrite(program, {"ttnn.conv1d": take_rows})


def increment_in_place(program: Program, _settings: CompileSettings) -> Program:
    """``copy(x + 1, x)`` becomes ``plus_one(x)``, at the end, after everything has read ``x``."""

    def increment(rewriter: Rewriter, copy: Op) -> list[Op] | None:
        source, name = copy.operands
        add, spec = rewriter.producer(source, "ttnn.add"), rewriter.spec(name)
        # plus_one refuses tiles and floating point.
        counts = not spec.dtype.floating and spec.layout is Layout.ROW_MAJOR
        adds_one = add is not None and add.operands == (name,) and add.attribute("other") == 1
        return [rewriter.call("ttnn.plus_one", name, source=copy.source)] if counts and adds_one else None

    return rewrite(program, {"ttnn.copy": increment})


def write_into_state(program: Program, _settings: CompileSettings) -> Program:
    """``copy(f(x), state)`` becomes ``f(x, into state)`` where the call can and nobody reads the old state after it."""
    at = {id(step): index for index, step in enumerate(program.body)}

    def write_directly(rewriter: Rewriter, copy: Op) -> list[Op] | None:
        source, state = copy.operands
        producer = rewriter.producer(source)
        into = None if producer is None else OPERATIONS[producer.target].into
        if producer is None or into is None or not _can_write(rewriter, producer, copy):
            return None
        # The write moves up from where the copy was: whoever reads the state in between would read the new one.
        others = (step for step in program.body[at[id(producer)] + 1 :] if step is not copy)
        if any(state in step.inputs for step in others):
            return None
        written = producer.with_keyword(into, state)
        rewriter.amend(producer, replace(written, outputs=(), source=(*producer.source, *copy.source)))
        rewriter.rename(source, state)
        return []

    return rewrite(program, {"ttnn.copy": write_directly})


def _can_write(rewriter: Rewriter, producer: Op, copy: Op) -> bool:
    """Whether ``producer`` may write its first result where ``copy`` puts it, and its others are not needed."""
    first, *others = producer.results
    written, state = rewriter.spec(first), rewriter.spec(copy.operands[1])
    same = (written.shape, written.dtype, written.layout) == (state.shape, state.dtype, state.layout)
    return same and first == copy.operands[0] and not any(map(rewriter.uses, others))
