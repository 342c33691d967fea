"""What every Program must satisfy, after lowering and after each pass."""

from __future__ import annotations

from collections.abc import Iterable

from ttscribe.compiler.memory import is_view
from ttscribe.compiler.operations import FREES, MOVES_IN, OPERATIONS
from ttscribe.compiler.program import HostSegment, HostSpec, Op, Program, Spec, TensorSpec, Value


class ProgramInvalid(ValueError):
    """The program breaks a rule: the message gives the step's index in the body, its target, and a sentence."""


def verify(program: Program) -> None:
    """Check ``program``; raises ProgramInvalid at the first rule that it breaks.

    Every value is defined once, before it is used, and not used once its memory was freed; every operation is in the
    table and gives what the table says; host values go to host segments and ``ttnn.from_torch`` only; constants stay as
    they are, and neither they nor inputs are freed; each input that is declared as written is written by some call, and
    no other; outputs exist.
    """
    _Verifier(program).run()


class _Verifier:
    """Walks a program; ``specs`` has the values defined so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.specs: dict[str, Spec] = {}
        self.gone: dict[str, str] = {}
        self.kept: set[str] = set()
        self.owners: dict[str, str] = {}
        self.written: set[str] = set()
        self.constants = {constant.value.name for constant in program.constants}
        self.place = "inputs"

    def run(self) -> None:
        self._define(self.program.inputs)
        self._define(self.program.params)
        for host_op in self.program.setup:
            self.place = f"setup ({host_op.target})"
            self._use_host(host_op.inputs)
            self._define([host_op.output])
        self._constants()
        # What is there before the body is the caller's, or lasts from run to run.
        self.kept = set(self.specs)
        for index, step in enumerate(self.program.body):
            self.place = f"step {index} ({step.target})"
            if isinstance(step, HostSegment):
                self._segment(step)
            else:
                self._op(step)
        self.place = "outputs"
        self._use(self.program.outputs)
        self._written_inputs()

    def _fail(self, sentence: str) -> None:
        raise ProgramInvalid(f"{self.program.name}: {self.place}: {sentence}")

    def _require(self, condition: bool, sentence: str) -> None:
        if not condition:
            self._fail(sentence)

    def _define(self, values: Iterable[Value]) -> None:
        for value in values:
            self._require(value.name not in self.specs, f"{value.name} is defined twice")
            self.specs[value.name] = value.spec

    def _use(self, names: Iterable[str]) -> None:
        for name in names:
            self._require(name in self.specs, f"{name} is used before it is defined")
            self._require(name not in self.gone, f"{name} {self.gone.get(name)}")

    def _use_host(self, names: Iterable[str]) -> None:
        for name in names:
            self._use([name])
            self._require(isinstance(self.specs[name], HostSpec), f"{name} is on the device, not on the host")

    def _constants(self) -> None:
        on_host = {value.name for value in (*self.program.params, *(op.output for op in self.program.setup))}
        for constant in self.program.constants:
            self.place = f"constant {constant.value.name}"
            self._require(constant.source in on_host, f"its source {constant.source} is no param and no setup value")
            source, declared = self.specs[constant.source], constant.value.spec
            same = isinstance(declared, TensorSpec) and declared.shape == source.shape
            self._require(same, f"it is not a device tensor of its source's shape {source.shape}")
            self._define([constant.value])

    def _op(self, op: Op) -> None:
        self._require(op.target in OPERATIONS, "there is no such operation in the table")
        inputs = list(op.inputs)
        self._use(inputs)
        # TT-NN's calls take device tensors, but for the weights of convolutions: those are constants with device specs
        # here too.
        if op.target != MOVES_IN:
            for name in inputs:
                self._require(isinstance(self.specs[name], TensorSpec), f"{name} is on the host: move it in first")
        self._outputs(op, [self.specs[name] for name in inputs])
        self._mutations(op)
        self._define(op.outputs)
        if is_view(op, self.specs):
            self.owners[op.output.name] = self._owner(op.operands[0])

    def _outputs(self, op: Op, inputs: list[Spec]) -> None:
        try:
            # The same rules that made the call, so that a pass which edits attributes cannot leave stale specs behind.
            inferred = OPERATIONS[op.target].infer(op, inputs)
        except ValueError as error:
            self._fail(str(error))
        declared = tuple(value.spec for value in op.outputs)
        self._require(inferred == declared, f"it gives {_text(inferred)}, but declares {_text(declared)}")

    def _mutations(self, op: Op) -> None:
        for name in OPERATIONS[op.target].written(op):
            self._require(self._owner(name) not in self.constants, f"it writes to {name}, which is a constant")
            self.written.add(self._owner(name))
        if op.target == FREES:
            (name,) = op.operands
            self._require(name not in self.kept, f"it frees {name}, which the program does not own")
            self._require(
                self._owner(name) not in self.kept, f"it frees {name}, a view of what the program does not own"
            )
            # TT-NN does not raise at a use of freed memory: it ends the process, with no word on which call it was.
            views = [view for view in self.owners if self._owner(view) == self._owner(name)]
            self.gone |= dict.fromkeys([self._owner(name), *views], "is used after it was freed")

    def _written_inputs(self) -> None:
        """An input that no call writes would be read as it was before: decoding would attend to what is not there."""
        self.place = "inputs"
        declared, inputs = {*self.program.written_inputs}, {value.name for value in self.program.inputs}
        for name in sorted(declared - self.written):
            self._fail(f"no call writes {name}, which is declared as written")
        for name in sorted(self.written & inputs - declared):
            self._fail(f"a call writes {name}, which is not declared as written")

    def _owner(self, name: str) -> str:
        return self.owners.get(name, name)

    def _segment(self, segment: HostSegment) -> None:
        defined: set[str] = set()
        needed: list[str] = []
        for op in segment.ops:
            needed += [name for name in op.inputs if name not in defined and name not in needed]
            defined.add(op.output.name)
        self._use_host(needed)
        self._require(set(needed) == set(segment.inputs), f"it declares inputs {segment.inputs} but uses {needed}")
        missing = set(segment.results) - defined
        self._require(not missing, f"it declares outputs that it does not make: {sorted(missing)}")
        self._define(segment.outputs)
        self.gone |= dict.fromkeys(defined - set(segment.results), "is no output of its host segment")


def _text(specs: Iterable[Spec]) -> str:
    return ", ".join(map(str, specs)) or "nothing"
