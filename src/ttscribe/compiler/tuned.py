"""What a search has chosen for single calls: program configurations in a file that can be shared.

A file is of one kind of board. It knows a call by its text, all of it: operation, shapes, element types and memory of
what it reads, and every argument, its present configuration too. So what was tried for a call is never used for
another, and where a rule of the compiler has changed, the rule holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from ttscribe.compiler.boards import Board
from ttscribe.compiler.operations.arguments import MULTICAST, MULTICAST_1D
from ttscribe.compiler.program import Config, Op
from ttscribe.errors import OptionError
from ttscribe.files import write_text

FORMAT = "ttscribe.tuned/1"
Sharing: TypeAlias = Literal["blocks", "transposed blocks", "columns", "rows"]
"""How a result is shared out: in blocks over both dimensions of the grid, or whole columns or rows over all cores."""

# TT-NN's class for it, and what that is told.
SHARINGS: Mapping[Sharing, tuple[str, tuple[tuple[str, bool], ...]]] = {
    "blocks": (MULTICAST, (("transpose_mcast", False),)),
    "transposed blocks": (MULTICAST, (("transpose_mcast", True),)),
    "columns": (MULTICAST_1D, (("fuse_batch", True), ("mcast_in0", True))),
    "rows": (MULTICAST_1D, (("fuse_batch", True), ("mcast_in0", False))),
}
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A product's program configuration: the ``grid`` of cores, columns first, and TT-NN's sizes, in tiles."""

    shared: Sharing
    grid: tuple[_Size, _Size]
    in0_block_w: _Size
    out_subblock_h: _Size
    out_subblock_w: _Size
    per_core_M: _Size  # noqa: N815 - TT-NN's names
    per_core_N: _Size  # noqa: N815

    @classmethod
    def of(cls, config: Config) -> Configuration | None:
        """A Program's configuration without what is applied to the result; None where it is of no such kind."""
        fields: dict[str, Any] = dict(config.fields)
        for shared, (kind, switches) in SHARINGS.items():
            if config.kind == kind and {*switches} <= fields.items():
                sizes = {name: fields[name] for name in cls.__struct_fields__ if name in fields}
                return cls(shared, fields["compute_with_storage_grid_size"], **sizes)
        return None

    def config(self, activation: Config | None) -> Config:
        """As a Program has it, with what is applied to the result."""
        kind, switches = SHARINGS[self.shared]
        sizes = {name: item for name, item in msgspec.structs.asdict(self).items() if name not in ("shared", "grid")}
        grid = ("compute_with_storage_grid_size", self.grid)
        return Config(kind, (grid, *sizes.items(), ("fused_activation", activation), *switches))

    def __str__(self) -> str:
        """In one phrase."""
        x, y = self.grid
        each = f"{self.per_core_M}x{self.per_core_N} tiles a core"
        return f"{self.shared} over {x}x{y} cores, {each}, {self.out_subblock_h}x{self.out_subblock_w} at a time"


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A configuration that TT-NN accepts of a call, and the seconds that the call then takes."""

    configuration: Configuration
    seconds: float


class TunedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of call: how it is told, and how often the programs have it.

    So many candidates were ``tried`` on a mock board; ``accepted`` has those that it and, where one is measured on, the
    card took, the best first. Seconds are ``provenance``: "projected" by the cost model, or "measured" on a card.
    ``present_s`` is what the call takes as the compiler's rules configure it, and stays where ``chosen`` is None.
    """

    call: str
    times: int
    tried: int
    accepted: tuple[Candidate, ...]
    provenance: str
    present_s: float
    chosen: Configuration | None

    @property
    def refused(self) -> int:
        """How many candidates TT-NN did not take."""
        return self.tried - len(self.accepted)


class TunedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a search found out for a model on a board: ``ttnn`` is the version that accepted it."""

    format: str
    board: str
    ttnn: str
    calls: tuple[TunedCall, ...]

    def write(self, path: str | Path) -> None:
        """Write it as a whole, the same for the same findings; raises OutputError."""
        ordered = msgspec.structs.replace(self, calls=tuple(sorted(self.calls, key=lambda call: call.call)))
        write_text(path, msgspec.json.format(msgspec.json.encode(ordered), indent=1).decode() + "\n")

    @classmethod
    def read(cls, path: str | Path) -> TunedFile:
        """What ``write`` wrote; OptionError in one line for anything else."""
        try:
            found = msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except OSError as error:
            raise OptionError(f"tuned configurations {path}: {error.strerror}") from None
        except msgspec.MsgspecError as error:
            raise OptionError(f"tuned configurations {path}: {error}; ttscribe tune writes such a file") from None
        if found.format != FORMAT:
            raise OptionError(f"tuned configurations {path} are {found.format}, not {FORMAT}: tune again")
        return found


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen, by the text of the call; a call that has nothing here keeps what the compiler gives it."""

    chosen: tuple[tuple[str, Configuration], ...] = ()

    @classmethod
    def of(cls, calls: Iterable[TunedCall]) -> Tuned:
        """What a search chose."""
        return cls(tuple((call.call, call.chosen) for call in calls if call.chosen is not None))

    @classmethod
    def read(cls, path: str | Path, board: Board) -> Tuned:
        """What a file has for ``board``; OptionError where it is for another one, or no such file."""
        found = TunedFile.read(path)
        if found.board != board.kind:
            raise OptionError(f"tuned configurations {path} are for {found.board}, not for {board.kind}")
        return cls.of(found.calls)


def configured(op: Op, configuration: Config) -> Op:
    """The call with that program configuration, which says what a core grid and an activation would."""
    kept = tuple((name, item) for name, item in op.attributes if name not in ("core_grid", "activation"))
    return Op(op.target, op.operands, op.outputs, op.keywords, kept, op.source).with_attributes(
        program_config=configuration
    )
