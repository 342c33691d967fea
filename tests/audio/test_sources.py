import io
import os
import sys
import threading

import numpy as np
import pytest

from ttscribe.audio import hear, listen, load_audio, spool
from ttscribe.errors import (
    AudioError,
    AudioNotFound,
    AudioTooLong,
    AudioUnreadable,
    InvalidSamples,
    OptionError,
)


class Pipe:
    """A binary file that can only be read."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


def from_named_pipe(path, folder):
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(path.read_bytes(),))
    writer.start()
    samples = load_audio(fifo)
    writer.join()
    return samples


def from_odd_name(path, folder):
    odd = folder / "concat:12:30 %03d é"
    odd.write_bytes(path.read_bytes())
    return load_audio(odd)


def from_standard_input(path, folder):
    with path.open(encoding="utf-8") as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        return load_audio("-")


SOURCES = {
    "str": lambda path, _: load_audio(str(path)),
    "bytes": lambda path, _: load_audio(path.read_bytes()),
    "file": lambda path, _: load_audio(io.BytesIO(path.read_bytes())),
    "unseekable file": lambda path, _: load_audio(Pipe(path.read_bytes())),
    "standard input": from_standard_input,
    "named pipe": from_named_pipe,
    "odd name": from_odd_name,
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source_gives_the_same_samples(source, beckett, tmp_path):
    assert np.array_equal(SOURCES[source](beckett, tmp_path), load_audio(beckett))


@pytest.fixture
def spooled(monkeypatch):
    """All but the first 4 KiB of a stream is read when it is asked for, and kept on disk."""
    monkeypatch.setattr(spool, "HEAD_BYTES", 4096)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("ipod", "aac"),
        ("matroska", "aac"),
        ("mpegts", "aac"),
    ],
)
def test_a_stream_gives_the_samples_of_the_whole_file(container, codec, encode, spooled, caplog):
    """An ipod file has the table without which nothing can be read at its end."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 480_000)).astype(np.float32)
    data = encode(noise, 48_000, container, codec)
    assert np.array_equal(load_audio(Pipe(data)), load_audio(data))
    assert not caplog.records


