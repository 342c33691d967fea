"""``ttscribe transcribe``: recordings to text, on standard output or in files."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from ttscribe.cli import _config as configuration
from ttscribe.cli import _decoding as decoding
from ttscribe.cli import _model as loading
from ttscribe.cli import _words as words
from ttscribe.cli._ahead import begun, cores_are_free
from ttscribe.cli._jobs import Job, plan
from ttscribe.cli._terminal import ProgressBar, complain, note, write_out
from ttscribe.errors import AudioError, OutputError
from ttscribe.options import CLOSING, LONGEST, OPENING, DecodingOptions, VadOptions
from ttscribe.writers import FormatName, SubtitleLayout, format_writer, write_transcript

if TYPE_CHECKING:
    from ttscribe.types import Transcription, TranscriptionInfo

    Begin: TypeAlias = Callable[[], Transcription]


@dataclass(frozen=True, slots=True)
class Options:
    """``arguments`` are those of ``Transcriber.transcribe``."""

    format_name: FormatName
    layout: SubtitleLayout | None
    arguments: dict[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """What the command's options, by their names, come to. Raises OptionError where they do not go together."""
        own = {name: given[name] for name in _ARGUMENTS}
        own["clip_timestamps"] = decoding.seconds(given["clip_timestamps"])
        own["vad_filter"] = given["vad"]
        own["vad_parameters"] = VadOptions(
            threshold=given["vad_threshold"], min_silence_duration_ms=given["vad_min_silence_duration_ms"]
        )
        own["options"] = DecodingOptions(
            temperature=decoding.ladder(given["temperature"], given["temperature_increment_on_fallback"]),
            log_prob_threshold=given["logprob_threshold"],
            suppress_tokens=decoding.token_ids(given["suppress_tokens"]),
            **{name: given[name] for name in _DECODING},
        )
        layout = words.layout(
            given["format_name"],
            word_timestamps=given["word_timestamps"],
            **{name: given[name] for name in _LAYOUT},
        )
        return cls(given["format_name"], layout, own)


_ARGUMENTS = (
    *("language", "task", "input_format", "sample_rate", "max_duration", "batch_size", "window", "multilingual"),
    *("language_detection_segments", "language_detection_threshold", "word_timestamps"),
    *("prepend_punctuations", "append_punctuations", "hallucination_silence_threshold"),
)
_DECODING = (
    *("compression_ratio_threshold", "no_speech_threshold", "beam_size", "patience", "best_of", "length_penalty"),
    *("repetition_penalty", "no_repeat_ngram_size", "max_initial_timestamp", "initial_prompt", "hotwords", "prefix"),
    *("carry_initial_prompt", "condition_on_previous_text", "seed"),
)
_LAYOUT = ("highlight_words", "max_line_width", "max_line_count", "max_words_per_line")


