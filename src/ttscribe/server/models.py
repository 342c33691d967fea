"""Models by name: loaded when they are first asked for, and given up when others are asked for instead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ttscribe.server.problems import no_such_model
from ttscribe.transcription import Transcriber, load_model
from ttscribe.whisper.checkpoints import available_models

ALIAS = "whisper-1"
"""OpenAI's name, by which clients ask for whatever model a server has."""


@dataclass(slots=True)
class _Held:
    """A model that ``users`` requests have at the moment; the first of them loads it under ``lock``."""

    users: int = 0
    transcriber: Transcriber | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Models:
    """At most ``most`` models of those on this machine; ``default`` may be a path, and clients cannot name others.

    Nothing is downloaded.
    """

    def __init__(self, default: str, most: int, device: str, precision: str) -> None:
        self.default = default
        self._most = most
        self._load: Callable[[str], Transcriber] = lambda name: load_model(
            name, device=device, precision=precision, offline=True
        )
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._changed = threading.Condition()

    def names(self) -> list[str]:
        """The default, and the others that are here."""
        here = [model.name for model in available_models() if model.path is not None]
        return [self.default, *(name for name in here if name != self.default)]

    def named(self, asked: str) -> str:
        """The model that a client's name stands for. Raises Problem for one that is not here."""
        if asked in (ALIAS, self.default):
            return self.default
        # A name only: what looks like a path must not be looked for.
        if asked not in (names := self.names()):
            raise no_such_model(asked, ", ".join(names))
        return asked

    @contextmanager
    def lease(self, name: str) -> Iterator[Transcriber]:
        """A model that is not given up in the block.

        Waits where as many as may be loaded are in use; raises what ``load_model`` does.
        """
        held = self._taken(name)
        try:
            with held.lock:
                if held.transcriber is None:
                    held.transcriber = self._load(name)
            yield held.transcriber
        finally:
            with self._changed:
                held.users -= 1
                if held.transcriber is None and not held.users:
                    del self._held[name]  # it could not be loaded
                self._changed.notify_all()

    def close(self) -> None:
        """Free all, when nobody has one any more."""
        with self._changed:
            while self._held:
                self._changed.wait_for(self._give_up_one)

    def _taken(self, name: str) -> _Held:
        with self._changed:
            self._changed.wait_for(lambda: name in self._held or len(self._held) < self._most or self._give_up_one())
            held = self._held.setdefault(name, _Held())
            self._held.move_to_end(name)
            held.users += 1
            return held

    def _give_up_one(self) -> bool:
        """Free the one that was asked for longest ago and that nobody has; whether there was one."""
        for name, held in self._held.items():
            if not held.users:
                del self._held[name]
                if held.transcriber is not None:
                    held.transcriber.close()
                return True
        return False
