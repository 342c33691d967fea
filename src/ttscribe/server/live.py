"""Sound that comes through a WebSocket, and text that goes back while it comes."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from ttscribe.errors import TtscribeError
from ttscribe.live import Began, Ended, Turns
from ttscribe.server import problems
from ttscribe.server.models import ALIAS, Models
from ttscribe.server.problems import Problem
from ttscribe.server.turn_detection import TurnDetection
from ttscribe.server.work import Cancelled
from ttscribe.types import LiveText

logger = logging.getLogger("ttscribe.server")

_PIECES = 256
"""Messages of sound that may wait to be heard; then the client waits."""


class Stream:
    """A stream of sound, heard by a thread of its own: mono 16-bit PCM, little-endian, at ``sample_rate`` Hz."""

    def __init__(self, models: Models, model: str, language: str | None, sample_rate: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sound: queue.Queue[bytes | None] = queue.Queue(_PIECES)
        self._said: asyncio.Queue[LiveText | Problem | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._gone, self._over = False, False
        arguments = (models, model, language, sample_rate)
        threading.Thread(target=self._listen, args=arguments, daemon=True).start()

    async def hear(self, sound: bytes) -> None:
        """More sound; waits where much of it waits, but not for a thread that has ended."""
        await self._put(sound)

    async def end(self) -> None:
        """No more sound comes: what was said until then is still given."""
        await self._put(None)

    async def _put(self, piece: bytes | None) -> None:
        while not self._over and self._sound.full():
            # The thread has it set by this loop, so not between these two lines.
            self._changed.clear()
            await self._changed.wait()
        if not self._over:
            self._sound.put_nowait(piece)

    def leave(self) -> None:
        """Nobody wants the text any more."""
        self._gone = True
        # Whoever waits for sound must wake up; where the queue is full nobody does.
        try:
            self._sound.put_nowait(None)
        except queue.Full:
            return

    async def said(self) -> AsyncGenerator[LiveText, None]:
        """The text, until all of it was given. Raises Problem."""
        while (said := await self._said.get()) is not None:
            if isinstance(said, Problem):
                raise said
            yield said

    def _listen(self, models: Models, model: str, language: str | None, sample_rate: int) -> None:
        try:
            with models.lease(model) as transcriber:
                for text in transcriber.stream(self._pieces(), sample_rate=sample_rate, language=language):
                    self._tell(text)
        except Cancelled:
            pass
        except Problem as problem:
            self._tell(problem)
        except TtscribeError as error:
            self._tell(problems.of(error))
        except Exception:
            logger.exception("a stream failed")
            self._tell(problems.internal("of this stream"))
        finally:
            self._over = True
            self._in_loop(self._changed.set)
            self._tell(None)

    def _pieces(self) -> Iterator[bytes]:
        while (piece := self._sound.get()) is not None:
            self._in_loop(self._changed.set)
            if self._gone:
                raise Cancelled
            yield piece
        if self._gone:
            raise Cancelled

    def _tell(self, said: LiveText | Problem | None) -> None:
        self._in_loop(self._said.put_nowait, said)

    def _in_loop(self, do: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do, *arguments)


def add_live(app: FastAPI, models: Models, most: int) -> None:
    """Serve ``/v1/live`` and ``/v1/realtime``, ``most`` streams at once in all."""
    places = _Places(most)

    @app.websocket("/v1/live")
    async def live(
        socket: WebSocket, model: str = ALIAS, language: str | None = None, sample_rate: int = 16_000
    ) -> None:
        """Binary messages of PCM; texts come back as JSON. A text message, whatever it says, ends the sound."""
        async with places.of(socket):
            stream = Stream(models, await asyncio.to_thread(models.named, model), language, sample_rate)
            telling = asyncio.create_task(_told(socket, stream))
            try:
                while (sound := await _sound(socket, telling)) is not None:
                    await stream.hear(sound)
                await stream.end()
                await telling
            finally:
                stream.leave()
                telling.cancel()

    @app.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        """OpenAI's realtime events, of transcription."""
        async with places.of(socket):
            await Realtime(socket, models).serve()


async def _told(socket: WebSocket, stream: Stream) -> None:
    async for text in stream.said():
        await socket.send_json({"start": text.start, "end": text.end, "text": text.text, "committed": text.committed})


