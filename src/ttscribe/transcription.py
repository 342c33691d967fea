"""Audio in, segments out: windows of 30 s moved by the last timestamp, as OpenAI's sequential algorithm moves them."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy.typing as npt

from ttscribe.alignment import SilenceSkip
from ttscribe.audio import SAMPLE_RATE, heard_chunks, listen
from ttscribe.decoding import (
    Closable,
    Context,
    RepetitionRules,
    Rules,
    Shares,
    TimestampGrammar,
    WindowDecoder,
    likeliest,
    most_rows,
)
from ttscribe.decoding.segments import SECONDS_PER_TIMESTAMP
from ttscribe.devices import open_checkpoint, require_values
from ttscribe.errors import AudioError, DeviceUnavailable, OptionError
from ttscribe.gathering import Gathering, Way
from ttscribe.languages import Languages, check_detection
from ttscribe.live import BufferDecoder, Stream
from ttscribe.options import CHECKPOINTS_OWN, CLOSING, LONGEST, OPENING, DecodingOptions, VadOptions
from ttscribe.parts import WHOLE, part_clip, part_options, require_part
from ttscribe.threads import limit
from ttscribe.types import (
    AudioSource,
    InputFormat,
    LanguageDetection,
    LiveText,
    Progress,
    ProgressCallback,
    Segment,
    SpeechSeconds,
    Task,
    Transcription,
    TranscriptionInfo,
    WindowLength,
)
from ttscribe.vad import SpeechDetector
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.checkpoints.hub import DEFAULT_MODEL
from ttscribe.windows import (
    FRAMES_PER_SECOND,
    Decoded,
    RecordingWindow,
    Walk,
    clipped,
    clips_of,
    consecutive,
    grouped,
    spoken_windows,
    windows_after_pauses,
)

if TYPE_CHECKING:
    from ttscribe.alignment.aligner import Aligner
    from ttscribe.whisper.model import Decoder

logger = logging.getLogger("ttscribe.transcription")


class Transcriber(Closable):
    """A loaded model on a device, which ``close`` or the end of a ``with`` block frees.

    Threads may share it, each with recordings of its own: it holds nothing of a recording. On a device that serves one
    thread at a time (a card, the emulator) they take turns, and windows that wait meanwhile are decoded together.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        precision: str | None = None,
        tuned: str | Path | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.runner = open_checkpoint(device, checkpoint, precision, tuned)
        self._lock: AbstractContextManager[Any] = nullcontext() if self.runner.concurrent else threading.RLock()
        # Threads that may use a runner at once need not wait for each other, nor share a turn.
        self._gathering = Gathering(self._turn, 1 if self.runner.concurrent else self.runner.max_batch)
        self._languages = Languages(checkpoint, self.runner, self._turn)
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
        prepend_punctuations: str = OPENING,
        append_punctuations: str = CLOSING,
        hallucination_silence_threshold: float | None = None,
        sample_rate: int | None = None,
        input_format: InputFormat | None = None,
        max_duration: float = LONGEST,
        progress: ProgressCallback | None = None,
        speech: SpeechSeconds | None = None,
        clip_timestamps: Sequence[float] | None = None,
        part: tuple[int, int] = WHOLE,
        vad_filter: bool | None = None,
        vad_parameters: VadOptions | None = None,
        batch_size: int = 1,
        window: WindowLength = "auto",
        multilingual: bool = False,
        language_detection_segments: int = 1,
        language_detection_threshold: float = 0.5,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> Transcription:
        """Transcribe a recording of any length; unpacks as ``segments, info``.

        Args:
            audio: path of an audio or video file, "-" for standard input, bytes, binary file, or NumPy samples.
            language: Whisper's code or English name, such as "de" or "german"; detected when None.
            task: "transcribe", or "translate" to English; a model that was not trained to is warned of, once.
            timestamps: without them the model is not asked for times: each window is one segment, of 30 s or, where
                Silero VAD listens, up to a pause.
            word_timestamps: find when each word is said, and when a segment's first word begins and its last one ends;
                of a translation these are rough. The text is the same with and without.
            prepend_punctuations: signs that belong to the word that follows them.
            append_punctuations: signs that belong to the word before them.
            hallucination_silence_threshold: seconds of silence around segments of very short, very long or improbable
                words above which these are decoded again without it; needs ``word_timestamps``. None: never.
            sample_rate: of NumPy samples or raw PCM, in Hz.
            input_format: "s16le" or "f32le" where the bytes are raw PCM: mono, without a header.
            max_duration: seconds beyond which a recording is refused, and read no further: 24 h.
            progress: called after each window with the seconds of audio done and in all.
            speech: what a voice activity detector heard; without it the model itself is asked where a text is doubted.
            clip_timestamps: start, end, start, end ... in seconds of what is transcribed, all where None; the last clip
                goes on to the recording's end where it has none. Times in the transcript are the recording's.
            part: which part is transcribed, from 0, and of how many, cut where Silero VAD hears pauses: so several
                workers share a long recording. Parts are about as long as each other; only the first is told a prompt.
            vad_filter: True decodes only what Silero VAD takes for speech; None decodes everything, but starts a window
                where speech begins after 5 s without; False does not listen for speech, as None where
                ``no_speech_threshold`` is None.
            vad_parameters: what counts as speech: ``VadOptions()`` when None.
            batch_size: windows decoded together, cut where Silero VAD hears pauses; 1 moves by the last timestamp.
            window: a window that is not full ends in silence. "auto" encodes that in a quarter of its positions where
                the device can (``cpu`` in int8), but for windows whose text is doubted; "full" never does.
            multilingual: whether the language of each window is detected by itself, for speech in several languages.
            language_detection_segments: windows of 30 s, from the start or the first speech, that are listened to
                until the language of one is above the threshold; where none is, the likeliest over all of them counts.
            language_detection_threshold: probability above which one window is enough, 0 to 1.
            options: how windows are decoded and what is doubted: ``DecodingOptions()`` when None.
            changes: single options by their names, such as ``beam_size=5``, instead of or on top of ``options``.

        Raises:
            AudioError: the recording cannot be used, or ends before the first clip.
            OptionError: an option that this model cannot honour.
            DeviceUnavailable: the transcriber was closed. ModelNotFound: Silero VAD is asked for and not installed.
        """
        self._require_open()
        self._check_task(task)
        if not max_duration > 0:
            raise OptionError(f"max_duration must be above 0 s, not {max_duration!r}")
        chosen_options = (options or DecodingOptions()).changed(**changes)
        if window not in get_args(WindowLength):
            raise OptionError(f"window must be auto or full, not {window!r}")
        self._check_rows(chosen_options)
        self._check_batch(batch_size, chosen_options)
        skip = _skip(hallucination_silence_threshold, word_timestamps=word_timestamps)
        detector = _detector(vad_filter, batch_size, speech, chosen_options)
        if part != WHOLE:
            require_part(part, chosen_options, clip_timestamps, detected=detector is not None)
        rules = self._rules(chosen_options, timestamps)
        check_detection(language_detection_segments, language_detection_threshold)
        code = self._languages.only(language, multilingual=multilingual)
        clips = None if clip_timestamps is None else clips_of(clip_timestamps)
        recording = listen(
            audio,
            self.runner.config.num_mel_bins,
            sample_rate=sample_rate,
            input_format=input_format,
            max_duration=max_duration,
            also=None if detector is None else detector.add,
            transform=self.runner.log_power,
        )
        whole = RecordingWindow(self.runner, recording, speech_seconds=speech)
        windows, own = [whole], None
        if detector is not None:
            heard = detector.finish(vad_parameters or VadOptions())
            own = part_clip(part, heard, recording.seconds) if part != WHOLE else None
            if vad_filter or batch_size > 1:
                windows = spoken_windows(self.runner, recording, heard, cut=batch_size > 1 or not timestamps)
            else:
                windows = windows_after_pauses(self.runner, recording, heard)
        if clips is not None:
            _require_something(clips, recording.seconds)
            windows = clipped(windows, clips)
        windows = [replace(each, whole=window == "full") for each in windows]
        shares: Shares = {}
        if code is None:
            heard_in = consecutive(windows or [whole])
            shares = self._languages.heard(heard_in, language_detection_segments, language_detection_threshold)
            code = likeliest(shares)
        if own is not None:
            # After the language, which is that of the whole recording.
            windows, chosen_options = clipped(windows, [own]), part_options(part, chosen_options)
        info = TranscriptionInfo(
            model=self.checkpoint.name,
            device=self.device,
            precision=self.runner.precision,
            task=task,
            language=code,
            language_probability=shares.get(code, 1.0),
            duration=recording.seconds,
            language_probabilities=shares,
        )
        positions = self.runner.config.max_target_positions
        context = Context(self.checkpoint.tokenizer, chosen_options, task, positions, timestamps=timestamps)
        decoder = WindowDecoder(self.runner, self.checkpoint.tokenizer, rules, chosen_options, timestamps=timestamps)
        aligner = self._aligner(task, prepend_punctuations, append_punctuations) if word_timestamps else None
        of_each = self._languages.detector() if multilingual else None
        way = Way(chosen_options, timestamps, word_timestamps)
        walk = Walk(decoder, context, chosen_options.seed, self._gathering, way, code, of_each, aligner, skip)
        # The first window by itself where it alone is told something.
        prompted = chosen_options.initial_prompt and not chosen_options.carry_initial_prompt
        alone = 1 if prompted or chosen_options.prefix else 0
        decoded = walk.decoded(grouped(windows, self._together(batch_size, chosen_options), alone))
        return Transcription(self._segments(decoded, info.duration, progress), info)

    def stream(
        self,
        chunks: Iterable[bytes | npt.NDArray[Any]],
        *,
        sample_rate: float = SAMPLE_RATE,
        input_format: InputFormat = "s16le",
        language: str | None = None,
        min_chunk: float = 1.0,
        pause: float = 1.0,
        vad_parameters: VadOptions | None = None,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> Iterator[LiveText]:
        """Transcribe sound while it comes: text is committed when two successive decodings agree on it.

        Silero VAD listens; what is silent is not decoded. Memory does not grow with the stream.

        Args:
            chunks: mono PCM bytes or arrays of samples of any length, taken one by one between decodings.
            sample_rate: of the chunks, in Hz.
            input_format: "s16le" or "f32le", of chunks that are bytes.
            language: Whisper's code or English name; detected when None, until one is more probable than 0.5.
            min_chunk: seconds of new sound after which what is not yet committed is decoded again, 0.1 to 10.
            pause: seconds of silence after which all that was said is committed, 0.1 to 10.
            vad_parameters: what counts as speech, of which ``threshold`` is used: ``VadOptions()`` when None.
            options: how it is decoded: when None, ``DecodingOptions(temperature=0.0)``, which tries a text once.
            changes: single options by their names, instead of or on top of ``options``.

        Raises:
            InvalidSamples: a chunk cannot be used. OptionError: an option that this model or a stream cannot honour.
            DeviceUnavailable: the transcriber was closed. ModelNotFound: Silero VAD is not installed.
        """
        self._require_open()
        chosen = (options or DecodingOptions(temperature=0.0)).changed(**changes)
        self._check_rows(chosen)
        if chosen.prefix is not None:
            raise OptionError("prefix is for the start of a recording: a stream takes initial_prompt or hotwords")
        known = self._languages.only(language, multilingual=False)
        decode = BufferDecoder(self.transcribe, chosen, known)
        live = Stream(decode, min_chunk=min_chunk, pause=pause, vad=vad_parameters or VadOptions())
        return live.texts(heard_chunks(chunks, sample_rate=sample_rate, input_format=input_format))

    def detect_language(
        self,
        audio: AudioSource,
        *,
        sample_rate: int | None = None,
        input_format: InputFormat | None = None,
        max_duration: float = LONGEST,
        vad_filter: bool | None = None,
        vad_parameters: VadOptions | None = None,
        language_detection_segments: int = 1,
        language_detection_threshold: float = 0.5,
    ) -> LanguageDetection:
        """Which language is spoken in a recording, as ``transcribe`` finds it, whose options these are.

        Raises what ``transcribe`` does; OptionError for a model that knows one language only.
        """
        self._languages.require_several()
        _, info = self.transcribe(
            audio,
            sample_rate=sample_rate,
            input_format=input_format,
            max_duration=max_duration,
            vad_filter=vad_filter,
            vad_parameters=vad_parameters,
            language_detection_segments=language_detection_segments,
            language_detection_threshold=language_detection_threshold,
        )
        return LanguageDetection(info.language, info.language_probability, info.language_probabilities)

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

    def _check_batch(self, batch_size: int, options: DecodingOptions) -> None:
        if type(batch_size) is not int or batch_size < 1:
            raise OptionError(f"batch_size must be a whole number from 1, not {batch_size!r}")
        if batch_size == 1:
            return
        most = self.runner.max_batch
        if batch_size > most:
            raise OptionError(
                f"{self.device} decodes {most} window{'s' * (most > 1)} at a time: "
                f"batch_size may be at most {most}, not {batch_size}"
            )
        if options.condition_on_previous_text:
            raise OptionError("condition_on_previous_text needs one window after the other: leave batch_size at 1")

    def _together(self, batch_size: int, options: DecodingOptions) -> int:
        """How many windows of a batch are decoded at a time, by what the device has rows for."""
        if options.ladder[0] > 0:
            together, why = 1, "the first temperature is above 0"
        else:
            together, why = self.runner.max_batch // options.beam_size, f"each has {options.beam_size} beams"
        if together < batch_size:
            logger.warning("batch_size %d: windows decoded at a time are %d, for %s", batch_size, together, why)
        return min(batch_size, together)

    def _segments(
        self, windows: Iterator[Decoded], duration: float, progress: ProgressCallback | None
    ) -> Iterator[Segment]:
        count = 0
        for decoded in windows:
            for segment in self._timed(decoded):
                yield replace(segment, id=count)
                count += 1
            if progress is not None:
                done = (decoded.window.seek + decoded.outcome.advance) / FRAMES_PER_SECOND
                progress(Progress(min(done, duration), duration))

    def _timed(self, each: Decoded) -> Iterator[Segment]:
        """Segments with text, whose times are the recording's; they are not numbered yet."""
        window, language, outcome, words = each
        latest = window.recording.seconds
        if window.stop is not None:
            latest = min(latest, window.stop / FRAMES_PER_SECOND)

        def seconds(time: float) -> float:
            # A timestamp may lie in the silence that fills a window up.
            return round(min(window.seek / FRAMES_PER_SECOND + time, latest), 3)

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
                    language=language,
                )

    def _aligner(self, task: Task, opening: str, closing: str) -> Aligner:
        if task == "translate":
            logger.warning("word times of a translation are rough: it says things in another order than the speaker")
        from ttscribe.alignment.aligner import Aligner

        return Aligner(self.checkpoint, task, self._aligning_decoder, opening, closing)

    @cached_property
    def _aligning_decoder(self) -> Decoder:
        from ttscribe.alignment.attention import aligning_decoder

        return aligning_decoder(self.checkpoint.model)

    def _rules(self, options: DecodingOptions, timestamps: bool) -> Rules:
        tokenizer, checkpoint = self.checkpoint.tokenizer, self.checkpoint
        latest = checkpoint.max_initial_timestamp_index
        if options.max_initial_timestamp is not None:
            latest = round(options.max_initial_timestamp / SECONDS_PER_TIMESTAMP)
        grammar = TimestampGrammar.of(tokenizer, latest)
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


