"""What a server does when there is too much: of requests, of bytes, of time; and when it or a client leaves."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import numpy as np
import openai
import pytest

from server.conftest import KEY, running, wait_for
from sounds import write_wav
from ttscribe.audio import load_audio
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.server.keys import Keys
from ttscribe.server.models import Models
from ttscribe.server.problems import Problem
from ttscribe.server.work import Work

pytestmark = pytest.mark.xdist_group("server")
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def small():
    """One worker, nobody waits, and little may come, soon."""
    with running(workers=1, waiting=0, upload=10_000_000, pause=1.0) as server:
        server.wait_until_ready()
        yield server


def post(server, recording, **options):
    files = {"file": ("a", recording.read_bytes())}
    return httpx.post(
        f"{server.address}/v1/audio/transcriptions", files=files, data={"model": "whisper-1"}, headers=BEARER, **options
    )


def working(server):
    return metric(server, "ttscribe_working")


def tokens(server):
    return metric(server, "ttscribe_tokens_total")


def metric(server, name):
    lines = httpx.get(f"{server.address}/metrics").text.splitlines()
    (value,) = [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]
    return float(value)


def test_one_more_than_may_wait_is_told_when_to_come_again(small, two_cities):
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, small, two_cities, timeout=60)
        wait_for(lambda: working(small) == 1)
        client = small.client(max_retries=0)
        with two_cities.open("rb") as file, pytest.raises(openai.RateLimitError) as refused:
            client.audio.transcriptions.create(file=file, model="whisper-1")
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert refused.value.code == "rate_limit_exceeded"
    assert first.result().status_code == 200


def test_a_client_that_comes_again_is_served(small, beckett, two_cities):
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, small, two_cities, timeout=60)
        wait_for(lambda: working(small) == 1)
        with beckett.open("rb") as file:
            answer = small.client(max_retries=20).audio.transcriptions.create(file=file, model="whisper-1")
    assert answer.text
    assert first.result().status_code == 200


@pytest.fixture(scope="module")
def two_minutes(two_cities, tmp_path_factory):
    """So many windows that a client can go long before the last."""
    path = tmp_path_factory.mktemp("long") / "again.wav"
    return write_wav(path, np.tile(load_audio(two_cities), 3))


@pytest.fixture(scope="module")
def all_tokens(small, two_minutes):
    """How many tokens a client that stays has of them."""
    begin = tokens(small)
    whole = list(streamed_lines(small, two_minutes))
    assert json.loads(whole[-2].removeprefix("data: "))["type"] == "transcript.text.done"
    return tokens(small) - begin


def streamed_lines(server, recording):
    """The lines of an answer as they come."""
    url, data = f"{server.address}/v1/audio/transcriptions", {"model": "whisper-1", "stream": "true"}
    files = {"file": ("a", recording.read_bytes())}
    with httpx.stream("POST", url, files=files, data=data, headers=BEARER, timeout=60) as streamed:
        yield from streamed.iter_lines()


def test_the_work_stops_when_the_client_goes(small, two_minutes, all_tokens):
    begin = tokens(small)
    with closing(streamed_lines(small, two_minutes)) as lines:
        next(lines)
    wait_for(lambda: working(small) == 0)
    assert tokens(small) - begin < all_tokens


def test_a_client_that_goes_before_the_answer_is_not_worked_for(small, two_minutes, all_tokens):
    begin = tokens(small)
    with pytest.raises(httpx.ReadTimeout):
        post(small, two_minutes, timeout=0.2)
    wait_for(lambda: working(small) == 0)
    assert tokens(small) - begin < all_tokens


def test_a_body_that_is_too_large_is_refused_whether_its_length_is_told_or_not(small):
    url, part = f"{small.address}/v1/audio/transcriptions", b"x" * 1_000_000
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for content in (head + part * 10, iter((head, *[part] * 10))):
        answer = httpx.post(url, content=content, headers={**BEARER, "Content-Type": "multipart/form-data; boundary=b"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")


def test_a_body_that_stands_still_is_given_up(small):
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n"
    with small.connect() as slow:
        slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b".encode())
        assert b"408" in slow.recv(4096).splitlines()[0]


def test_headers_without_end_are_refused(small):
    with small.connect() as huge:
        huge.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 200_000)
        assert huge.recv(4096).split()[1] == b"400"


def test_parts_without_end_are_refused(small):
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n\r\n' % n for n in range(2000))
    answer = httpx.post(
        f"{small.address}/v1/audio/transcriptions",
        content=parts + b"--b--",
        headers={**BEARER, "Content-Type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_what_takes_too_long_is_given_up_and_what_is_too_long_refused(two_cities):
    with running(keys=(), seconds=0.3) as server:
        server.wait_until_ready()
        assert post(server, two_cities).status_code == 504
    with running(keys=(), duration=20) as server:
        server.wait_until_ready()
        answer = post(server, two_cities)
    assert answer.status_code == 400
    assert "longer than 20 s" in answer.json()["error"]["message"]


def test_until_the_model_is_loaded_it_is_not_ready(beckett):
    with running(keys=()) as server:
        answers = httpx.get(f"{server.address}/health/ready"), post(server, beckett)
        assert httpx.get(f"{server.address}/health/live").status_code == 200
        server.wait_until_ready()
    assert [(each.status_code, each.json()["error"]["code"]) for each in answers] == [(503, "not_ready")] * 2


def test_a_server_that_is_ended_answers_first(two_cities):
    with running(keys=(), workers=1) as server, ThreadPoolExecutor() as pool:
        server.wait_until_ready()
        answers = [pool.submit(post, server, two_cities, timeout=60) for _ in range(2)]
        wait_for(lambda: working(server) == 1)
        server.ask_to_end()
        texts = {answer.result().json()["text"] for answer in answers}
        assert len(texts) == 1
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.address}/health/live")


def test_clients_take_turns():
    order, begun, go = [], threading.Event(), threading.Event()
    work = Work(workers=1, waiting=10)
    work.submit("first", lambda _job: (begun.set(), go.wait()))
    begun.wait()
    for client in ("many", "many", "many", "one"):
        work.submit(client, lambda job: order.append(job.client))
    left = work.submit("left", lambda job: order.append(job.client))
    left.cancel()
    assert (work.waiting, work.working) == (4, 1)
    go.set()
    work.finish()
    assert order == ["many", "one", "many", "many"]


def test_jobs_beyond_the_limit_are_refused():
    go = threading.Event()
    work = Work(workers=1, waiting=1)
    for _ in range(2):
        work.submit("a", lambda _job: go.wait())
    with pytest.raises(Problem) as refused:
        work.submit("b", lambda _job: None)
    assert refused.value.status == 429
    go.set()
    work.finish()


def test_of_models_the_one_not_asked_for_longest_is_given_up():
    models = Models("tiny.en", 1, "cpu", "float32")
    with models.lease("tiny.en") as first, models.lease("tiny.en") as again:
        assert first is again
    with models.lease("base") as base, pytest.raises(DeviceUnavailable, match="was closed"):
        first.transcribe(b"")
    models.close()
    with pytest.raises(DeviceUnavailable, match="was closed"):
        base.transcribe(b"")


def test_keys_are_kept_as_digests_and_damaged_ones_refused(tmp_path):
    digest = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    path = tmp_path / "keys"
    path.write_text(f"# of two people\n{digest}\nsecond\n")
    keys = Keys(Keys.lines(path))
    assert keys.accept("foo")
    assert keys.accept("second")
    assert not keys.accept("third")
    assert "second" not in repr(vars(keys))
    for wrong in (["sha256:12"], []):
        with pytest.raises(OptionError):
            Keys(wrong)