async def _sound(socket: WebSocket, telling: asyncio.Task[None]) -> bytes | None:
    """The next message of sound; None where another comes instead, or the stream has ended by itself.

    Raises WebSocketDisconnect.
    """
    receiving = asyncio.create_task(_received(socket))
    done, _ = await asyncio.wait({receiving, telling}, return_when=asyncio.FIRST_COMPLETED)
    if receiving not in done:
        receiving.cancel()
        return None
    return receiving.result().get("bytes")


async def _received(socket: WebSocket) -> dict[str, Any]:
    """The next message, with its ``bytes`` or its ``text``. Raises WebSocketDisconnect."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    return {name: message[name] for name in ("bytes", "text") if message.get(name) is not None}


class _Places:
    """So many sockets at once."""

    def __init__(self, most: int) -> None:
        self._left = most

    def of(self, socket: WebSocket) -> _Place:
        return _Place(self, socket)

    def take(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def give_back(self) -> None:
        self._left += 1


class _Place:
    """A socket that is accepted, and closed with a reason where something goes wrong."""

    def __init__(self, places: _Places, socket: WebSocket) -> None:
        self._places, self._socket = places, socket

    async def __aenter__(self) -> None:
        await self._socket.accept()
        if not self._places.take():
            self._places.give_back()
            await self._socket.close(1013, "as many streams as may be are under way: try again later")
            raise WebSocketDisconnect(1013)

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, WebSocketDisconnect):
            if error.code != 1013:
                self._places.give_back()
            return True
        self._places.give_back()
        if error is None:
            await self._socket.close()
        elif isinstance(error, Problem):
            await self._socket.send_json(error.body())
            await self._socket.close(1008, error.message[:120])
            return True
        return False


class Realtime:
    """A session of OpenAI's realtime API that only transcribes: PCM at 24 kHz.

    Items end where the client says so, or, if it asks for that, where somebody has stopped speaking.
    """

    _SAMPLE_RATE = 24_000

    def __init__(self, socket: WebSocket, models: Models) -> None:
        self._socket, self._models = socket, models
        self._model, self._language = models.default, None
        self._detection: TurnDetection | None = None
        self._turns: Turns | None = None
        self._stream: Stream | None = None
        self._telling: asyncio.Task[str | None] | None = None
        self._events = self._items = 0
        self._committed: str | None = None

    async def serve(self) -> None:
        """Answer events until the client goes."""
        await self._send("session.created", session=self._session())
        try:
            while True:
                received = await _received(self._socket)
                try:
                    await self._answer(_event(received))
                except Problem as problem:
                    await self._send("error", error=problem.body()["error"])
        finally:
            self._leave()

    async def _answer(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind in ("session.update", "transcription_session.update"):
            await self._update(event.get("session") or {})
        elif kind == "input_audio_buffer.append":
            await self._hear(_decoded(event.get("audio")))
        elif kind == "input_audio_buffer.commit":
            if self._turns is not None and self._turns.under_way:
                self._turns.end()
            await self._commit()
        elif kind == "input_audio_buffer.clear":
            await self._clear()
        else:
            raise Problem(400, f"{kind!r} is no event of a transcription session.", param="type")

    async def _update(self, session: dict[str, Any]) -> None:
        sound = (session.get("audio") or {}).get("input") or {}
        if (sound.get("format") or {}).get("type", "audio/pcm") != "audio/pcm":
            raise Problem(400, "sound must be audio/pcm: 16 bits, 24 kHz, mono.", param="session.audio.input.format")
        if "turn_detection" in sound:
            await self._detect(sound["turn_detection"])
        asked = sound.get("transcription") or {}
        if asked.get("model"):
            self._model = await asyncio.to_thread(self._models.named, asked["model"])
        self._language = asked.get("language") or None
        await self._send("session.updated", session=self._session())

    def _session(self) -> dict[str, Any]:
        transcription = {"model": self._model, "language": self._language}
        detection = None if self._detection is None else self._detection.asked()
        sound = {"format": {"type": "audio/pcm", "rate": self._SAMPLE_RATE}, "turn_detection": detection}
        return {"type": "transcription", "audio": {"input": {**sound, "transcription": transcription}}}

    async def _detect(self, asked: object) -> None:
        """End turns by voice activity from now on, or leave that to the client."""
        if self._stream is not None:
            message = "an item is under way: commit it before turns are ended in another way."
            raise Problem(400, message, param="session.audio.input.turn_detection")
        self._detection = None if asked is None else TurnDetection.of(asked)
        self._turns = None
        if self._detection is not None:
            self._turns = await asyncio.to_thread(self._detection.turns, self._SAMPLE_RATE)

    async def _hear(self, sound: bytes) -> None:
        if self._turns is None:
            if self._stream is None:
                self._begin()
            assert self._stream is not None
            await self._stream.hear(sound)
            return
        for found in await asyncio.to_thread(lambda turns: list(turns.hear(sound)), self._turns):
            if isinstance(found, Began):
                self._begin()
                await self._speech("started", "start", found.time)
            elif isinstance(found, Ended):
                await self._speech("stopped", "end", found.time)
                await self._commit()
            else:
                assert self._stream is not None
                await self._stream.hear(found)

    async def _speech(self, what: str, end: str, time: float) -> None:
        milliseconds = {f"audio_{end}_ms": round(1000 * time)}
        await self._send(f"input_audio_buffer.speech_{what}", item_id=f"item_{self._items}", **milliseconds)

    def _begin(self) -> None:
        self._items += 1
        self._stream = Stream(self._models, self._model, self._language, self._SAMPLE_RATE)
        self._telling = asyncio.create_task(self._tell(self._stream, f"item_{self._items}"))

    async def _commit(self) -> None:
        """End the item, and answer its transcript before anything else is done."""
        if self._stream is None or self._telling is None:
            raise Problem(400, "there is no sound to commit.", code="input_audio_buffer_commit_empty")
        item, stream, telling = f"item_{self._items}", self._stream, self._telling
        previous, self._committed = self._committed, item
        self._stream = self._telling = None
        await self._send("input_audio_buffer.committed", item_id=item, previous_item_id=previous)
        await self._send("conversation.item.added", previous_item_id=previous, item=_item(item, None))
        await stream.end()
        transcript = await telling
        await self._send("conversation.item.done", previous_item_id=previous, item=_item(item, transcript))

    async def _clear(self) -> None:
        """Forget the item that is under way: its text is not told."""
        if self._turns is not None and self._turns.under_way:
            self._turns.end()
        self._leave()
        await self._send("input_audio_buffer.cleared")

    def _leave(self) -> None:
        if self._stream is not None:
            self._stream.leave()
        if self._telling is not None:
            self._telling.cancel()
        self._stream = self._telling = None

    async def _tell(self, stream: Stream, item: str) -> str | None:
        """Tell of an item's text as it comes; gives the whole, or None where it failed, which is told too."""
        name, where = "conversation.item.input_audio_transcription", {"item_id": item, "content_index": 0}
        pieces: list[str] = []
        end = 0.0
        try:
            async for text in stream.said():
                if text.committed:
                    pieces.append(text.text if pieces else text.text.lstrip())
                    end = text.end
                    await self._send(f"{name}.delta", **where, delta=pieces[-1])
        except Problem as problem:
            await self._send(f"{name}.failed", **where, error=problem.body()["error"])
            return None
        usage, transcript = {"type": "duration", "seconds": end}, "".join(pieces)
        await self._send(f"{name}.completed", **where, transcript=transcript, usage=usage)
        return transcript

    async def _send(self, kind: str, **fields: Any) -> None:
        self._events += 1
        await self._socket.send_json({"event_id": f"event_{self._events}", "type": kind, **fields})


def _item(name: str, transcript: str | None) -> dict[str, Any]:
    """What was heard, as an item of a conversation."""
    content = {"type": "input_audio", "transcript": transcript}
    kind = {"object": "realtime.item", "type": "message", "role": "user", "status": "completed"}
    return {"id": name, **kind, "content": [content]}


def _event(message: dict[str, Any]) -> dict[str, Any]:
    try:
        event = json.loads(message.get("text", ""))
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise Problem(400, "a message must be an event as JSON.")
    return event


def _decoded(sound: object) -> bytes:
    try:
        return base64.b64decode(str(sound), validate=True)
    except ValueError as error:
        raise Problem(400, f"audio must be base64 ({error}).", param="audio") from error
