"""Text of sound that is still coming, committed when two successive decodings agree on it."""

from ttscribe.live.arrivals import Arrivals
from ttscribe.live.decoder import BufferDecoder
from ttscribe.live.stream import Stream

__all__ = ["Arrivals", "BufferDecoder", "Stream"]
