"""Recordings in object storage: an S3 server by others on this machine (moto), and fsspec's client for it (s3fs)."""

import os

import pytest

from batch.conftest import SECONDS, batch, index
from ttscribe.audio import load_audio
from ttscribe.batch.inputs import opened, recordings
from ttscribe.batch.run import _seconds
from ttscribe.errors import AudioUnreadable, OptionError

moto = pytest.importorskip("moto.server", reason="moto is not installed: make env")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: make env")
s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: make env")
EndpointConnectionError = pytest.importorskip("botocore.exceptions").EndpointConnectionError
pytestmark = [pytest.mark.xdist_group("batch"), pytest.mark.usefixtures("storage")]

BUCKET, NAMES = "talks", ("1.wav", "inner/0.wav")
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def storage(folder):
    """A bucket with the recordings, and with what is none."""
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        # Whoever runs the tests may have settings of their own.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": host,
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        for name in NAMES:
            client.upload_file(str(folder / name), BUCKET, f"calls/{name}")
        client.put_object(Bucket=BUCKET, Key="calls/notes.txt", Body=b"")
        client.put_object(Bucket=BUCKET, Key="take [1].wav", Body=b"")
        yield client
        client.close()
    server.stop()


def test_recordings_of_a_bucket_are_done_like_files_and_gone_on_with(folder, texts, tmp_path, ttscribe):
    calls = f"s3://{BUCKET}/calls"
    done = batch(calls, f"{calls}/none.wav", "s3://nowhere/gone.wav", "--output", tmp_path, "--quiet")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"ttscribe: error: {calls}/none.wav: no such file (talks/calls/none.wav)",
        "ttscribe: error: s3://nowhere/gone.wav: no such file (The specified bucket does not exist)",
    ]
    found = [(entry.source, entry.text) for entry in index(tmp_path) if entry.error is None]
    assert found == [(f"{calls}/{name}", texts[str(folder / name)]) for name in NAMES]
    again = ttscribe("batch", calls, "--output", tmp_path, "--model", "tiny.en", "--offline", "--resume")
    assert (again.exit_code, again.stderr) == (0, f"{tmp_path}: passed over 2 of 2, done already\n")


@pytest.mark.parametrize(
    ("one", "keys"),
    [
        ("calls/", ["calls/1.wav", "calls/inner/0.wav"]),
        ("calls/*", ["calls/1.wav", "calls/notes.txt"]),
        ("**/[0-1].wav", ["calls/1.wav", "calls/inner/0.wav"]),
        ("take [1].wav", ["take [1].wav"]),
    ],
)
def test_an_address_means_what_a_bucket_has(one, keys):
    """A pattern means no folders, as it means none on a disk, and a name with brackets the file that has it."""
    assert recordings([f"s3://{BUCKET}/{one}"]) == [f"s3://{BUCKET}/{key}" for key in keys]


def test_a_storage_that_fails_while_it_is_read_has_no_length_and_no_sound(monkeypatch):
    source = f"s3://{BUCKET}/calls/1.wav"
    assert _seconds(source) == pytest.approx(SECONDS, abs=0.1)

    def fail(*_):
        raise EndpointConnectionError(endpoint_url=NOWHERE)

    monkeypatch.setattr(s3fs.S3File, "_fetch_range", fail)
    assert _seconds(source) == 0
    # And so, while it is transcribed, it is a recording that cannot be read, told in a line.
    with (
        pytest.raises(AudioUnreadable, match=rf"^{source}: cannot be read \(Could not connect to the endpoint URL"),
        opened(source) as sound,
    ):
        load_audio(sound)


@pytest.fixture
def anew():
    """The client reads its settings once."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"AWS_ENDPOINT_URL": NOWHERE, "AWS_MAX_ATTEMPTS": "1"}, "Could not connect to the endpoint URL"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_EC2_METADATA_DISABLED": "true"}, "Unable to locate credentials"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_clear_line(settings, complaint, monkeypatch):
    for name, value in settings.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=rf"/calls: cannot be looked at \({complaint}") as looked_at:
        recordings([f"s3://{BUCKET}/calls"])
    with (
        pytest.raises(AudioUnreadable, match=rf"1.wav: cannot be read \({complaint}") as read,
        opened(f"s3://{BUCKET}/calls/1.wav"),
    ):
        pass
    assert "\n" not in f"{looked_at.value}{read.value}"
