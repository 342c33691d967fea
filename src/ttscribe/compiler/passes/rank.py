"""Give activations the four dimensions that TT-NN's head calls want, so that no reshape is left between them."""

from __future__ import annotations

from dataclasses import replace

from ttscribe.compiler.editor import Rewriter
from ttscribe.compiler.operations import OPERATIONS, Extent
from ttscribe.compiler.program import Op, Program, Ref, TensorSpec
from ttscribe.compiler.settings import CompileSettings

_ROW_WISE = tuple(name for name, operation in OPERATIONS.items() if operation.extent is not Extent.TENSOR)


def use_four_dimensions(program: Program, _settings: CompileSettings) -> Program:
    """[B, T, D] becomes [B, 1, T, D] through every call that works row by row; reshapes between the two disappear."""
    widening = _Widening(program)
    rules = {**dict.fromkeys(_ROW_WISE, widening.widen), "ttnn.reshape": widening.reshape}
    return widening.rewriter.run(rules)


def _wide_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    # nlp_create_qkv_heads refuses [B, T, D], and nlp_concat_heads gives [B, 1, T, D] (TT-NN 0.81.1).
    return (shape[0], 1, *shape[1:])


class _Widening:
    """``wide`` has the value of four dimensions that holds what one of three does, by the latter's name."""

    def __init__(self, program: Program) -> None:
        self.rewriter = Rewriter(program)
        self.wide: dict[str, str] = {}

    def _shape(self, name: str) -> tuple[int, ...]:
        spec = self.rewriter.specs[name]
        return spec.shape if isinstance(spec, TensorSpec) else ()

    def reshape(self, rewriter: Rewriter, step: Op) -> list[Op] | None:
        """Remember a reshape between the two forms; it stays only if something still reads its result."""
        source, result = step.operands[0], step.output.name
        before, after = self._shape(source), self._shape(result)
        if len(after) == 3 and before == _wide_shape(after):
            self.wide[result] = source
        elif len(before) == 3 and after == _wide_shape(before):
            if source in self.wide:
                rewriter.rename(result, self.wide[source])
                return []
            self.wide[source] = result
        return None

    def widen(self, rewriter: Rewriter, step: Op) -> list[Op] | None:
        name = step.output.name
        if len(self._shape(name)) != 3:
            return None
        reshapes: list[Op] = []
        operands = tuple(self._operand(operand, reshapes) for operand in step.operands)
        keywords = tuple((key, self._operand(item, reshapes)) for key, item in step.keywords)
        changed = replace(step, operands=operands, keywords=keywords)
        wide = rewriter.reinferred(changed, [rewriter.fresh(f"{name}_rows")])
        self.wide[name] = wide.output.name
        narrow = rewriter.call("ttnn.reshape", wide.output.name, names=[name], shape=self._shape(name))
        return [*reshapes, wide, narrow]

    def _operand(self, name: str, reshapes: list[Op]) -> str:
        """The four-dimensional form of an operand of three dimensions; weights and biases have fewer and stay."""
        if len(self._shape(name)) != 3:
            return name
        if name not in self.wide:
            constant = self.rewriter.is_constant(name)
            self.wide[name] = self._wide_constant(name) if constant else self._wide_value(name, reshapes)
        return self.wide[name]

    def _wide_constant(self, name: str) -> str:
        source = self.rewriter.constant_source(name)
        shape = _wide_shape(self._shape(name))
        wide = self.rewriter.compute("aten.reshape.default", Ref(source), shape, name=f"{source}_rows")
        return self.rewriter.constant(wide, self.rewriter.spec(name))

    def _wide_value(self, name: str, reshapes: list[Op]) -> str:
        names = [self.rewriter.fresh(f"{name}_rows")]
        reshapes.append(self.rewriter.call("ttnn.reshape", name, names=names, shape=_wide_shape(self._shape(name))))
        return reshapes[-1].output.name
