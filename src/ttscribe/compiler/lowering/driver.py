"""From a captured graph to a program: each node becomes a constant, TT-NN calls, or part of a host segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.host import encode, host_spec, laid_out, target_name
from ttscribe.compiler.lowering.angles import refuse_angles
from ttscribe.compiler.lowering.builder import Builder, Known, OnDevice, OnHost, device_spec
from ttscribe.compiler.lowering.effects import guard_random, has_effects, turns
from ttscribe.compiler.lowering.guards import common_guard, is_symbolic, symbols, tensors, value
from ttscribe.compiler.lowering.placement import apply_host_affinity
from ttscribe.compiler.lowering.registry import RULES, Refusal
from ttscribe.compiler.lowering.whole_numbers import refuse_wide_numbers
from ttscribe.compiler.memory import memory_owners
from ttscribe.compiler.operations.operation import SpecError
from ttscribe.compiler.program import (
    Fallback,
    HostOp,
    HostSegment,
    Op,
    Program,
    Reason,
    Ref,
    Role,
    Value,
)
from ttscribe.compiler.settings import CompileSettings
from ttscribe.errors import CompileError

# Results that depend on nothing but shapes: constants, whatever their arguments.
_SHAPE_ONLY = {
    "aten.full_like.default",
    "aten.zeros_like.default",
    "aten.ones_like.default",
    "aten.empty_like.default",
    "aten.new_zeros.default",
    "aten.new_ones.default",
    "aten.new_full.default",
    "aten.new_empty.default",
}
# These address their argument's memory, and what leaves the device is contiguous, whatever PyTorch's was.
_BY_MEMORY_ORDER = ("aten.as_strided.default", "aten.as_strided_scatter.default")


def refuse(node: fx.Node, settings: CompileSettings) -> Refusal | None:
    """Why ``node`` may not be lowered, or None: the one answer that partitioner, report and run time share."""
    name = target_name(node)
    if (blocked := settings.blocklist.reason(name, node)) is not None:
        return Refusal(Reason.BLOCKED, blocked)
    if name == "operator.getitem":
        return refuse(node.args[0], settings)  # type: ignore[arg-type]
    rule = RULES.get(name)
    refusal = rule.first(node, settings) if rule is not None else None
    refusal = refusal or guard_random(node) or common_guard(node)
    if refusal is not None:
        return refusal
    if rule is None:
        return Refusal(Reason.NO_RULE, f"no rule lowers {name} yet; the host computes it")
    return rule.guard(node, settings)


@dataclass
class Lowering:
    """One lowering of one graph."""

    captured: CapturedGraph
    builder: Builder

    def run(self) -> Program:
        self._declare_inputs()
        rest = []
        for node in self.captured.graph.nodes:
            if self._is_constant(node):
                self._fold(node)
            elif node.op == "call_function":
                rest.append(node)
        refusals = {node: refuse(node, self.builder.settings) for node in rest}
        refuse_angles(rest, refusals, self.builder.is_known)
        if not self.captured.on_device:
            refuse_wide_numbers(self.captured.graph, refusals)
            apply_host_affinity(rest, refusals)
        for group in _schedule(rest, refusals, self._is_placed):
            if refusals[group[0]] is None:
                for node in group:
                    self._lower(node, refusals)
            else:
                self._host_segment(group, refusals)
        return self._finish()

    def _declare_inputs(self) -> None:
        for node in self.captured.graph.nodes:
            if node.op not in ("placeholder", "get_attr"):
                continue
            described, known = value(node), node.name in self.captured.params
            on_device = self.captured.on_device and not known
            role = Role.INTERMEDIATE if known else self.captured.roles.get(node.name, Role.ARGUMENT)
            self.builder.declare(node.name, device_spec(described) if on_device else host_spec(described), role)
            place = Known if known else OnDevice if on_device else OnHost
            self.builder.places[node] = place(node.name)

    def _is_placed(self, node: fx.Node) -> bool:
        return node in self.builder.places

    def _is_constant(self, node: fx.Node) -> bool:
        name = target_name(node) if node.op == "call_function" else ""
        if node.op != "call_function" or has_effects(node):
            return False
        if any(True for _ in symbols((*node.args, node))) or any(is_symbolic(t) for t in tensors(node)):
            return False
        if name in _SHAPE_ONLY:
            return True
        inputs = node.all_input_nodes
        # What reads nothing is constant if it makes a tensor, as aten.arange does.
        return all(self.builder.is_known(argument) for argument in inputs) and (bool(inputs) or _makes_tensor(node))

    def _fold(self, node: fx.Node) -> None:
        op = self._host_op(node, shape_only=target_name(node) in _SHAPE_ONLY)
        self.builder.setup.append(op)
        self.builder.places[node] = Known(op.output.name)

    def _lower(self, node: fx.Node, refusals: dict[fx.Node, Refusal | None]) -> None:
        """Emit a node's calls; where the table of operations refuses one after all, the host computes the node."""
        mark = self.builder.mark()
        try:
            if refusals[node] is None:
                self._emit(node)
        except SpecError as error:
            # A guard sees ATen's arguments alone; the record of a TT-NN call sees the tensors that a rule made of them.
            self.builder.undo(mark)
            refusals[node] = Refusal(Reason.ARGUMENT, f"TT-NN refuses the call: {error}")
            # An operation of several results is read through getitem, which belongs to it.
            refusals.update({user: refusals[node] for user in node.users if target_name(user) == "operator.getitem"})
        if refusals[node] is not None:
            self._host_segment([node], refusals)

    def _emit(self, node: fx.Node) -> None:
        made = RULES[target_name(node)].emit(self.builder.at(node), node)
        self.builder.places[node] = OnDevice(made) if isinstance(made, str) else tuple(OnDevice(name) for name in made)

    def _host_segment(self, group: list[fx.Node], refusals: dict[fx.Node, Refusal | None]) -> None:
        inside = set(group)
        for node in group:
            for argument in node.all_input_nodes:
                if argument not in inside:
                    self._bring_home(argument)
        ops = []
        for node in group:
            ops.append(self._host_op(node))
            self.builder.places[node] = OnHost(ops[-1].output.name)
        defined = {op.output.name for op in ops}
        used = dict.fromkeys(name for op in ops for name in op.inputs if name not in defined)
        outside = [self.builder.places[node].name for node in group if any(user not in inside for user in node.users)]
        fallbacks = [
            Fallback(node.name, target_name(node), refusal.reason, refusal.sentence)
            for node in group
            if (refusal := refusals[node]) is not None
        ]
        effects = any(map(has_effects, group))
        self.builder.body.append(HostSegment(tuple(ops), tuple(used), tuple(outside), tuple(fallbacks), effects))

    def _bring_home(self, node: fx.Node) -> None:
        place = self.builder.places[node]
        if isinstance(place, OnDevice):
            self.builder.move_out(place.name, value(node))

    def _host_name(self, node: fx.Node) -> str:
        place = self.builder.places[node]
        if isinstance(place, OnDevice):
            return self.builder.move_out(place.name, value(node))
        return str(place.name)

    def _host_op(self, node: fx.Node, *, shape_only: bool = False) -> HostOp:
        """``node`` as data; the tensor that a shape-only operation is asked to look like is replaced by its shape."""
        _refuse_memory_order(node)
        target, args, kwargs = target_name(node), node.args, dict(node.kwargs)
        if shape_only:
            target, args, kwargs = _shape_only_call(node)
        # A device value may have the node's name already: those of one rule are numbered, as FX numbers nodes.
        output = self.builder.declare(node.name, host_spec(value(node)))
        return HostOp(
            target, self._arguments(args), tuple(zip(kwargs, self._arguments(kwargs.values()), strict=True)), output
        )

    def _arguments(self, arguments: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(self._argument(argument) for argument in arguments)

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Ref(self._host_name(argument))
        if isinstance(argument, list | tuple):
            return self._arguments(argument)
        return encode(argument)

    def _finish(self) -> Program:
        captured, builder = self.captured, self.builder
        # A method that returns nothing, such as cross_kv, has the one output None.
        returned = [item for item in captured.outputs if item is not None or not captured.on_device]
        outputs = [self._output(item) for item in returned]
        mutated: list[tuple[str, str]] = []
        if captured.on_device:
            outputs = self._write_back(outputs)
        else:
            mutated = [(name, self._output(node)) for name, node in captured.mutations.items()]
        inputs = tuple(Value(name, builder.specs[name], builder.role(name)) for name in captured.inputs)
        used = {name for op in builder.setup for name in op.inputs}
        used |= {constant.source for constant in builder.constants.values()} | set(outputs)
        used |= {name for step in builder.body if isinstance(step, HostSegment) for name in step.inputs}
        params = tuple(Value(name, builder.specs[name]) for name in captured.params if name in used)
        return Program(
            captured.name,
            inputs,
            params,
            tuple(builder.setup),
            tuple(builder.constants.values()),
            tuple(builder.body),
            tuple(outputs),
            tuple(mutated),
            tuple(captured.mutations) if captured.on_device else (),
        )

    def _write_back(self, outputs: list[str]) -> list[str]:
        """Copy new values into the inputs that change; gives outputs that keep what they were before."""
        builder, mutations = self.builder, self.captured.mutations
        written = []
        for name, node in mutations.items():
            spec = builder.spec(name)
            written.append(builder.at(node).tensor(node, spec.dtype, spec.layout))
        owners = memory_owners(builder.body, builder.specs)
        changes = {name for name in (*outputs, *written) if owners.get(name, name) in mutations}
        kept = {name: builder.op("ttnn.clone", name) for name in sorted(changes)}
        for (name, node), value_name in zip(mutations.items(), written, strict=True):
            builder.body.append(Op("ttnn.copy", (kept.get(value_name, value_name), name), (), source=(node.name,)))
        return [kept.get(name, name) for name in outputs]

    def _output(self, item: Any) -> str:
        if not isinstance(item, fx.Node):
            return self._literal(item)
        if self.captured.on_device:
            return self.builder.tensor(item)
        return self._host_name(item)

    def _literal(self, item: Any) -> str:
        output = self.builder.declare("literal", host_spec(item))
        self.builder.setup.append(HostOp("ttscribe.compiler.host.identity", (item,), (), output))
        return output.name


def lower(captured: CapturedGraph, settings: CompileSettings | None = None) -> Program:
    """Lower a captured graph to a naive program: floats bfloat16 in tiles, everything in DRAM, nothing fused."""
    return Lowering(captured, Builder(settings, any_arguments=not captured.on_device)).run()


def _schedule(
    nodes: list[fx.Node], refusals: dict[fx.Node, Refusal | None], placed: Callable[[fx.Node], bool]
) -> Iterable[list[fx.Node]]:
    """Order the nodes so that device and host take turns as seldom as a greedy order allows."""
    waiting, before = list(nodes), turns(nodes)
    done: set[fx.Node] = set()
    on_host = False
    while waiting:
        group: list[fx.Node] = []
        later = []
        for node in waiting:
            earlier = [*node.all_input_nodes, *filter(None, [before.get(node)])]
            ready = all(argument in done or placed(argument) for argument in earlier)
            if ready and (refusals[node] is not None) == on_host:
                group.append(node)
                done.add(node)
            else:
                later.append(node)
        waiting = later
        on_host = not on_host
        if group:
            yield group


def _refuse_memory_order(node: fx.Node) -> None:
    """What leaves the device is contiguous, so that nothing may depend on how PyTorch would have laid it out."""
    base = node.all_input_nodes[0] if target_name(node) in _BY_MEMORY_ORDER else None
    if base is not None and base.op == "call_function" and base.target is not laid_out:
        raise CompileError(f"{node.name}: {target_name(node)} of a part of a computed tensor: clone the part first")


def _makes_tensor(node: fx.Node) -> bool:
    return isinstance(value(node), Tensor)


def _shape_only_call(node: fx.Node) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    result = value(node)
    name = target_name(node).split(".")[1]
    # Memory that PyTorch leaves as it finds it is zeros here, so that runs are equal.
    fill: Any = {"zeros": 0, "ones": 1, "empty": 0}.get(name.replace("new_", "").replace("_like", ""))
    if fill is None:
        fill = node.args[-1]
    return "aten.full.default", (tuple(result.shape), fill), {"dtype": result.dtype}


__all__ = ["Lowering", "lower", "refuse"]
