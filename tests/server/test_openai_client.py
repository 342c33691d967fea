"""OpenAI's own client, unchanged, in every format and with every error."""

import time

import httpx
import openai
import pytest
import srt
import webvtt
from prometheus_client import Counter

from server.conftest import KEY
from ttscribe import load_model

pytestmark = pytest.mark.xdist_group("server")


@pytest.fixture(scope="module")
def expected(beckett):
    """What the same model writes without a server."""
    segments, _ = load_model("tiny.en", precision="float32", offline=True).transcribe(beckett, word_timestamps=True)
    return list(segments)


@pytest.fixture(scope="module")
def text(expected):
    return " ".join(segment.text for segment in expected)


def transcribe(client, recording, **options):
    with recording.open("rb") as file:
        return client.audio.transcriptions.create(file=file, **{"model": "whisper-1", **options})


def test_text(client, beckett, text):
    answer = transcribe(client, beckett)
    assert answer.text == text
    assert answer.usage.seconds == 10
    assert transcribe(client, beckett, response_format="text") == text + "\n"


def test_segments_and_words(client, beckett, expected, text):
    answer = transcribe(
        client, beckett, response_format="verbose_json", timestamp_granularities=["segment", "word"], language="en"
    )
    assert (answer.text, answer.language) == (text, "english")
    assert answer.duration == pytest.approx(9.97, abs=0.1)
    assert [(each.start, each.end, each.text, tuple(each.tokens)) for each in answer.segments] == [
        (each.start, each.end, each.text, each.tokens) for each in expected
    ]
    assert [(each.word, each.start, each.end) for each in answer.words] == [
        (word.text.strip(), word.start, word.end) for each in expected for word in each.words
    ]


def test_segments_alone_are_what_is_given_where_nobody_asks_for_more(client, beckett):
    answer = transcribe(client, beckett, response_format="verbose_json")
    assert answer.segments
    assert answer.words is None
    answer = transcribe(client, beckett, response_format="verbose_json", timestamp_granularities=["word"])
    assert answer.words
    assert answer.segments is None


def test_subtitles(client, beckett, text):
    said = transcribe(client, beckett, response_format="srt")
    assert " ".join(each.content for each in srt.parse(said)) == text
    said = transcribe(client, beckett, response_format="vtt")
    assert " ".join(each.text for each in webvtt.from_string(said)) == text


def test_events(client, two_cities):
    events = list(transcribe(client, two_cities, stream=True))
    *deltas, done = events
    assert len(deltas) > 1
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text == transcribe(client, two_cities).text


def test_a_prompt_and_a_temperature_are_heeded(client, beckett, text):
    assert transcribe(client, beckett, prompt="ALL IN CAPITALS, AS A TELEGRAM IS WRITTEN.").text != text
    assert transcribe(client, beckett, temperature=1.0).text != ""


def test_models(client):
    assert next(iter(client.models.list())).id == "tiny.en"
    assert client.models.retrieve("tiny.en").id == "tiny.en"
    with pytest.raises(openai.NotFoundError, match="is not on this server: it has") as refused:
        client.models.retrieve("/etc")
    assert refused.value.code == "model_not_found"


# The client's own warning: OpenAI has another way now.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_an_english_model_refuses_to_translate(client, beckett):
    with beckett.open("rb") as file, pytest.raises(openai.BadRequestError, match="knows English only"):
        client.audio.translations.create(file=file, model="whisper-1")


@pytest.mark.parametrize(
    ("options", "kind", "said", "param"),
    [
        ({"model": "gpt-4o-transcribe"}, openai.NotFoundError, "'gpt-4o-transcribe' is not on this server", None),
        ({"model": "../../etc/passwd"}, openai.NotFoundError, "is not on this server", None),
        ({"language": "xx"}, openai.BadRequestError, "xx", None),
        ({"temperature": 2.0}, openai.BadRequestError, "less than or equal to 1", "temperature"),
        ({"response_format": "docx"}, openai.BadRequestError, "response_format", "response_format"),
        ({"include": ["logprobs"]}, openai.BadRequestError, "include[] is no option of this server", "include[]"),
        ({"timestamp_granularities": ["word"]}, openai.BadRequestError, "needs response_format verbose", None),
    ],
)
def test_what_cannot_be_done_is_refused(client, beckett, options, kind, said, param):
    with pytest.raises(kind) as refused:
        transcribe(client, beckett, **options)
    assert said in refused.value.body["message"]
    if param:
        assert refused.value.param == param


@pytest.mark.parametrize("content", [b"", b"no sound at all" * 100, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_what_is_no_sound_is_refused(client, content):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(file=("../../evil\r\nX-Injected: 1", content), model="whisper-1")
    assert (refused.value.code, refused.value.param) == ("invalid_file", "file")


def test_a_wrong_key_is_refused_and_before_anything_is_read(server, beckett):
    with pytest.raises(openai.AuthenticationError) as refused:
        transcribe(server.client(key="another"), beckett)
    assert refused.value.code == "invalid_api_key"
    assert httpx.get(f"{server.address}/v1/models").status_code == 401
    answer = httpx.get(f"{server.address}/v1/models", headers={"Authorization": f"bearer {KEY}"})
    assert answer.status_code == 200


def test_health_and_metrics_need_no_key(server, client, beckett):
    transcribe(client, beckett)
    assert httpx.get(f"{server.address}/health/live").json() == {"status": "live"}
    told = httpx.get(f"{server.address}/metrics").text
    assert 'ttscribe_device{device="cpu",provenance="measured"} 1.0' in told
    counted = [line for line in told.splitlines() if line.startswith("ttscribe_requests_total")]
    assert any('path="/v1/audio/transcriptions",status="200"' in line for line in counted)


def test_work_is_counted_before_it_is_answered(server, client, beckett, monkeypatch):
    count = Counter.inc

    def count_late(self, *amount):
        time.sleep(0.3 * self.describe()[0].name.startswith("ttscribe_work"))
        count(self, *amount)

    monkeypatch.setattr(Counter, "inc", count_late)
    before = _worked(server)
    transcribe(client, beckett)
    assert _worked(server) > before


def _worked(server):
    told = httpx.get(f"{server.address}/metrics").text
    (line,) = (line for line in told.splitlines() if line.startswith("ttscribe_work_seconds_total"))
    return float(line.split()[1])


def test_every_answer_has_an_id_and_only_a_clean_one_is_taken_over(server):
    def answered(given):
        return httpx.get(f"{server.address}/health/live", headers={"X-Request-Id": given}).headers["x-request-id"]

    assert answered("mine-1") == "mine-1"
    assert answered("not (mine)") != "not (mine)"
