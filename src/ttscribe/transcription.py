"""Audio in, segments out: windows of 30 s moved by the last timestamp, as OpenAI's sequential algorithm moves them."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from torch import Tensor

from ttscribe.alignment import Aligner
from ttscribe.audio import HOP, SAMPLE_RATE, load_audio, log_mel, window
from ttscribe.decoding import (
    Closable,
    Context,
    Outcome,
    RepetitionRules,
    Rules,
    Runner,
    TimestampGrammar,
    WindowDecoder,
    detect_language,
    most_rows,
)
from ttscribe.decoding.segments import SECONDS_PER_TIMESTAMP
from ttscribe.devices import make_runner, require_values
from ttscribe.errors import DeviceUnavailable, LanguageUnsupported, OptionError, StateGone
from ttscribe.options import CHECKPOINTS_OWN, DecodingOptions
from ttscribe.types import (
    AudioSource,
    Progress,
    ProgressCallback,
    Segment,
    SpeechSeconds,
    Task,
    Transcription,
    TranscriptionInfo,
    Word,
)
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


@dataclass(slots=True)
class _Window:
    """A window of a recording from frame ``seek`` on, encoded once for as long as the device keeps it."""

    runner: Runner
    recording: _Recording
    seek: int
    speech_seconds: SpeechSeconds | None
    encoded: Any = None

    @property
    def frames(self) -> int:
        return min(self.runner.config.mel_frames, self.recording.frames - self.seek)

    def start(self, first: int = 0, last: int | None = None) -> Any:
        if (first, last) != (0, None):
            return self.runner.start(self._encode(first, last))
        return self._from_encoded(self.runner.start)

    def encoder_states(self) -> Tensor:
        """Its encoder states on the host: float32 [S, D]."""
        states: Tensor = self._from_encoded(self.runner.encoder_states)[0]
        return states

    def mel(self, frames: int) -> Tensor:
        """Its log-mel [bins, frames], as far as it is audio."""
        return self.recording.mel[:, self.seek : self.seek + min(self.frames, frames)]

    def speech(self, start: float, end: float) -> float | None:
        offset = self.seek / FRAMES_PER_SECOND
        return None if self.speech_seconds is None else self.speech_seconds(offset + start, offset + end)

    def _from_encoded(self, use: Callable[[Any], Any]) -> Any:
        if self.encoded is not None:
            try:
                return use(self.encoded)
            except StateGone:
                pass  # another window, or a part of this one, took their place: they are made again
        self.encoded = self._encode()
        return use(self.encoded)

    def _encode(self, first: int = 0, last: int | None = None) -> Any:
        stop = None if last is None else self.seek + last
        return self.runner.encode(window(self.recording.mel[:, :stop], self.seek + first)[None])


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
        word_timestamps: bool = False,
        sample_rate: int | None = None,
        progress: ProgressCallback | None = None,
        speech: SpeechSeconds | None = None,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> Transcription:
        """Transcribe a recording of any length; unpacks as ``segments, info``.

        Args:
            audio: path of an audio or video file, "-" for standard input, bytes, binary file, or NumPy samples.
            language: Whisper's code or English name, such as "de" or "german"; detected on the first 30 s when None.
            task: "transcribe", or "translate" to English; a model that was not trained to is warned of, once.
            timestamps: without them the model is not asked for times: each 30 s window is one segment.
            word_timestamps: find when each word is said, and when a segment's first word begins and its last one ends;
                of a translation these are rough. The text is the same with and without.
            sample_rate: of NumPy samples, in Hz.
            progress: called after each window with the seconds of audio done and in all.
            speech: what a voice activity detector heard; without it the model itself is asked where a text is doubted.
            options: how windows are decoded and what is doubted: ``DecodingOptions()`` when None.
            changes: single options by their names, such as ``beam_size=5``, instead of or on top of ``options``.

        Raises:
            AudioError: the recording cannot be used. OptionError: an option that this model cannot honour.
            DeviceUnavailable: the transcriber was closed.
        """
        self._require_open()
        self._check_task(task)
        chosen_options = (options or DecodingOptions()).changed(**changes)
        self._check_rows(chosen_options)
        rules = self._rules(chosen_options, timestamps)
        code = None if language is None else self._known_language(language)
        recording = self._listen(audio, sample_rate)
        chosen, probability, encoded = self._language(code, recording)
        info = TranscriptionInfo(
            model=self.checkpoint.name,
            device=self.device,
            dtype=str(self.checkpoint.model.dtype).removeprefix("torch."),
            task=task,
            language=chosen,
            language_probability=probability,
            duration=recording.seconds,
        )
        context = self._context(chosen_options, info, timestamps)
        decoder = WindowDecoder(self.runner, self.checkpoint.tokenizer, rules, chosen_options, timestamps=timestamps)
        aligner = self._aligner(info) if word_timestamps else None
        first = _Window(self.runner, recording, 0, speech, encoded)
        return Transcription(self._segments(first, decoder, context, aligner, chosen_options.seed, progress), info)

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

    def _check_rows(self, options: DecodingOptions) -> None:
        most = most_rows(self.runner)
        if options.beam_size > most:
            raise OptionError(
                f"{self.device} decodes {most} text{'s' * (most > 1)} of a window at a time: "
                f"beam_size may be at most {most}, not {options.beam_size}"
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

    def _language(self, given: str | None, recording: _Recording) -> tuple[str, float, Any]:
        """Language and its probability, and the first window's encoder states where it was listened to."""
        if given is not None or len(self.checkpoint.languages) == 1:
            return given or self.checkpoint.languages[0], 1.0, None
        tokenizer = self.checkpoint.tokenizer
        candidates = [tokenizer.language_token(code) for code in self.checkpoint.languages]
        with self._turn():
            encoded = self.runner.encode(window(recording.mel, 0)[None])
            token, probability = detect_language(self.runner, encoded, tokenizer.sot, candidates)
        return tokenizer.language_of(token), probability, encoded

    def _segments(
        self,
        current: _Window,
        decoder: WindowDecoder,
        context: Context,
        aligner: Aligner | None,
        seed: int,
        progress: ProgressCallback | None,
    ) -> Iterator[Segment]:
        recording, count = current.recording, 0
        while current.seek < recording.frames:
            with self._turn():
                outcome = decoder.decode(current, context.prompt(), seed + current.seek)
                states = current.encoder_states() if aligner is not None and outcome.segments else None
            context.add(outcome)
            words: Sequence[tuple[Word, ...]] = [()] * len(outcome.segments)
            if aligner is not None and states is not None:
                words = aligner.words(outcome.segments, states, current.mel(outcome.advance))
            for segment in self._timed(outcome, words, current.seek, recording.seconds):
                yield replace(segment, id=count)
                count += 1
            current = replace(current, seek=current.seek + outcome.advance, encoded=None)
            if progress is not None:
                progress(Progress(min(current.seek / FRAMES_PER_SECOND, recording.seconds), recording.seconds))

    def _timed(
        self, outcome: Outcome, words: Sequence[tuple[Word, ...]], seek: int, duration: float
    ) -> Iterator[Segment]:
        """Segments with text, whose times are the recording's; they are not numbered yet."""

        def seconds(time: float) -> float:
            # A timestamp may lie in the silence that fills the last window up.
            return round(min(seek / FRAMES_PER_SECOND + time, duration), 3)

        decoded = outcome.decoded
        for part, own in zip(outcome.segments, words, strict=True):
            # A segment's text begins with a space: GPT-2's tokens carry the one before a word.
            text = self.checkpoint.tokenizer.decode(part.tokens).strip()
            if text:
                timed = tuple(replace(word, start=seconds(word.start), end=seconds(word.end)) for word in own)
                yield Segment(
                    id=0,
                    start=timed[0].start if timed else seconds(part.start),
                    end=timed[-1].end if timed else seconds(part.end),
                    text=text,
                    tokens=part.tokens,
                    avg_logprob=decoded.avg_logprob,
                    no_speech_prob=decoded.no_speech_prob,
                    temperature=decoded.temperature,
                    compression_ratio=decoded.compression_ratio,
                    words=timed,
                )

    def _aligner(self, info: TranscriptionInfo) -> Aligner:
        if info.task == "translate":
            logger.warning("word times of a translation are rough: it says things in another order than the speaker")
        start = self.checkpoint.tokenizer.prompt(info.language, info.task, timestamps=False)
        return Aligner(self.checkpoint, start, info.language)

    def _context(self, options: DecodingOptions, info: TranscriptionInfo, timestamps: bool) -> Context:
        tokenizer = self.checkpoint.tokenizer
        start = tokenizer.prompt(info.language, info.task, timestamps=timestamps)
        return Context(tokenizer, options, start, self.runner.config.max_target_positions, timestamps=timestamps)

    def _rules(self, options: DecodingOptions, timestamps: bool) -> Rules:
        tokenizer, checkpoint = self.checkpoint.tokenizer, self.checkpoint
        latest = checkpoint.max_initial_timestamp_index
        if options.max_initial_timestamp is not None:
            latest = round(options.max_initial_timestamp / SECONDS_PER_TIMESTAMP)
        grammar = TimestampGrammar(tokenizer.timestamp_begin, tokenizer.eot, tokenizer.no_timestamps, latest)
        repetition = RepetitionRules(options.repetition_penalty, options.no_repeat_ngram_size, tokenizer.eot)
        return Rules.of(
            self._suppressed(options.suppress_tokens),
            checkpoint.begin_suppress_tokens,
            grammar if timestamps else None,
            repetition if repetition.asks_anything else None,
        )

    def _suppressed(self, asked: Sequence[int]) -> tuple[int, ...]:
        if [*asked] == [CHECKPOINTS_OWN]:
            return self.checkpoint.suppress_tokens
        vocabulary = self.checkpoint.tokenizer.vocab_size
        if beyond := [token for token in asked if token >= vocabulary]:
            raise OptionError(f"suppress_tokens has {beyond[0]}, and {self.checkpoint.name} has {vocabulary} tokens")
        own = self.checkpoint.suppress_tokens if CHECKPOINTS_OWN in asked else ()
        prompts_only = self.checkpoint.tokenizer.prompt_only_tokens()
        return tuple(sorted({*own, *prompts_only, *asked} - {CHECKPOINTS_OWN}))


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
