"""``ttscribe serve``: an HTTP server that clients of OpenAI's transcription API can use."""

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli import _model as loading
from ttscribe.cli._terminal import note
from ttscribe.errors import OptionError, with_extra
from ttscribe.threads import limit

if TYPE_CHECKING:
    from ttscribe.server.keys import Keys

KEYS_VARIABLE = "TTSCRIBE_API_KEYS"


def serve(
    model: loading.Model = None,
    device: loading.Device = "cpu",
    precision: loading.Precision = "auto",
    threads: loading.Threads = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 takes one that is free.")] = 8000,
    api_keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Keys that clients must send, or sha256: and their digests, a line each. "
            f"{KEYS_VARIABLE} may have keys too, with commas between.",
        ),
    ] = None,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Answer everybody on an address that others can reach.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Recordings transcribed at once.")] = 4,
    waiting: Annotated[int, typer.Option(min=0, metavar="N", help="Requests that may wait; more get status 429.")] = 64,
    max_upload: Annotated[int, typer.Option(min=1, metavar="MIB", help="Largest request, in MiB.")] = 512,
    max_duration: Annotated[float, typer.Option(min=1, metavar="S", help="Longest recording, in seconds.")] = 14_400.0,
    request_seconds: Annotated[
        float, typer.Option(min=1, metavar="S", help="Seconds after which a request is given up.")
    ] = 3600.0,
    models: Annotated[int, typer.Option(min=1, metavar="N", help="Models loaded at once.")] = 2,
) -> None:
    """Serve OpenAI's transcription API over HTTP.

    Clients ask for models on this machine by name, or for whisper-1, which is --model. Nothing is downloaded while it
    serves. Ctrl-C and SIGTERM end it when the requests that it has are answered.
    """
    try:
        from ttscribe.server import Limits, ServerSettings, create_app
        from ttscribe.server.run import serve as listen
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "multipart", "prometheus_client", "uvicorn"):
            raise
        raise OptionError(f"a server needs FastAPI and uvicorn: {with_extra('server')}") from None
    keys = _keys(api_keys)
    if keys is None and not without_key and not _is_loopback(host):
        raise OptionError(
            f"{host} can be reached by others: give --api-keys FILE, or --without-key if everybody may use it"
        )
    if threads is not None:
        limit(threads)
    name = loading.named(model, language=None, task="transcribe", offline=True, quiet=False)
    limits = Limits(workers, waiting, max_upload << 20, max_duration, request_seconds, models=models)
    settings = ServerSettings(name, device, precision, keys, limits)

    def started(address: str) -> None:
        header = "" if keys is None else ' -H "Authorization: Bearer $KEY"'
        note(f"listening on {address}; try:", quiet=False)
        note(f"curl {address}/v1/audio/transcriptions{header} -F model=whisper-1 -F file=@RECORDING", quiet=False)

    listen(create_app(settings), host, port, started)


def _keys(path: Path | None) -> "Keys | None":
    given = [key for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    if path is None and not given:
        return None
    from ttscribe.server.keys import Keys

    return Keys([*given, *([] if path is None else Keys.lines(path))])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
