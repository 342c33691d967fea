"""How a realtime client asks for turns to be ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ttscribe.errors import TtscribeError
from ttscribe.live import Turns
from ttscribe.server import problems
from ttscribe.server.problems import Problem

_KIND = "server_vad"
_PARAM = "session.audio.input.turn_detection"
_LIMITS = {"threshold": (0, 1), "prefix_padding_ms": (0, 10_000), "silence_duration_ms": (100, 10_000)}


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """OpenAI's ``server_vad``, under its names and with its values.

    ``threshold`` is the probability from which on somebody speaks; a turn has ``prefix_padding_ms`` before it, and ends
    after ``silence_duration_ms``.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500

    @classmethod
    def of(cls, asked: object) -> TurnDetection:
        """What a client sent; Problem for what cannot be done, and for options that would be ignored."""
        if not isinstance(asked, dict) or asked.get("type") != _KIND:
            raise Problem(400, f"turns are ended by {_KIND}, or, with null, by the client.", param=_PARAM)
        # There are no responses in a session that only transcribes.
        given = {name: value for name, value in asked.items() if value is not None}
        given = {name: given[name] for name in given if name not in ("type", "create_response", "interrupt_response")}
        for name, value in given.items():
            if name not in _LIMITS:
                raise Problem(400, f"{_KIND} has no {name} here, only {', '.join(_LIMITS)}.", param=f"{_PARAM}.{name}")
            least, most = _LIMITS[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise Problem(400, f"{name} must be a number from {least} to {most}.", param=f"{_PARAM}.{name}")
        return cls(**given)

    def asked(self) -> dict[str, Any]:
        """As a session tells of it."""
        return {"type": _KIND, **asdict(self)}

    def turns(self, sample_rate: int) -> Turns:
        """What finds them in 16-bit PCM at so many Hz. Raises Problem."""
        padding, silence = self.prefix_padding_ms / 1000, self.silence_duration_ms / 1000
        try:
            return Turns(sample_rate=sample_rate, threshold=self.threshold, padding=padding, silence=silence)
        except TtscribeError as error:
            raise problems.of(error) from error
