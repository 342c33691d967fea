"""Weights: what each constant of a program is made of, and converted tensors kept on disk."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler import host
from ttscribe.compiler.program import HostOp, Program, Ref, TensorSpec
from ttscribe.files import TEMPORARY, make_folder, replacing, write_text

_SUFFIX = ".tensorbin"  # TT-NN writes and reads no other
_ABANDONED_S = 24 * 3600
_PIECE = 1 << 22  # bytes read at a time


def content(tensor: Tensor) -> str:
    """A digest of a tensor's element type, shape and bytes."""
    # As bytes, for NumPy has no bfloat16.
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
            self._values[name] = host.run(op, {needed: self[needed] for needed in op.inputs})
        value: Tensor = self._values[name]
        return value


class WeightCache:
    """Converted tensors in a folder, each a file named by what it was made from, with a digest of its bytes beside it.

    A file appears whole or not at all, so that a process that is killed leaves nothing that is read, and two may share
    the folder: both would write the same. What is damaged is made again.
    """

    def __init__(self, folder: Path, library: Any) -> None:
        self.folder, self.library = folder, library

    def get(self, key: str, convert: Callable[[], Any]) -> Any:
        """The tensor of that key, converted if it is not here yet."""
        path, digest = self._paths(key)
        if path.exists() and digest.exists() and digest.read_text() == _file_digest(path):
            return self.library.load_tensor(path)
        tensor = convert()
        self._put(key, tensor)
        return tensor

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}{_SUFFIX}", self.folder / f"{key}.digest"

    def _put(self, key: str, tensor: Any) -> None:
        make_folder(self.folder)
        self._remove_abandoned()
        path, digest = self._paths(key)
        with replacing(path) as new:
            self.library.dump_tensor(new, tensor)
            write_text(digest, _file_digest(new))

    def _remove_abandoned(self) -> None:
        """What processes that were killed while they wrote have left, a day ago or earlier."""
        for left in self.folder.glob(f"{TEMPORARY}*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _ABANDONED_S:
                    left.unlink()


def _file_digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