def transcribe(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Audio or video files; - is standard input.")],
    model: loading.Model = None,
    language: loading.Language = None,
    task: Annotated[
        Literal["transcribe", "translate"], typer.Option(help="Write what is said, or translate it to English.")
    ] = "transcribe",
    format_name: Annotated[
        FormatName, typer.Option("--format", "--output-format", "-f", help="Format of the transcript.")
    ] = "txt",
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            help="Write DIR/NAME.FORMAT for each file; with folders where names are alike.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Pass over files whose transcript is in --output-dir already.")
    ] = False,
    device: loading.Device = "cpu",
    precision: loading.Precision = "auto",
    threads: loading.Threads = None,
    tuned: loading.Tuned = None,
    input_format: Annotated[
        Literal["s16le", "f32le"] | None,
        typer.Option(help="The files are raw mono PCM of this type, without a header; needs --sample-rate."),
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(metavar="HZ", help="Of raw PCM.")] = None,
    max_duration: Annotated[
        float, typer.Option(metavar="S", help="Refuse what is longer, in seconds, such as a stream without an end.")
    ] = LONGEST,
    offline: Annotated[
        bool, typer.Option("--offline/--no-offline", help="Use only models that are on this machine.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet/--no-quiet", help="Say nothing on standard error but errors.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=configuration.use,
            is_eager=True,
            help="TOML file with defaults of these options; else $TTSCRIBE_CONFIG, or the user's ttscribe.toml.",
        ),
    ] = None,
    clip_timestamps: decoding.ClipTimestamps = None,
    vad: decoding.Vad = None,
    vad_threshold: decoding.VadThreshold = decoding.SPEECH.threshold,
    vad_min_silence_duration_ms: decoding.VadMinSilence = decoding.SPEECH.min_silence_duration_ms,
    batch_size: decoding.BatchSize = 1,
    window: decoding.Window = "auto",
    multilingual: decoding.Multilingual = False,
    language_detection_segments: decoding.DetectionSegments = 1,
    language_detection_threshold: decoding.DetectionThreshold = 0.5,
    word_timestamps: words.WordTimestamps = False,
    highlight_words: words.HighlightWords = False,
    max_line_width: words.MaxLineWidth = None,
    max_line_count: words.MaxLineCount = None,
    max_words_per_line: words.MaxWordsPerLine = None,
    prepend_punctuations: words.Prepend = OPENING,
    append_punctuations: words.Append = CLOSING,
    hallucination_silence_threshold: words.HallucinationSilence = None,
    temperature: decoding.Temperature = decoding.DEFAULT.ladder[0],
    temperature_increment_on_fallback: decoding.Increment = decoding.INCREMENT,
    compression_ratio_threshold: decoding.CompressionRatio = decoding.DEFAULT.compression_ratio_threshold,
    logprob_threshold: decoding.LogProb = decoding.DEFAULT.log_prob_threshold,
    no_speech_threshold: decoding.NoSpeech = decoding.DEFAULT.no_speech_threshold,
    beam_size: decoding.BeamSize = decoding.DEFAULT.beam_size,
    patience: decoding.Patience = decoding.DEFAULT.patience,
    best_of: decoding.BestOf = decoding.DEFAULT.best_of,
    length_penalty: decoding.LengthPenalty = decoding.DEFAULT.length_penalty,
    repetition_penalty: decoding.RepetitionPenalty = decoding.DEFAULT.repetition_penalty,
    no_repeat_ngram_size: decoding.NoRepeatNgramSize = decoding.DEFAULT.no_repeat_ngram_size,
    suppress_tokens: decoding.SuppressTokens = decoding.SUPPRESSED,
    max_initial_timestamp: decoding.MaxInitialTimestamp = decoding.DEFAULT.max_initial_timestamp,
    initial_prompt: decoding.InitialPrompt = decoding.DEFAULT.initial_prompt,
    carry_initial_prompt: decoding.CarryInitialPrompt = decoding.DEFAULT.carry_initial_prompt,
    hotwords: decoding.Hotwords = decoding.DEFAULT.hotwords,
    prefix: decoding.Prefix = decoding.DEFAULT.prefix,
    condition_on_previous_text: decoding.Condition = decoding.DEFAULT.condition_on_previous_text,
    seed: decoding.Seed = decoding.DEFAULT.seed,
) -> None:
    """Write recordings as text or subtitles.

    The transcript goes to standard output as it comes, or with --output-dir to one file per recording, which appears
    only when it is complete. A file that cannot be used is reported and the others are done; the exit status is then 1.
    """
    options = Options.of(locals())
    jobs, passed_over = plan(files, format_name, output_dir, resume=resume)
    if passed_over:
        note(f"{output_dir}: passed over {passed_over} of {passed_over + len(jobs)}, done already", quiet=quiet)
    if not jobs:
        return
    transcriber = loading.load(
        model,
        language=language,
        task=task,
        device=device,
        precision=precision,
        threads=threads,
        tuned=tuned,
        offline=offline,
        quiet=quiet,
    )
    bars = [ProgressBar(job.name, quiet=quiet) for job in jobs]

    def begin(at: int) -> "Transcription":
        return transcriber.transcribe(jobs[at].source, progress=bars[at].update, **options.arguments)

    begins = begun(range(len(jobs)), begin, ahead=cores_are_free(device))
    named = len(jobs) > 1
    succeeded = [_attempt(*each, options, named=named, quiet=quiet) for each in zip(jobs, begins, bars, strict=True)]
    if not all(succeeded):
        raise typer.Exit(1)


def _attempt(job: Job, begin: "Begin", bar: ProgressBar, options: Options, *, named: bool, quiet: bool) -> bool:
    """Do one file and say whether it could be done; what keeps the others from being done too is raised."""
    if named:
        note(f"==> {job.name} <==", quiet=quiet)
    began = time.perf_counter()
    try:
        info = _run(job, begin, bar, options)
    except (AudioError, OutputError) as error:
        if isinstance(error, OutputError) and job.output is None:
            raise
        complain(error)
        return False
    note(_summary(info, time.perf_counter() - began, job.output), quiet=quiet)
    return True


def _run(job: Job, begin: "Begin", bar: ProgressBar, options: Options) -> "TranscriptionInfo":
    with bar.shown():
        segments, info = begin()
        if job.output is not None:
            write_transcript(job.output, options.format_name, segments, info, options.layout)
            return info
        for piece in format_writer(options.format_name, options.layout)(segments, info):
            with bar.hidden():
                write_out(piece)
    return info


def _summary(info: "TranscriptionInfo", elapsed: float, output: Path | None) -> str:
    written = "" if output is None else f"{output}: "
    how = f"model {info.model}, {info.device}, {info.precision}"
    if _is_simulated(info.device):
        return f"{written}{info.duration:.1f} s of audio, {how}; simulated: no time is told"
    speed = f"{info.duration:.1f} s of audio in {elapsed:.1f} s ({info.duration / elapsed:.1f} x real time)"
    return f"{written}{speed}, {how}"


def _is_simulated(device: str) -> bool:
    from ttscribe.devices.provenance import Provenance, provenance

    return provenance(device) is Provenance.SIMULATED
