"""Listening on an address until a signal comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from ttscribe.errors import OptionError
from ttscribe.server.log import write_log

BACKLOG_SECONDS = 60
"""After SIGTERM or Ctrl-C, for requests that are being served; a second signal ends at once."""

MESSAGE = 1 << 20
"""Bytes of a WebSocket's message: ten seconds of sound in base64."""


class Server(uvicorn.Server):
    """Ends in order at the first signal, and so that the command ends with status 0."""

    def __init__(self, app: FastAPI, host: str, port: int, started: Callable[[str], None]) -> None:
        """``started`` is told the address, with the port that was free where 0 is asked for."""
        super().__init__(
            uvicorn.Config(
                app,
                host,
                port,
                log_config=None,
                access_log=False,
                server_header=False,
                ws_max_size=MESSAGE,
                timeout_graceful_shutdown=BACKLOG_SECONDS,
            )
        )
        self._app, self._started = app, started

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._started(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def on_tick(self, counter: int) -> bool:
        """Whether to end: also where there is no model to serve with."""
        return await super().on_tick(counter) or self._app.state.failure is not None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Instead of uvicorn's, which raises the signal again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are another's
            return
        # The command's own thread for signals would end the process in the middle of a request.
        told = signal.set_wakeup_fd(-1)
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(told, warn_on_full_buffer=False)


def serve(app: FastAPI, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until a signal comes.

    Raises OptionError where the address cannot be listened on, and what loading the default model does.
    """
    write_log()
    server = Server(app, host, port, started)
    try:
        server.run()
    except SystemExit:
        # uvicorn has logged the reason.
        raise OptionError(f"cannot listen on {host}, port {port}: choose others by --host and --port") from None
    if app.state.failure is not None:
        raise app.state.failure
