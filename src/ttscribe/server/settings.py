"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttscribe.server.keys import Keys


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take, and all of them together.

    Attributes:
        workers: recordings that are transcribed at once, each in a thread of its own.
        waiting: requests that may wait for a worker; one more is refused with status 429.
        upload: bytes of a request's body.
        duration: seconds of a recording.
        seconds: from the request's last byte to its answer's.
        pause: seconds without a byte of the body after which a client is given up.
        models: that are loaded at once.
        streams: of live sound that are heard at once.
    """

    workers: int = 4
    waiting: int = 64
    upload: int = 512 << 20
    duration: float = 4 * 3600.0
    seconds: float = 3600.0
    pause: float = 30.0
    models: int = 2
    streams: int = 4


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``model`` is what "whisper-1" stands for; without ``keys`` everybody is answered."""

    model: str
    device: str = "cpu"
    precision: str = "auto"
    keys: Keys | None = None
    limits: Limits = field(default_factory=Limits)