def test_a_stream_of_mp3_keeps_what_its_encoder_filled_up(encode, spooled):
    """By the length of the file FFmpeg knows how much that is, some milliseconds."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 480_000)).astype(np.float32)
    data = encode(noise, 48_000, "mp3", "mp3")
    whole, stream = load_audio(data), load_audio(Pipe(data))
    assert np.array_equal(stream[: len(whole) - 480], whole[:-480])
    assert len(whole) <= len(stream) < len(whole) + 480


class Endless:
    """A stream that begins with ``data`` and never ends; ``given`` are the bytes that were read."""

    def __init__(self, data, more):
        self.start, self.more, self.given = data, more, 0

    def read(self, count):
        data, self.start = self.start[:count], self.start[count:]
        data = data or (self.more * (count // len(self.more) + 1))[:count]
        self.given += len(data)
        return data


def test_a_stream_that_is_no_audio_and_never_ends_is_refused_at_once(spooled):
    zeros = Endless(b"", bytes(1000))
    with pytest.raises(AudioUnreadable, match="not audio or video"):
        load_audio(zeros)
    assert zeros.given < 2**23


def test_a_recording_that_never_ends_is_read_no_further_than_allowed(beckett, spooled):
    radio = Endless(
        beckett.read_bytes()[:44].replace(b"data" + beckett.read_bytes()[40:44], b"data" + b"\xff" * 4), b"ab"
    )
    with pytest.raises(AudioTooLong, match=r"the given file object: longer than 20 s, the longest allowed; cut it"):
        hear(radio, lambda samples: None, max_duration=20)
    assert radio.given < 2**23


def test_a_stream_that_fails_later_on_says_so(beckett, spooled):
    class Failing(Pipe):
        left = 20

        def __init__(self, data):
            self.stream = io.BytesIO(data)

        def read(self, count):
            self.left -= 1
            if not self.left:
                raise OSError("the line was cut")
            return self.stream.read(min(count, 4096))

    with pytest.raises(AudioUnreadable, match=r"the given file object: cannot be read \(the line was cut\)"):
        load_audio(Failing(beckett.read_bytes()))


@pytest.mark.parametrize(("input_format", "dtype", "scale"), [("s16le", "<i2", 32768), ("f32le", "<f4", 1)])
def test_raw_pcm_is_heard_as_its_array(input_format, dtype, scale, beckett, tmp_path):
    samples = load_audio(beckett)
    pcm = (samples * scale).astype(dtype)
    path = tmp_path / "raw"
    path.write_bytes(pcm.tobytes())
    for source in (path, path.read_bytes(), Pipe(path.read_bytes())):
        pieces = []
        hear(source, pieces.append, input_format=input_format, sample_rate=16_000)
        assert np.array_equal(np.concatenate(pieces), load_audio(pcm, sample_rate=16_000))
    recording = listen(path, 80, input_format=input_format, sample_rate=8_000)
    assert recording.seconds == pytest.approx(2 * len(samples) / 16_000, abs=1e-3)


def test_raw_pcm_in_odd_pieces_and_with_half_a_sample_at_its_end(beckett):
    class OddPieces(Pipe):
        def __init__(self, data):
            stream = io.BytesIO(data)
            self.read = lambda count: stream.read(4097)

    data = (load_audio(beckett)[:9999] * 32768).astype("<i2").tobytes()
    pieces = []
    hear(OddPieces(data + b"x"), pieces.append, input_format="s16le", sample_rate=16_000)
    assert np.array_equal(np.concatenate(pieces), load_audio(np.frombuffer(data, "<i2"), sample_rate=16_000))


@pytest.mark.parametrize(
    ("source", "options", "error", "problem"),
    [
        (b"1234", {"input_format": "s16le"}, OptionError, "input_format s16le needs the sample_rate, such as 16000"),
        (b"1234", {"input_format": "u8", "sample_rate": 8000}, OptionError, "input_format must be s16le or f32le"),
        (b"", {"input_format": "s16le", "sample_rate": 8000}, InvalidSamples, "no sound, its length is zero"),
        (b"1234", {"input_format": "s16le", "sample_rate": 1}, InvalidSamples, "a sample rate of 1 Hz is impossible"),
        (np.zeros(9, np.int16), {"input_format": "s16le", "sample_rate": 8000}, OptionError, "an array has a type of"),
    ],
)
def test_raw_pcm_that_makes_no_sense_is_refused(source, options, error, problem):
    with pytest.raises(error, match=problem):
        hear(source, lambda samples: None, **options)


def test_an_array_gives_the_samples_of_its_file(beckett):
    """The file is 16-bit PCM: its samples are what an independent reader of WAV finds in it."""
    import wave

    with wave.open(str(beckett)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    samples = load_audio(pcm, sample_rate=rate)
    assert np.array_equal(samples, load_audio(beckett))
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous


def test_a_file_object_is_read_from_where_it_stands(beckett):
    file = io.BytesIO(b"prefix" + beckett.read_bytes())
    file.seek(6)
    assert np.array_equal(load_audio(file), load_audio(beckett))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int8", [-128, 0, 64]),
        ("int16", [-32768, 0, 16384]),
        (">i2", [-32768, 0, 16384]),
        ("int32", [-(2**31), 0, 2**30]),
        ("uint8", [0, 128, 192]),
        ("uint16", [0, 32768, 49152]),
        ("float16", [-1, 0, 0.5]),
        ("float32", [-1, 0, 0.5]),
        ("float64", [-1, 0, 0.5]),
    ],
)
def test_integers_are_scaled_and_floats_taken_as_they_are(dtype, values):
    assert load_audio(np.array(values, dtype), sample_rate=16000).tolist() == [-1, 0, 0.5]


def test_channels_are_the_smaller_axis_and_mixed_to_their_mean():
    left, right = np.random.default_rng(0).normal(0, 0.1, (2, 1000)).astype(np.float32)
    stereo = np.stack([left, right])
    expected = (left + right) / 2
    np.testing.assert_allclose(load_audio(stereo, sample_rate=16000), expected, atol=1e-7)
    np.testing.assert_allclose(load_audio(stereo.T, sample_rate=16000), expected, atol=1e-7)
    np.testing.assert_array_equal(load_audio(left[:, None], sample_rate=16000), left)


def test_the_result_does_not_share_memory_with_the_array():
    array = np.ones(100, np.float32)
    assert not np.shares_memory(load_audio(array, sample_rate=16000), array)


def test_one_sample_is_enough_at_16_khz():
    assert load_audio(np.array([0.25], np.float32), sample_rate=16000).tolist() == [0.25]


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros(0, np.float32), 16000, "no sound, its length is zero"),
        (np.zeros((0, 2), np.float32), 16000, "no sound, its length is zero"),
        (np.zeros((2, 0), np.int16), 16000, "no sound, its length is zero"),
        (np.zeros(1, np.float32), 48000, "no sound, its length is zero"),
        (np.zeros((2, 2, 2)), 16000, r"shape \(2, 2, 2\) must be"),
        (np.zeros(()), 16000, r"shape \(\) must be"),
        (np.zeros((300, 400)), 16000, r"shape \(300, 400\) must be"),
        (np.zeros(9, complex), 16000, "its type is complex128"),
        (np.zeros(9, object), 16000, "its type is object"),
        (np.zeros(9, bool), 16000, "its type is bool"),
        (np.zeros(9, np.int64), 16000, "its type is int64; give int16"),
        (np.zeros(9), None, "sample_rate must be its rate in Hz, not None"),
        (np.zeros(9), "16000", "sample_rate must be its rate in Hz, not '16000'"),
        (np.zeros(9), 0, "a sample rate of 0 Hz is impossible; it must be 1000 to 1000000 Hz"),
        (np.zeros(9), -8000, "a sample rate of -8000 Hz is impossible"),
        (np.zeros(9), 999, "a sample rate of 999 Hz is impossible"),
        (np.zeros(9), 1_000_001, "Hz is impossible"),
        (np.zeros(9), float("nan"), "a sample rate of nan Hz is impossible"),
        (np.zeros(9), float("inf"), "a sample rate of inf Hz is impossible"),
    ],
)
def test_impossible_arrays_are_refused(array, rate, message):
    with pytest.raises(InvalidSamples, match=message):
        load_audio(array, sample_rate=rate)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_samples_that_are_no_numbers_are_counted_and_located(bad, rate):
    array = np.zeros((2 * rate, 2))
    array[rate // 2, 0] = array[rate, 1] = array[-1] = bad
    with pytest.raises(InvalidSamples) as caught:
        load_audio(array, sample_rate=rate)
    expected = f"3 of {2 * rate} samples are NaN, infinite or absurdly large, the first at 0.500 s"
    assert str(caught.value) == f"the given array: {expected}; export the recording again"


def test_only_arrays_take_a_rate(beckett):
    with pytest.raises(InvalidSamples, match="leave it out"):
        load_audio(beckett, sample_rate=16000)


def test_something_else_is_refused():
    with pytest.raises(InvalidSamples, match="cannot take sound from list: give a path"):
        load_audio([0.0, 0.1])


def test_missing_files_and_directories_are_not_found(tmp_path, beckett):
    with pytest.raises(AudioNotFound, match=r"nowhere\.wav: no such file$"):
        load_audio(tmp_path / "nowhere.wav")
    with pytest.raises(AudioNotFound, match=r"a directory; name the files in it$"):
        load_audio(tmp_path)
    with pytest.raises(AudioNotFound, match=r"no such file$"):
        load_audio(beckett / "inside.wav")
    with pytest.raises(AudioNotFound, match=r"^'': no such file$"):
        load_audio("")
    with pytest.raises(AudioNotFound, match="null byte"):
        load_audio("a\0b")
    with pytest.raises(AudioNotFound, match=r"/dev/zero: not a regular file$"):
        load_audio("/dev/zero")


def test_unreadable_files_say_why(tmp_path):
    with pytest.raises(AudioUnreadable, match=r"/proc/self/mem: cannot be read \(Input/output error\)"):
        load_audio("/proc/self/mem")
    with pytest.raises(AudioUnreadable, match="File name too long"):
        load_audio(tmp_path / ("a" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "secret.wav"
    path.write_bytes(b"RIFF")
    path.chmod(0)
    with pytest.raises(AudioUnreadable, match="Permission denied"):
        load_audio(path)


def test_text_streams_are_refused():
    with pytest.raises(AudioUnreadable, match="the given file object: gives str, not bytes; open it in binary mode"):
        load_audio(io.StringIO("text"))


def test_closed_streams_are_refused(monkeypatch):
    closed = io.BytesIO(b"data")
    closed.close()
    with pytest.raises(AudioUnreadable, match="the given file object: cannot be read"):
        load_audio(closed)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(AudioUnreadable, match=r"^standard input: closed"):
        load_audio("-")


def test_an_error_is_one_line_whatever_the_name(tmp_path):
    with pytest.raises(AudioError) as caught:
        load_audio(tmp_path / "two\nlines\udcff.wav")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
