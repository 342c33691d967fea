"""Give activations the four dimensions that TT-NN's head calls want, so that no reshape is left between them."""

from __future__ import annotations

from dataclasses import replace

from ttscribe.compiler.passes.rewrite import Editor
from ttscribe.compiler.program import HostSegment, Op, Program, Ref, Step, TensorSpec

_ROW_WISE = {
    "ttnn.linear",
    "ttnn.layer_norm",
    "ttnn.rms_norm",
    "ttnn.gelu",
    "ttnn.relu",
    "ttnn.silu",
    "ttnn.tanh",
    "ttnn.add",
    "ttnn.subtract",
    "ttnn.multiply",
}


def four_dimensions(program: Program) -> Program:
    """[B, T, D] becomes [B, 1, T, D] through every call that works row by row; reshapes between the two disappear."""
    return _Widening(program).run()


def _wide_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], 1, *shape[1:])


class _Widening:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.editor = Editor(program)
        self.constants = {constant.value.name for constant in program.constants}
        self.wide: dict[str, str] = {}
        self.body: list[Step] = []

    def run(self) -> Program:
        for step in self.program.body:
            if isinstance(step, HostSegment):
                self.body.append(step)
            elif step.target == "ttnn.reshape":
                self._reshape(step)
            elif step.target in _ROW_WISE and len(self._shape(step.output.name)) == 3:
                self._widen(step)
            else:
                self.body.append(step)
        return self.editor.finish(self.body)

    def _shape(self, name: str) -> tuple[int, ...]:
        spec = self.editor.specs[name]
        return spec.shape if isinstance(spec, TensorSpec) else ()

    def _reshape(self, step: Op) -> None:
        """Remember a reshape between the two forms; it stays only if something still reads its result."""
        source, result = step.operands[0], step.output.name
        before, after = self._shape(source), self._shape(result)
        if len(after) == 3 and before == _wide_shape(after):
            self.wide[result] = source
        elif len(before) == 3 and after == _wide_shape(before):
            if source in self.wide:
                self.editor.rename(result, self.wide[source])
                return
            self.wide[source] = result
        self.body.append(step)

    def _widen(self, step: Op) -> None:
        name = step.output.name
        operands = tuple(map(self._operand, step.operands))
        keywords = tuple((key, self._operand(item)) for key, item in step.keywords)
        wide = self.editor.reinfer(
            replace(step, operands=operands, keywords=keywords), [self.editor.fresh(f"{name}_rows")]
        )
        self.wide[name] = wide.output.name
        narrow = self.editor.op("ttnn.reshape", wide.output.name, names=[name], shape=self._shape(name))
        self.body += [wide, narrow]

    def _operand(self, name: str) -> str:
        """The four-dimensional form of an operand of three dimensions; weights and biases have fewer and stay."""
        if len(self._shape(name)) != 3:
            return name
        if name not in self.wide:
            self.wide[name] = self._wide_constant(name) if name in self.constants else self._wide_value(name)
        return self.wide[name]

    def _wide_constant(self, name: str) -> str:
        source = self.editor.constant_source(name)
        assert source is not None
        shape = _wide_shape(self._shape(name))
        wide = self.editor.at_setup("aten.reshape.default", Ref(source), shape, name=f"{source}_rows")
        return self.editor.constant(wide, self.editor.spec(name))

    def _wide_value(self, name: str) -> str:
        shape = _wide_shape(self._shape(name))
        reshape = self.editor.op("ttnn.reshape", name, names=[self.editor.fresh(f"{name}_rows")], shape=shape)
        self.body.append(reshape)
        return reshape.output.name