def _detector(
    vad_filter: bool | None, batch_size: int, speech: SpeechSeconds | None, options: DecodingOptions
) -> SpeechDetector | None:
    if vad_filter is False and batch_size > 1:
        raise OptionError("batch_size above 1 cuts a recording where Silero VAD hears pauses: leave vad_filter on")
    if vad_filter or batch_size > 1:
        if speech is not None:
            raise OptionError("speech and vad_filter both say where somebody speaks: leave one of them out")
        return SpeechDetector()
    guarded = vad_filter is None and speech is None and options.no_speech_threshold is not None
    return SpeechDetector() if guarded else None


def _skip(threshold: float | None, *, word_timestamps: bool) -> SilenceSkip | None:
    if threshold is None:
        return None
    if not (isinstance(threshold, int | float) and 0 <= threshold < math.inf):
        raise OptionError(f"hallucination_silence_threshold must be 0 or more seconds, not {threshold!r}")
    if not word_timestamps:
        raise OptionError("hallucination_silence_threshold is about words: ask for word_timestamps too")
    return SilenceSkip(threshold)


def _require_something(clips: Sequence[tuple[float, float]], seconds: float) -> None:
    first, _ = clips[0]
    if first >= seconds:
        raise AudioError(f"the recording ends at {seconds:.1f} s, and clip_timestamps begin at {first:g} s")


