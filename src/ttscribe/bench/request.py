"""What ``ttscribe bench`` is asked to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscribe.whisper.checkpoints.hub import canonical_name


@dataclass(frozen=True, slots=True)
class Request:
    """A model, paths of recordings (else packaged ones), and how often; ``threads`` None is every core."""

    model: str
    audio: Sequence[str] = ()
    device: str = "cpu"
    precision: str = "auto"
    threads: int | None = None
    runs: int = 3
    peers: bool = False
    random_weights: bool = False

    @property
    def name(self) -> str:
        """What results call the model: its short name, or the last part of a path or hub id."""
        return Path(canonical_name(self.model)).name
