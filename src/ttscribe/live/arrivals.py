"""What a source gives while others are busy: read in a thread, and taken as much at a time as has come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from ttscribe.errors import AudioUnreadable, TtscribeError

logger = logging.getLogger("ttscribe.live")

_LATE = 10.0
"""Seconds of sound that wait, from which on decoding is too slow."""

_MOST = 60.0
"""Seconds of sound that wait before the source is read no further."""


class Arrivals:
    """Iterates over the bytes that ``read`` gives, all that wait at a time: where decoding is slow these are more.

    Where sound comes no faster than it is heard, as from a microphone, and over 10 s of it wait, one warning says so.
    A minute of it may wait; then the source has to.
    """

    def __init__(
        self, read: Callable[[int], bytes], bytes_per_second: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``read`` waits for at least one byte and gives at most as many as it is asked for; none at the end."""
        self._read, self._per_second, self._clock = read, bytes_per_second, clock
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._arrived = 0
        self._ended = self._warned = False
        self._failure: TtscribeError | None = None

    def end(self) -> None:
        """Take no more; what waits is still given."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        """Raises what ``read`` raised, an OSError as AudioUnreadable, after all that it gave before."""
        self._began = self._clock()
        threading.Thread(target=self._pump, daemon=True).start()
        while data := self._take():
            yield data
        if self._failure is not None:
            raise self._failure

    def _pump(self) -> None:
        try:
            while (data := self._read(max(1, self._per_second // 10))) and self._put(data):
                pass
        except OSError as error:
            self._failure = AudioUnreadable(f"the sound cannot be read on ({error.strerror})")
        except TtscribeError as error:
            self._failure = error
        self.end()

    def _put(self, data: bytes) -> bool:
        """Whether more may come."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._waiting) < _MOST * self._per_second)
            if not self._ended:
                self._waiting += data
                self._arrived += len(data)
                self._changed.notify_all()
            return not self._ended

    def _take(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._waiting)
            data = bytes(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        self._warn(len(data) / self._per_second)
        return data

    def _warn(self, waited: float) -> None:
        is_live = self._arrived / self._per_second <= self._clock() - self._began + 1
        if waited > _LATE and is_live and not self._warned:
            self._warned = True
            logger.warning(
                "decoding is slower than speech, and %.0f s late: take a smaller model or a faster device", waited
            )
