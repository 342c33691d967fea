"""API keys: of each only its SHA-256 is kept."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from ttscribe.errors import OptionError

HASHED = "sha256:"
"""What a line begins with that has a key's digest in hexadecimal in its place."""


class Keys:
    """Keys that are accepted."""

    def __init__(self, lines: Iterable[str]) -> None:
        """A key or ``sha256:`` and its digest each. Raises OptionError where there is none, or a damaged digest."""
        self._digests = [_digest(line.strip()) for line in lines if line.strip()]
        if not self._digests:
            raise OptionError("there is no API key: write one on each line")

    @staticmethod
    def lines(path: Path) -> list[str]:
        """Of a file, but for those that begin with #. Raises OptionError where it cannot be read."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"{path}: cannot be read as API keys ({error})") from error
        return [line for line in lines if not line.startswith("#")]

    def accept(self, key: str) -> bool:
        """Whether it is one of them, in a time that tells nothing of how much of it is right."""
        digest = sha256(key.encode()).digest()
        # All are compared: where the right one stands must not show either.
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0


def _digest(line: str) -> bytes:
    if not line.startswith(HASHED):
        return sha256(line.encode()).digest()
    try:
        digest = bytes.fromhex(line.removeprefix(HASHED))
    except ValueError:
        digest = b""
    if len(digest) != sha256().digest_size:
        raise OptionError(f"an API key's digest must be {HASHED} and 64 hexadecimal digits")
    return digest
