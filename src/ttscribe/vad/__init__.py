"""Voice activity: where in a recording somebody speaks, by Silero VAD in plain NumPy."""

from ttscribe.vad.detector import FrameListener, SpeechDetector, speech_spans
from ttscribe.vad.speech import Span, Speech

__all__ = ["FrameListener", "Span", "Speech", "SpeechDetector", "speech_spans"]
