"""``ttscribe listen``: text while somebody speaks, from a microphone or raw PCM on standard input."""

import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Literal

import typer

from ttscribe.cli import _model as loading
from ttscribe.cli._stopping import first_interrupt
from ttscribe.cli._terminal import note, write_out
from ttscribe.errors import AudioUnreadable, OptionError

SAMPLE_BYTES = {"s16le": 2, "f32le": 4}


def listen(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[-]", help="- is raw mono PCM on standard input; without it, the microphone."),
    ] = None,
    model: loading.Model = None,
    language: loading.Language = None,
    input_format: Annotated[Literal["s16le", "f32le"], typer.Option(help="Type of the PCM.")] = "s16le",
    sample_rate: Annotated[int, typer.Option(metavar="HZ", help="Of the PCM.")] = 16_000,
    min_chunk: Annotated[
        float, typer.Option(metavar="S", help="Seconds of new sound after which it is decoded again.")
    ] = 1.0,
    device: loading.Device = "cpu",
    precision: loading.Precision = "auto",
    threads: loading.Threads = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing on standard error but errors.")] = False,
) -> None:
    """Write what is said while it is said.

    Text that will not change goes to standard output, a line at a time; what may still change is shown on a terminal
    only. It ends with the input or with Ctrl-C, after the rest of what was said. Silence costs nothing.
    """
    if source not in (None, "-"):
        raise OptionError(f"listen takes - for standard input, or nothing: for a file, ttscribe transcribe {source}")
    if sample_rate < 1:
        raise OptionError(f"--sample-rate must be above 0 Hz, not {sample_rate}")
    from ttscribe.live import Arrivals

    transcriber = loading.load(
        model,
        language=language,
        device=device,
        precision=precision,
        threads=threads,
        offline=offline,
        quiet=quiet,
    )
    with _opened(source, sample_rate, input_format) as read:
        arrivals = Arrivals(read, sample_rate * SAMPLE_BYTES[input_format])
        texts = transcriber.stream(
            arrivals, sample_rate=sample_rate, input_format=input_format, language=language, min_chunk=min_chunk
        )
        if source is None:
            note("listening; Ctrl-C ends", quiet=quiet)
        pending = _Pending(quiet=quiet)
        with first_interrupt(arrivals.end):
            for text in texts:
                pending.clear()
                if text.committed:
                    write_out(f"{text.text.strip()}\n")
                else:
                    pending.show(text.text.strip())


def _opened(
    source: str | None, sample_rate: int, input_format: Literal["s16le", "f32le"]
) -> AbstractContextManager[Callable[[int], bytes]]:
    if source is None:
        from ttscribe.cli._microphone import microphone

        return microphone(sample_rate, input_format)
    # Python sets it to None where the caller closed it.
    if sys.stdin is None:
        raise AudioUnreadable("standard input: closed; pipe raw PCM into it")
    # Without a buffer: its lock, held while it waits, would keep the process from ending.
    return nullcontext(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer).read)


class _Pending:
    """A line on the terminal for text that may still change, its end where it is long."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()

    def show(self, text: str) -> None:
        if self._shown:
            width = max(1, shutil.get_terminal_size().columns - 1)
            sys.stderr.write(text[-width:])
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
