"""Give activations the four dimensions that TT-NN's head calls want, so that no reshape is left between them.

One row for each of a batch, [B, 1, D], are the rows of one matrix, [1, 1, B, D]: apart, each would fill up a tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ttscribe.compiler.editor import Rewriter
from ttscribe.compiler.operations import OPERATIONS, Extent
from ttscribe.compiler.program import Op, Program, Ref, TensorSpec
from ttscribe.compiler.settings import CompileSettings

_PRODUCTS = ("ttnn.linear", "ttnn.matmul")
_ROW_WISE = tuple(name for name, operation in OPERATIONS.items() if operation.extent is not Extent.TENSOR)


def use_four_dimensions(program: Program, _settings: CompileSettings) -> Program:
    """[B, T, D] becomes [B, 1, T, D] through every call that works row by row; reshapes between the two disappear.

    Where T is 1 in all that a call has to do with, it becomes [1, 1, B, D].
    """
    widening = _Widening(program)
    rules = {**dict.fromkeys(_ROW_WISE, widening.widen), "ttnn.reshape": widening.reshape}
    return widening.rewriter.run(rules)


Shape = tuple[int, ...]


def _apart(shape: Shape) -> Shape:
    # nlp_create_qkv_heads refuses [B, T, D], and nlp_concat_heads gives [B, 1, T, D] (TT-NN 0.81.1).
    return (shape[0], 1, *shape[1:])


def _together(shape: Shape) -> Shape:
    return (1, 1, shape[0], shape[2])


def _forms(shape: Shape) -> list[Shape]:
    """What a shape of three dimensions may become."""
    return [_apart(shape), _together(shape)] if shape[1] == 1 else [_apart(shape)]


class _Widening:
    """``wide`` has the value of four dimensions that holds what one of three does, by the latter's name and shape."""

    def __init__(self, program: Program) -> None:
        self.rewriter = Rewriter(program)
        self.wide: dict[tuple[str, Shape], str] = {}

    def _shape(self, name: str) -> Shape:
        spec = self.rewriter.specs[name]
        return spec.shape if isinstance(spec, TensorSpec) else ()

    def reshape(self, rewriter: Rewriter, step: Op) -> list[Op] | None:
        """Remember a reshape between the two forms; it stays only if something still reads its result."""
        source, result = step.operands[0], step.output.name
        before, after = self._shape(source), self._shape(result)
        if len(after) == 3 and before in _forms(after):
            self.wide[result, before] = source
        elif len(before) == 3 and after in _forms(before):
            if (source, after) in self.wide:
                rewriter.rename(result, self.wide[source, after])
                return []
            self.wide[source, after] = result
        return None

    def widen(self, rewriter: Rewriter, step: Op) -> list[Op] | None:
        name = step.output.name
        if len(self._shape(name)) != 3:
            return None
        form = _together if self._is_of_single_rows(step) else _apart
        reshapes: list[Op] = []
        operands = tuple(self._operand(operand, form, reshapes) for operand in step.operands)
        keywords = tuple((key, self._operand(item, form, reshapes)) for key, item in step.keywords)
        changed = replace(step, operands=operands, keywords=keywords)
        wide = rewriter.reinferred(changed, [rewriter.fresh(f"{name}_rows")])
        self.wide[name, form(self._shape(name))] = wide.output.name
        narrow = rewriter.call("ttnn.reshape", wide.output.name, names=[name], shape=self._shape(name))
        return [*reshapes, wide, narrow]

    def _is_of_single_rows(self, step: Op) -> bool:
        """Whether a call has to do with single rows only, and what it multiplies them by is the same for all."""
        shapes = [shape for name in (*step.inputs, step.output.name) if len(shape := self._shape(name)) == 3]
        by_each = step.target in _PRODUCTS and len(self._shape(step.operands[1])) == 3
        return all(shape[1] == 1 for shape in shapes) and not by_each

    def _operand(self, name: str, form: Callable[[Shape], Shape], reshapes: list[Op]) -> str:
        """The four-dimensional form of an operand of three dimensions; weights and biases have fewer and stay."""
        if len(self._shape(name)) != 3:
            return name
        shape = form(self._shape(name))
        if (name, shape) not in self.wide:
            constant = self.rewriter.is_constant(name)
            made = self._wide_constant(name, shape) if constant else self._wide_value(name, shape, reshapes)
            self.wide[name, shape] = made
        return self.wide[name, shape]

    def _wide_constant(self, name: str, shape: Shape) -> str:
        source = self.rewriter.constant_source(name)
        wide = self.rewriter.compute("aten.reshape.default", Ref(source), shape, name=f"{source}_rows")
        return self.rewriter.constant(wide, self.rewriter.spec(name))

    def _wide_value(self, name: str, shape: Shape, reshapes: list[Op]) -> str:
        names = [self.rewriter.fresh(f"{name}_rows")]
        reshapes.append(self.rewriter.call("ttnn.reshape", name, names=names, shape=shape))
        return reshapes[-1].output.name
