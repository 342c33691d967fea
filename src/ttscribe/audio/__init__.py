"""From any recording to what Whisper hears: mono 16 kHz samples, then log-mel features."""

from ttscribe.audio.chunks import ChunkReader, heard_chunks
from ttscribe.audio.containers import told_seconds
from ttscribe.audio.features import HOP, WINDOW_FRAMES, WINDOW_SAMPLES, first_window, log_mel, window
from ttscribe.audio.recording import Recording, listen
from ttscribe.audio.sources import hear, load_audio
from ttscribe.audio.track import SAMPLE_RATE

__all__ = [
    "HOP",
    "SAMPLE_RATE",
    "WINDOW_FRAMES",
    "WINDOW_SAMPLES",
    "ChunkReader",
    "Recording",
    "first_window",
    "hear",
    "heard_chunks",
    "listen",
    "load_audio",
    "log_mel",
    "told_seconds",
    "window",
]
