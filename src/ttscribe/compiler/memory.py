"""Which values share memory, how long each is needed, and which stay on the host.

A call that launches nothing on the card gives its operand's bytes another shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import Op, Program, Spec, Step, TensorSpec


def memory_owners(steps: Iterable[Step], specs: Mapping[str, Spec]) -> dict[str, str]:
    """For each value that is a view, the value that owns its memory; ``specs`` has every value's by name."""
    owners: dict[str, str] = {}
    for step in steps:
        if isinstance(step, Op) and is_view(step, specs):
            owners[step.output.name] = owners.get(step.operands[0], step.operands[0])
    return owners


def is_view(op: Op, specs: Mapping[str, Spec]) -> bool:
    """Whether a call's only result is its operand's memory; ``specs`` has those of its inputs."""
    if len(op.outputs) != 1:
        return False
    inputs, outputs = [specs[name] for name in op.inputs], [op.output.spec]
    # A reshape that moves no padding, a permutation of dimensions of one: TT-NN gives a second tensor over the same
    # buffer, and to free either frees both.
    on_device = all(isinstance(spec, TensorSpec) for spec in (*inputs, *outputs))
    return on_device and not OPERATIONS[op.target].device_operations(op, inputs, outputs)


def written_in_place(program: Program) -> set[str]:
    """The values that the program's calls write into."""
    return {name for op in program.ops for name in OPERATIONS[op.target].written(op)}


def last_uses(program: Program) -> list[list[str]]:
    """For each step, the values that nothing needs after it."""
    seen = {*program.outputs, *(name for pair in program.mutations for name in pair)}
    last: list[list[str]] = []
    for step in reversed(program.body):
        names = list(dict.fromkeys([*step.inputs, *(value.name for value in step.outputs)]))
        last.append([name for name in names if name not in seen])
        seen.update(names)
    return last[::-1]


def prepared_on_host(program: Program) -> set[str]:
    """Constants that TT-NN prepares itself, from the host: the weights of convolutions."""
    # Only TT-NN knows the form: it depends on the shards and blocks that it chooses for the convolution.
    return {name for op in program.ops for name in OPERATIONS[op.target].prepared_on_host(op)}
