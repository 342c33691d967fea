"""Weights: what each constant of a program is made of, and converted tensors kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler import host
from ttscribe.compiler.program import HostOp, Program, Ref, TensorSpec

_SUFFIX = ".tensorbin"  # TT-NN writes and reads no other


def content(tensor: Tensor) -> str:
    """A digest of a tensor's element type, shape and bytes."""
    data = tensor.detach().contiguous().view(-1).view(torch.uint8).numpy()
    described = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    return hashlib.blake2b(data, digest_size=16, key=hashlib.blake2b(described, digest_size=16).digest()).hexdigest()


def place_in_memory(tensor: Tensor) -> str:
    """Which memory a tensor describes: tells apart weights that have no content, such as those of a meta model."""
    storage = tensor.untyped_storage()._cdata  # noqa: SLF001 - a meta tensor has no address
    return f"{storage} {tensor.storage_offset()} {tuple(tensor.shape)} {tensor.stride()} {tensor.dtype}"


class Recipes:
    """Names what a program makes at load by what it is made from: equal keys, equal tensors, in any program."""

    def __init__(self, program: Program, params: Mapping[str, str]) -> None:
        """``params`` has a fingerprint of each param, by name."""
        self._made = {op.output.name: op for op in program.setup}
        self._keys = dict(params)

    def key(self, source: str, spec: TensorSpec, *, on_host: bool = False) -> str:
        """The key of the constant that is ``source`` as a tensor of ``spec``."""
        described = f"{self._source(source)} {spec.dtype.value} {spec.layout.value} {spec.memory} {on_host}"
        return _digest(described)

    def _source(self, name: str) -> str:
        if name not in self._keys:
            self._keys[name] = self._of(self._made[name])
        return self._keys[name]

    def _of(self, op: HostOp) -> str:
        return _digest(f"{op.target} {self._argument(op.args)} {self._argument(op.kwargs)}")

    def _argument(self, argument: Any) -> str:
        if isinstance(argument, Ref):
            return self._source(argument.name)
        if isinstance(argument, tuple | list):
            return f"[{', '.join(map(self._argument, argument))}]"
        return repr(argument)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class HostValues:
    """Params, and what setup makes of them, each computed when it is first asked for."""

    def __init__(self, program: Program, params: Mapping[str, Tensor]) -> None:
        self._made = {op.output.name: op for op in program.setup}
        self._values: dict[str, Any] = {name: tensor.detach() for name, tensor in params.items()}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._values:
            op = self._made[name]
            self._values[name] = host.run(op, {needed: self[needed] for needed in op.inputs()})
        value: Tensor = self._values[name]
        return value


class WeightCache:
    """Converted tensors in a folder, one file each, named by what they were made from.

    A file appears whole or not at all, so that a process that is killed leaves nothing half-written, and two may share
    the folder: both would write the same. What cannot be read is made again.
    """

    def __init__(self, folder: Path, library: Any) -> None:
        self.folder, self.library = folder, library

    def get(self, key: str, convert: Callable[[], Any]) -> Any:
        """The tensor of that key, converted if it is not here yet."""
        path = self.folder / f"{key}{_SUFFIX}"
        if path.exists():
            try:
                return self.library.load_tensor(path)
            except RuntimeError:  # damaged; TT-NN raises no other
                path.unlink(missing_ok=True)
        tensor = convert()
        self._put(path, tensor)
        return tensor

    def _put(self, path: Path, tensor: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.stem}.{os.getpid()}{_SUFFIX}")
        try:
            self.library.dump_tensor(unfinished, tensor)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
