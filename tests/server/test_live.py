"""Sound that comes while it is heard: this server's own WebSocket, and OpenAI's client of its realtime API."""

import base64
import json
import threading
from contextlib import contextmanager, suppress

import numpy as np
import openai
import pytest
import soxr

from server.conftest import KEY, running
from ttscribe.audio import SAMPLE_RATE, load_audio

client = pytest.importorskip("websockets.sync.client", reason="the extra server is not installed: make env")
exceptions = pytest.importorskip("websockets.exceptions")
pytestmark = pytest.mark.xdist_group("server")
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def live():
    with running(streams=1) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def samples(beckett):
    return load_audio(beckett)


def pcm(samples, rate=SAMPLE_RATE):
    return (soxr.resample(samples, SAMPLE_RATE, rate) * 32767).astype("<i2").tobytes()


def connect(server, path="/v1/live", headers=BEARER):
    return client.connect(f"ws{server.address.removeprefix('http')}{path}", additional_headers=headers)


@contextmanager
def connected(server):
    """A socket that has a place, which the one before may still have for a moment after its client has gone."""
    for _ in range(100):
        with suppress(exceptions.ConnectionClosed), connect(server) as socket:
            with suppress(TimeoutError):
                socket.recv(timeout=0.1)
            yield socket
            return
    raise AssertionError("no place was given back")


def words(text):
    return [word.strip(".,!?").lower() for word in text.split()]


def detecting(settings):
    """The event that asks for turns to be ended so."""
    return f'{{"type": "session.update", "session": {{"audio": {{"input": {{"turn_detection": {settings}}}}}}}}}'


EXPECTED = words("Ever tried ever failed no matter try again fail again fail better")


def test_text_comes_while_sound_does_and_what_is_committed_stays(live, samples):
    sound = pcm(np.concatenate([samples, np.zeros(2 * SAMPLE_RATE, np.float32)]))
    heard = []
    with connect(live, "/v1/live?language=en") as socket:
        reading = threading.Thread(target=lambda: heard.extend(json.loads(message) for message in socket))
        reading.start()
        for start in range(0, len(sound), 32_000):
            socket.send(sound[start : start + 32_000])
        socket.send("end")
        reading.join(60)
    committed = [each["text"] for each in heard if each["committed"]]
    assert len(committed) > 1
    assert words("".join(committed)) == EXPECTED
    assert any(not each["committed"] and each["text"] for each in heard)


# OpenAI's client opens its socket in a way that websockets has deprecated since.
@pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")
def test_openais_client_hears_items_that_it_ends_itself(live, samples):
    sound = pcm(samples, 24_000)
    kinds, texts, items = [], [], []
    with live.client().realtime.connect(model="whisper-1") as session:
        session.session.update(
            session={
                "type": "transcription",
                "audio": {"input": {"transcription": {"model": "tiny.en", "language": "en"}, "turn_detection": None}},
            }
        )
        for _ in range(2):
            for start in range(0, len(sound), 96_000):
                piece = sound[start : start + 96_000]
                session.input_audio_buffer.append(audio=base64.b64encode(piece).decode())
            session.input_audio_buffer.commit()
        session.input_audio_buffer.commit()
        for event in session:
            kinds.append(event.type)
            if event.type.endswith("completed"):
                texts.append((event.item_id, words(event.transcript)))
            if event.type in ("conversation.item.added", "conversation.item.done"):
                (content,) = event.item.content
                items.append((event.type[18:], event.item.id, event.previous_item_id, words(content.transcript or "")))
            if event.type == "error":
                assert event.error.code == "input_audio_buffer_commit_empty"
                break
    assert kinds[:2] == ["session.created", "session.updated"]
    assert kinds.count("input_audio_buffer.committed") == 2
    assert kinds.count("conversation.item.input_audio_transcription.delta") > 2
    assert texts == [("item_1", EXPECTED), ("item_2", EXPECTED)]
    assert items == [
        ("added", "item_1", None, []),
        ("done", "item_1", None, EXPECTED),
        ("added", "item_2", "item_1", []),
        ("done", "item_2", "item_1", EXPECTED),
    ]


@pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")
def test_openais_client_hears_items_that_the_server_ends(live, samples):
    detection = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 1500}
    pause = np.zeros(2 * SAMPLE_RATE, np.float32)
    sound = pcm(np.concatenate([samples, pause, samples, pause]), 24_000)
    told, texts = [], []
    with live.client().realtime.connect(model="whisper-1") as session:
        session.session.update(
            session={
                "type": "transcription",
                "audio": {"input": {"transcription": {"language": "en"}, "turn_detection": detection}},
            }
        )
        for start in range(0, len(sound), 96_000):
            session.input_audio_buffer.append(audio=base64.b64encode(sound[start : start + 96_000]).decode())
        for event in session:
            told.append(event)
            if event.type.endswith("completed"):
                texts.append((event.item_id, words(event.transcript)))
            if len(texts) == 2:
                break
    assert texts == [("item_1", EXPECTED), ("item_2", EXPECTED)]
    assert told[1].session.audio.input.turn_detection.silence_duration_ms == 1500
    turns = [event for event in told if event.type.startswith("input_audio_buffer.")]
    kinds = ["speech_started", "speech_stopped", "committed"]
    assert [event.type.rpartition(".")[2] for event in turns] == [*kinds, *kinds]
    assert [event.item_id for event in turns] == ["item_1"] * 3 + ["item_2"] * 3
    times = [turns[0].audio_start_ms, turns[1].audio_end_ms, turns[3].audio_start_ms, turns[4].audio_end_ms]
    assert times == sorted(times)
    assert times[3] < len(sound) / 48


def test_sound_that_is_cleared_is_in_no_item(live, samples):
    with connect(live, "/v1/realtime") as socket:

        def send(kind, **fields):
            socket.send(json.dumps({"type": f"input_audio_buffer.{kind}", **fields}))

        def hear(sound):
            for start in range(0, len(sound), 96_000):
                send("append", audio=base64.b64encode(sound[start : start + 96_000]).decode())

        hear(pcm(samples, 24_000))
        send("clear")
        hear(pcm(samples, 24_000))
        send("commit")
        told = []
        while not told or told[-1]["type"] != "conversation.item.input_audio_transcription.completed":
            told.append(json.loads(socket.recv(timeout=60)))
    cleared = [event["type"] for event in told].index("input_audio_buffer.cleared")
    assert openai.types.realtime.InputAudioBufferClearedEvent.model_validate(told[cleared])
    assert words(told[-1]["transcript"]) == EXPECTED
    (committed,) = (event for event in told if event["type"] == "input_audio_buffer.committed")
    assert committed["previous_item_id"] is None
    after = [event for event in told[cleared + 1 :] if "item_id" in event]
    assert {event["item_id"] for event in after} == {told[-1]["item_id"]}


def test_a_stream_needs_a_key_and_a_place_and_a_model(live):
    with pytest.raises(exceptions.InvalidStatus) as refused:
        connect(live, headers={})
    assert refused.value.response.status_code == 403
    with connect(live, "/v1/live?model=nothing") as socket:
        assert json.loads(socket.recv())["error"]["code"] == "model_not_found"
    with connect(live), connect(live) as second, pytest.raises(exceptions.ConnectionClosed) as closed:
        second.recv()
    assert closed.value.rcvd.code == 1013


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no JSON", "a message must be an event as JSON"),
        ('{"type": "response.create"}', "'response.create' is no event of a transcription session"),
        ('{"type": "input_audio_buffer.append", "audio": "*"}', "audio must be base64"),
        (detecting('{"type": "semantic_vad"}'), "turns are ended by server_vad, or, with null, by the client"),
        (detecting('{"type": "server_vad", "idle_timeout_ms": 5000}'), "server_vad has no idle_timeout_ms here"),
        (detecting('{"type": "server_vad", "silence_duration_ms": 0}'), "must be a number from 100 to 10000"),
        (detecting('{"type": "server_vad", "threshold": "loud"}'), "threshold must be a number from 0 to 1"),
        (detecting('{"type": "server_vad", "threshold": 1}'), "threshold must be between 0 and 1"),
    ],
)
def test_events_that_cannot_be_honoured_are_answered(live, message, said):
    with connect(live, "/v1/realtime?intent=transcription") as socket:
        assert json.loads(socket.recv())["type"] == "session.created"
        socket.send(message)
        answer = json.loads(socket.recv())
    assert answer["type"] == "error"
    assert said in answer["error"]["message"]
    assert openai.types.realtime.RealtimeErrorEvent.model_validate(answer)


def test_a_stream_that_cannot_be_heard_is_told_of_at_once_however_much_is_sent(live):
    for _ in range(2):
        with connect(live, "/v1/live?language=xx") as socket:
            with suppress(exceptions.ConnectionClosed):
                for _ in range(1000):
                    socket.send(bytes(200))
            assert "xx" in json.loads(socket.recv())["error"]["message"]


def test_who_goes_leaves_the_place_to_others(live, samples):
    for _ in range(3):
        with connected(live) as socket:
            socket.send(pcm(samples[: 3 * SAMPLE_RATE]))
    with connected(live) as socket:
        socket.send("end")
        assert list(socket) == []
