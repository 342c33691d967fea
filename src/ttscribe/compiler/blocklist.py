"""Blocklists: operations that a model must not lower, as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, fx

from ttscribe.errors import OptionError


@dataclass(frozen=True, slots=True)
class Block:
    """Keep ``op`` (a pattern such as "aten.cumsum.*") on the host.

    ``shape`` is a pattern over the first tensor argument's shape as text, such as "[1, *, 64]"; ``model`` one over the
    model's name, as the command or the caller gives it; ``reason`` is a sentence for the report.
    """

    op: str
    reason: str
    model: str = "*"
    shape: str = "*"

    def matches(self, model: str, target: str, shape: str) -> bool:
        """Whether it applies to the operation ``target`` of ``model`` on a first tensor of ``shape``, as "[1, 64]"."""
        # Square brackets are literal in a shape and a character class in a pattern.
        pairs = ((self.model, model), (self.op, target), (self.shape.replace("[", "[[]"), shape))
        return all(fnmatchcase(text, pattern) for pattern, text in pairs)


@dataclass(frozen=True, slots=True)
class Blocklist:
    """Entries, and the name of the ``model`` that is compiled, which chooses those that apply."""

    blocks: tuple[Block, ...] = ()
    model: str = ""

    @classmethod
    def read(cls, path: str | Path, model: str = "") -> Blocklist:
        """Read a JSON list of objects with ``op``, ``reason`` and, optionally, ``model`` and ``shape``."""
        try:
            entries = json.loads(Path(path).read_text())
            return cls(tuple(Block(**entry) for entry in entries), model)
        except (OSError, ValueError, TypeError) as error:
            raise OptionError(
                f"blocklist {path}: {error}; it must be a JSON list of {{op, reason[, model, shape]}}"
            ) from None

    def reason(self, target: str, node: fx.Node) -> str | None:
        """The reason of the first entry that matches, or None."""
        if not self.blocks:
            return None
        shape = _first_shape(node.args)
        matching = (block for block in self.blocks if block.matches(self.model, target, shape))
        return next((block.reason for block in matching), None)


def _first_shape(arguments: Sequence[object]) -> str:
    for argument in arguments:
        described = argument.meta.get("val") if isinstance(argument, fx.Node) else None
        if isinstance(described, Tensor):
            return str([*described.shape])
    return ""