def load_model(
    name_or_path: str = DEFAULT_MODEL,
    *,
    device: str = "cpu",
    precision: str = "auto",
    threads: int | None = None,
    offline: bool = False,
    tuned: str | Path | None = None,
) -> Transcriber:
    """Load a Whisper model.

    Args:
        name_or_path: a short name such as "tiny.en", a hub id, a directory (Hugging Face or CTranslate2), or a ``.pt``.
        device: "cpu"; "cuda": an NVIDIA GPU; "emulator": the compiled programs with a Tenstorrent card's rounding;
            "ttnn": a Tenstorrent card (or the simulator that TT_METAL_SIMULATOR names); "ttnn:n150": and it must be
            that board.
        precision: what is computed in: "float32", "bfloat16" or "int8" on the CPU, "float32", "bfloat16" or "float16"
            on a GPU; the policy of compiled programs, such as "bf16-hifi3" or "exact". "auto" is the fastest that this
            CPU or GPU is made for, and the default policy.
        threads: CPU threads for the whole process; one for each core when None.
        offline: never ask the network.
        tuned: a file that ``ttscribe tune`` wrote for the card's board: which cores have which part of a product.

    Raises:
        ModelError: not found, damaged, or not Whisper. OptionError, DeviceUnavailable: an impossible argument.
    """
    require_values(device)
    if threads is not None:
        limit(threads)
    return Transcriber(load_checkpoint(name_or_path, dtype=None, offline=offline), device, precision, tuned)
