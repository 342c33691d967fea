"""Text of sound that is still coming, committed when two successive decodings agree on it."""

from ttscribe.live.arrivals import Arrivals
from ttscribe.live.decoder import BufferDecoder
from ttscribe.live.stream import Stream
from ttscribe.live.turns import Began, Ended, Turns

__all__ = ["Arrivals", "Began", "BufferDecoder", "Ended", "Stream", "Turns"]
