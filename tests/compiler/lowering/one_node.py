"""One ATen node, lowered, run on the exact emulator, and compared with PyTorch."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.host import resolve
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.program import Op, TensorSpec
from ttscribe.compiler.verify import verify
from ttscribe.devices.emulator import EmulatedDevice

TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@dataclass(frozen=True)
class Call:
    """A call of an ATen overload; tensors may stand anywhere among the arguments.

    ``outputs`` are the results that are read, where the overload gives several.
    """

    args: tuple
    kwargs: dict
    outputs: tuple[int, ...] | None = None

    @property
    def tensors(self):
        return [leaf for leaf in pytree.tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]

    def mapped(self, change):
        args, kwargs = pytree.tree_map_only(Tensor, change, (self.args, self.kwargs))
        return Call(args, kwargs, self.outputs)

    def in_float32(self):
        """The exact emulator computes in float32 throughout: so must what it is compared with."""
        return self.mapped(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

    def run(self, target):
        result = resolve(target)(*self.args, **self.kwargs)
        if isinstance(result, Tensor):
            return [result]
        return [result[index] for index in self.outputs or range(len(result))]


def call(*args, outputs=None, **kwargs):
    return Call(args, kwargs, outputs)


def captured(target, call, known=(), on_device=False):
    """A graph of one node; ``known`` are indices of tensors that are params."""
    graph, numbers = fx.Graph(), itertools.count()

    def placeholder(tensor):
        node = graph.placeholder(f"{'w' if (number := next(numbers)) in known else 'x'}{number}")
        node.meta["val"] = tensor.to("meta")
        return node

    nodes = call.mapped(placeholder)
    inner = graph.call_function(resolve(target), nodes.args, nodes.kwargs)
    meta = call.mapped(lambda tensor: tensor.to("meta"))
    inner.meta["val"] = resolve(target)(*meta.args, **meta.kwargs)
    results = (inner,) if isinstance(inner.meta["val"], Tensor) else tuple(_items(graph, inner, call.outputs))
    graph.output(results)
    names = [node.name for node in graph.nodes if node.op == "placeholder"]
    params = {name: call.tensors[index] for index, name in enumerate(names) if index in known}
    inputs = tuple(name for name in names if name not in params)
    return CapturedGraph("one", graph, params, inputs, results, {}, on_device)


def _items(graph, inner, outputs):
    for index in outputs or range(len(inner.meta["val"])):
        item = graph.call_function(resolve("operator.getitem"), (inner, index))
        item.meta["val"] = inner.meta["val"][index]
        yield item


def lowered(target, call, known=(), on_device=False):
    program = lower(captured(target, call, known, on_device))
    verify(program)
    return program


def run(program, call, known=()):
    """The program's results on the host, on an exact emulator."""
    device = EmulatedDevice(exact=True)
    params = {f"w{index}": call.tensors[index] for index in known}
    given = [tensor for index, tensor in enumerate(call.tensors) if index not in known]
    inputs = [
        device.to_device(tensor, value.spec) if isinstance(value.spec, TensorSpec) else tensor
        for value, tensor in zip(program.inputs, given, strict=True)
    ]
    results = device.load(program, {value.name: params[value.name] for value in program.params})(*inputs)
    return [result if isinstance(result, Tensor) else result.data for result in results]


def check(target, call, known=(), on_device=False):
    """Lower ``call`` and compare its results with PyTorch's; gives the program."""
    program = lowered(target, call, known, on_device)
    results = run(program, call, known)
    declared = call.run(target)
    wanted = call.in_float32().run(target)
    for result, like, exact in zip(results, declared, wanted, strict=True):
        compare(result, like, exact, check_dtype=not on_device)
    return program


def compare(result, like, exact, *, check_dtype):
    tolerance = TOLERANCE.get(like.dtype, 2e-5)
    if check_dtype:
        assert result.dtype == like.dtype
    assert result.shape == like.shape
    result, exact = result.double(), exact.double()
    torch.testing.assert_close(result, exact, rtol=tolerance, atol=tolerance, equal_nan=True)


def is_lowered(program):
    return not program.fallbacks and all(isinstance(step, Op) for step in program.body)
