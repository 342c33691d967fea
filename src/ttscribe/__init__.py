"""Speech recognition with Whisper, compiled from plain PyTorch to Tenstorrent TT-NN.

import ttscribe

segments, info = ttscribe.load_model("tiny.en").transcribe("talk.mp4")
for segment in segments:
print(segment.start, segment.end, segment.text)
"""

from __future__ import annotations

import os

from ttscribe.errors import (
    AudioError,
    AudioNotFound,
    AudioTooLong,
    AudioUnreadable,
    CallRefused,
    CheckpointInvalid,
    CompileError,
    DeviceError,
    DeviceUnavailable,
    EmulationError,
    FallbackRefused,
    InvalidSamples,
    LanguageUnsupported,
    ModelError,
    ModelNotFound,
    NoAudioStream,
    OptionError,
    OutputError,
    StateGone,
    TtscribeError,
    VocabularyMismatch,
)

# PyTorch's idle threads spin for milliseconds otherwise, on the cores that the CPU's own kernels need. It is heeded
# where PyTorch is imported after this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TYPE_CHECKING = False  # importing typing takes longer than all that is imported here
if TYPE_CHECKING:
    from typing import Any

    from ttscribe.backend import CompiledModule, compile  # noqa: A004
    from ttscribe.compiler.blocklist import Blocklist
    from ttscribe.options import DecodingOptions, VadOptions
    from ttscribe.transcription import Transcriber, load_model
    from ttscribe.types import LanguageDetection, LiveText, Progress, Segment, Transcription, TranscriptionInfo, Word
    from ttscribe.writers import SubtitleLayout, write_transcript

__version__ = "0.1.0"

# These need torch, NumPy or dataclasses, whose imports the command's --help and its Ctrl-C must not wait for: they are
# imported at first use.
_LAZY = {
    "Blocklist": "compiler.blocklist",
    "CompiledModule": "backend",
    "DecodingOptions": "options",
    "LanguageDetection": "types",
    "LiveText": "types",
    "Progress": "types",
    "Segment": "types",
    "SubtitleLayout": "writers",
    "Transcriber": "transcription",
    "Transcription": "types",
    "TranscriptionInfo": "types",
    "VadOptions": "options",
    "Word": "types",
    "compile": "backend",
    "load_model": "transcription",
    "write_transcript": "writers",
}

__all__ = [
    "AudioError",
    "AudioNotFound",
    "AudioTooLong",
    "AudioUnreadable",
    "Blocklist",
    "CallRefused",
    "CheckpointInvalid",
    "CompileError",
    "CompiledModule",
    "DecodingOptions",
    "DeviceError",
    "DeviceUnavailable",
    "EmulationError",
    "FallbackRefused",
    "InvalidSamples",
    "LanguageDetection",
    "LanguageUnsupported",
    "LiveText",
    "ModelError",
    "ModelNotFound",
    "NoAudioStream",
    "OptionError",
    "OutputError",
    "Progress",
    "Segment",
    "StateGone",
    "SubtitleLayout",
    "Transcriber",
    "Transcription",
    "TranscriptionInfo",
    "TtscribeError",
    "VadOptions",
    "VocabularyMismatch",
    "Word",
    "compile",
    "load_model",
    "write_transcript",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
