"""Audio in, segments out: windows of 30 s moved by the last timestamp, as OpenAI's sequential algorithm moves them.

Of that algorithm this has the windows and the rules of what may come next. It has no second try at another temperature,
no check for silence or repetition, and gives a window no earlier text.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from ttscribe.audio import HOP, SAMPLE_RATE, load_audio, log_mel, window
from ttscribe.decoding import (
    Closable,
    DecodedWindow,
    Prompt,
    Rules,
    TimedTokens,
    TimestampGrammar,
    decode_greedily,
    detect_language,
    split_window,
)
from ttscribe.devices import make_runner, require_values
from ttscribe.errors import DeviceUnavailable, LanguageUnsupported, OptionError, StateGone
from ttscribe.types import AudioSource, Progress, ProgressCallback, Segment, Task, Transcription, TranscriptionInfo
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.checkpoints.hub import DEFAULT_MODEL
from ttscribe.whisper.languages import LANGUAGES, language_code

logger = logging.getLogger("ttscribe.transcription")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FRAMES_PER_SECOND = SAMPLE_RATE // HOP


@dataclass(frozen=True, slots=True)
class _Recording:
    """Log-mel [bins, at least one window] and how many of its frames are audio, of which the rest is padding."""

    mel: Tensor
    frames: int
    seconds: float


class Transcriber(Closable):
    """A loaded model on a device, which ``close`` or the end of a ``with`` block frees.

    Threads may share it, each with recordings of its own: it holds nothing of a recording. On a device that serves one
    thread at a time (all but ``cpu``) they take turns, window by window.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", precision: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.runner = make_runner(device, checkpoint.model, precision, checkpoint.suppress_tokens)
        self._lock: AbstractContextManager[Any] = nullcontext() if self.runner.concurrent else threading.RLock()
        self._closed = False
        self._warned = False

    def close(self) -> None:
        """Free what the device holds, after the window that is being decoded; closing twice is harmless.

        From then on ``transcribe``, and reading on in what it gave before, raise DeviceUnavailable.
        """
        with self._lock:
            self._closed = True
            self.runner.close()

    def _require_open(self) -> None:
        if self._closed:
            raise DeviceUnavailable(f"the Transcriber of {self.checkpoint.name} was closed: load the model again")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The device, for one window."""
        with self._lock:
            self._require_open()
            yield

    def transcribe(
        self,
        audio: AudioSource,
        *,
        language: str | None = None,
        task: Task = "transcribe",
        timestamps: bool = True,
        sample_rate: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Transcription:
        """Transcribe a recording of any length; unpacks as ``segments, info``.

        Args:
            audio: path of an audio or video file, "-" for standard input, bytes, binary file, or NumPy samples.
            language: Whisper's code or English name, such as "de" or "german"; detected on the first 30 s when None.
            task: "transcribe", or "translate" to English; a model that was not trained to is warned of, once.
            timestamps: without them the model is not asked for times: each 30 s window is one segment.
            sample_rate: of NumPy samples, in Hz.
            progress: called after each window with the seconds of audio done and in all.

        Raises:
            AudioError: the recording cannot be used. OptionError: an option that this model cannot honour.
            DeviceUnavailable: the transcriber was closed.
        """
        self._require_open()
        self._check_task(task)
        code = None if language is None else self._known_language(language)
        recording = self._listen(audio, sample_rate)
        chosen, probability, first = self._language(code, recording)
        info = TranscriptionInfo(
            model=self.checkpoint.name,
            device=self.device,
            dtype=str(self.checkpoint.model.dtype).removeprefix("torch."),
            task=task,
            language=chosen,
            language_probability=probability,
            duration=recording.seconds,
        )
        return Transcription(self._segments(recording, first, info, timestamps, progress), info)

    def _check_task(self, task: str) -> None:
        if task not in get_args(Task):
            raise OptionError(f"task must be transcribe or translate, not {task!r}")
        if task == "translate" and self.checkpoint.languages == ("en",):
            raise OptionError(
                f"{self.checkpoint.name} knows English only and cannot translate; use a multilingual model"
            )
        if task == "translate" and not self.checkpoint.translates and not self._warned:
            self._warned = True
            logger.warning(
                "%s was not trained to translate and may leave the text in its own language; use medium or large-v3",
                self.checkpoint.name,
            )

    def _known_language(self, language: str) -> str:
        code = language_code(language)
        if code not in self.checkpoint.languages:
            knows = "English only" if self.checkpoint.languages == ("en",) else "other languages"
            raise LanguageUnsupported(
                f"{self.checkpoint.name} knows {knows}, not {LANGUAGES[code].title()}; "
                "use a multilingual model such as large-v3-turbo, or base"
            )
        return code

    def _listen(self, audio: AudioSource, sample_rate: int | None) -> _Recording:
        samples = load_audio(audio, sample_rate=sample_rate)
        mel = log_mel(samples, self.runner.config.num_mel_bins)
        # Less than 10 ms is no frame, but a recording has at least one window.
        frames = max(1, len(samples) // HOP)
        return _Recording(mel, frames, len(samples) / SAMPLE_RATE)

    def _encode(self, recording: _Recording, seek: int) -> Any:
        return self.runner.encode(window(recording.mel, seek)[None])

    def _language(self, given: str | None, recording: _Recording) -> tuple[str, float, Any]:
        """Language and its probability, and the first window's encoder states where it was listened to."""
        if given is not None or len(self.checkpoint.languages) == 1:
            return given or self.checkpoint.languages[0], 1.0, None
        tokenizer = self.checkpoint.tokenizer
        candidates = [tokenizer.language_token(code) for code in self.checkpoint.languages]
        with self._turn():
            encoded = self._encode(recording, 0)
            token, probability = detect_language(self.runner, encoded, tokenizer.sot, candidates)
        return tokenizer.language_of(token), probability, encoded

    def _segments(
        self,
        recording: _Recording,
        encoded: Any,
        info: TranscriptionInfo,
        timestamps: bool,
        progress: ProgressCallback | None,
    ) -> Iterator[Segment]:
        prompt, rules = self._prompt(info, timestamps), self._rules(timestamps)
        seek, count = 0, 0
        while seek < recording.frames:
            with self._turn():
                (decoded,) = decode_greedily(self.runner, self._start(recording, seek, encoded), prompt, rules)
            encoded = None
            frames = min(self.runner.config.mel_frames, recording.frames - seek)
            parts, advance = split_window(decoded.tokens, self.checkpoint.tokenizer.timestamp_begin, frames)
            for segment in self._timed(parts, decoded, seek, recording.seconds):
                yield Segment(count, *segment)
                count += 1
            seek += advance
            if progress is not None:
                progress(Progress(min(seek / FRAMES_PER_SECOND, recording.seconds), recording.seconds))

    def _start(self, recording: _Recording, seek: int, encoded: Any) -> Any:
        """A decoder state for the window at ``seek``, whose encoder states may have been made before."""
        if encoded is not None:
            try:
                return self.runner.start(encoded)
            except StateGone:
                pass  # another thread's window took their place: they are made again
        return self.runner.start(self._encode(recording, seek))

    def _timed(
        self, parts: list[TimedTokens], decoded: DecodedWindow, seek: int, duration: float
    ) -> Iterator[tuple[float, float, str, tuple[int, ...], float, float]]:
        offset = seek / FRAMES_PER_SECOND
        for part in parts:
            # A segment's text begins with a space: GPT-2's tokens carry the one before a word.
            text = self.checkpoint.tokenizer.decode(part.tokens).strip()
            if text:
                # A timestamp may lie in the silence that fills the last window up.
                start, end = (round(min(offset + time, duration), 3) for time in (part.start, part.end))
                yield start, end, text, part.tokens, decoded.avg_logprob, decoded.no_speech_prob

    def _prompt(self, info: TranscriptionInfo, timestamps: bool) -> Prompt:
        tokenizer = self.checkpoint.tokenizer
        tokens = tokenizer.prompt(info.language, info.task, timestamps=timestamps)
        return Prompt(tokens, tokens.index(tokenizer.sot), tokenizer.eot, tokenizer.no_speech)

    def _rules(self, timestamps: bool) -> Rules:
        tokenizer, checkpoint = self.checkpoint.tokenizer, self.checkpoint
        grammar = TimestampGrammar(
            tokenizer.timestamp_begin, tokenizer.eot, tokenizer.no_timestamps, checkpoint.max_initial_timestamp_index
        )
        return Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, grammar if timestamps else None)


def load_model(
    name_or_path: str = DEFAULT_MODEL,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    precision: str | None = None,
    threads: int | None = None,
    offline: bool = False,
) -> Transcriber:
    """Load a Whisper model.

    Args:
        name_or_path: a short name such as "tiny.en", a hub id, a directory (Hugging Face or CTranslate2), or a ``.pt``.
        device: "cpu"; "emulator": the compiled programs with a Tenstorrent card's rounding; "ttnn": a Tenstorrent card
            (or the simulator that TT_METAL_SIMULATOR names); "ttnn:n150": and it must be that board.
        dtype: "float32", "bfloat16" or "float16": of the weights, and of the arithmetic on the CPU.
        precision: policy of compiled programs, such as "bf16-hifi3" or "exact".
        threads: CPU threads for the whole process; PyTorch's own choice when None.
        offline: never ask the network.

    Raises:
        ModelError: not found, damaged, or not Whisper. OptionError, DeviceUnavailable: an impossible argument.
    """
    require_values(device)
    if dtype not in DTYPES:
        raise OptionError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if threads is not None:
        if threads < 1:
            raise OptionError(f"threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    return Transcriber(load_checkpoint(name_or_path, dtype=DTYPES[dtype], offline=offline), device, precision)
