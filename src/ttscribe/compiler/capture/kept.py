"""Captured graphs kept on disk: ``torch.export`` takes a second or three for each, and gives the same every time.

A graph hangs on code and on shapes, never on what weights hold: a file has its nodes and the names of its weights,
which are those of the module at hand. Another file is made when the code changes that may decide about graphs.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import ttscribe.compiler
import ttscribe.whisper.model
from ttscribe.compiler import host
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.program import Ref, Role
from ttscribe.errors import OutputError
from ttscribe.files import cache_folder, make_folder, write_text

logger = logging.getLogger("ttscribe.compiler")


def kept_graph(what: str, module: nn.Module, capture: Callable[[], CapturedGraph]) -> CapturedGraph:
    """The graph that ``capture`` gives: from the file that was written before, or captured and written.

    ``what`` tells all that the graph hangs on but the code: the method and the shapes. Weights are ``module``'s.
    """
    file = _file(what)
    weights = {_name(path): tensor for path, tensor in _tensors(module)}
    if file.exists():
        try:
            return _read(file.read_text(encoding="utf-8"), weights)
        except (ValueError, KeyError) as error:
            logger.warning("%s is damaged (%r): capturing again", file, error)
    captured = capture()
    try:
        _write(captured, weights, file)
    except OutputError as error:
        logger.warning("%s; capturing again at each start", error)
    return captured


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _name(path: str) -> str:
    """What a capture calls the weight at a path of its module."""
    return path.replace(".", "_")


def _file(what: str) -> Path:
    versions = (torch.__version__, platform.python_version())
    graph, code = (sha256(repr(part).encode()).hexdigest()[:16] for part in ((what, versions), _code()))
    return cache_folder() / "graphs" / f"{graph}-{code}.json"


@cache
def _code() -> tuple[str, ...]:
    """The text of every file that may decide about a graph."""
    compiler = sorted(Path(ttscribe.compiler.__path__[0]).rglob("*.py"))
    return tuple(path.read_text(encoding="utf-8") for path in (*compiler, Path(ttscribe.whisper.model.__file__)))


def _write(captured: CapturedGraph, weights: dict[str, Tensor], file: Path) -> None:
    if not weights.keys() >= captured.params.keys() or any(map(_is_several, captured.graph.nodes)):
        logger.info("%s has constants of its own, or nodes of several results: it is not kept", captured.name)
        return
    document = {
        "name": captured.name,
        "nodes": [_written(node) for node in captured.graph.nodes],
        "params": [*captured.params],
        "inputs": {name: captured.roles[name].value for name in captured.inputs},
        "outputs": captured.outputs,
        "mutations": captured.mutations,
        "on_device": captured.on_device,
    }
    make_folder(file.parent)
    write_text(file, json.dumps(document, default=lambda node: {"node": node.name}))
    for old in file.parent.glob(f"{file.name.partition('-')[0]}-*"):
        if old != file:
            old.unlink(missing_ok=True)


def _is_several(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), list | tuple)


def _written(node: fx.Node) -> tuple[Any, ...]:
    target = host.target_name(node) if node.op == "call_function" else node.target
    keywords = {name: host.encode(value) for name, value in node.kwargs.items()}
    result = node.meta.get("val")
    described = None if result is None else (*map(tuple, (result.shape, result.stride())), result.dtype, result.device)
    return node.op, node.name, target, host.encode(node.args), keywords, host.encode(described)


def _read(text: str, weights: dict[str, Tensor]) -> CapturedGraph:
    document = json.loads(text, object_hook=lambda item: Ref(item["node"]) if item.keys() == {"node"} else item)
    graph, nodes = fx.Graph(), dict[str, fx.Node]()
    with FakeTensorMode():
        for op, name, target, args, kwargs, described in document["nodes"]:
            arguments = tuple(host.decode(args, nodes))
            if op == "output":
                # The one argument that is a tuple: JSON has lists only.
                arguments = (tuple(arguments[0]),)
            keywords = {keyword: host.decode(value, nodes) for keyword, value in kwargs.items()}
            called = host.resolve(target) if op == "call_function" else target
            node = nodes[name] = graph.create_node(op, called, arguments, keywords, name)
            if described is not None:
                shape, strides, dtype, device = host.decode(described, nodes)
                node.meta["val"] = torch.empty_strided(shape, strides, dtype=dtype, device=device)
    roles = {name: Role(role) for name, role in document["inputs"].items()}
    return CapturedGraph(
        document["name"],
        graph,
        {name: weights[name].detach() for name in document["params"]},
        tuple(roles),
        tuple(host.decode(document["outputs"], nodes)),
        {name: host.decode(node, nodes) for name, node in document["mutations"].items()},
        document["on_device"],
        roles,
    )
