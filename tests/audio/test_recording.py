"""Recordings given window by window: the same features as of the whole, in memory that does not grow."""

import subprocess
import sys

import numpy as np
import pytest

from ttscribe.audio import WINDOW_FRAMES, features, listen, load_audio, log_mel, spool, window
from ttscribe.errors import AudioTooLong, OutputError


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("block", [6000, 1000, 7])
@pytest.mark.parametrize("clip", ["beckett", "two_cities"])
def test_windows_are_those_of_the_whole_recording(clip, bins, block, request, monkeypatch):
    """To the bit, on disk as in memory."""
    monkeypatch.setattr(features, "BLOCK_FRAMES", block)
    monkeypatch.setattr(spool, "HEAD_BYTES", 100_000)
    path = request.getfixturevalue(clip)
    samples = load_audio(path)
    mel = log_mel(samples, bins)
    recording = listen(path, bins)
    assert (recording.frames, recording.seconds) == (len(samples) // 160, len(samples) / 16000)
    for start in (0, 1, 950, 1437, mel.shape[1] - 1):
        assert np.array_equal(recording.window(start), window(mel, start))
        assert np.array_equal(recording.window(start, start + 500), window(mel[:, : start + 500], start))


def test_features_do_not_depend_on_the_pieces_in_which_sound_comes(two_cities):
    samples = load_audio(two_cities)
    whole = log_mel(samples, 80)
    for size in (1, 159, 200_000):
        blocks = []
        stream = features.LogPowerStream(80, blocks.append)
        for start in range(0, 500_000, size) if size > 1 else range(700):
            stream.add(samples[start : min(start + size, 500_000)])
        stream.finish()
        joined = np.concatenate(blocks)
        length = 500_000 if size > 1 else 700
        expected = log_mel(samples[:length], 80)
        assert np.array_equal(features.limit_range(joined, joined.max()).T, expected)
    assert whole.shape[1] > expected.shape[1]


def test_beyond_its_end_a_recording_has_zeros(beckett):
    recording = listen(beckett, 80)
    assert recording.window(WINDOW_FRAMES - 10)[:, :10].any()
    assert not recording.window(WINDOW_FRAMES - 10)[:, 10:].any()
    assert not recording.window(5000).any()


def test_samples_are_given_to_another_listener_too(beckett):
    pieces = []
    listen(beckett, 80, also=pieces.append)
    assert np.array_equal(np.concatenate(pieces), load_audio(beckett))


GROWTH = """
import io, resource, sys
import numpy as np
from ttscribe.audio import listen, load_audio, spool

class Again:
    def __init__(self, data, seconds):
        self.data, self.left = data, seconds * 64000
    def read(self, count):
        piece = self.data[: min(count, self.left)]
        self.left -= len(piece)
        return piece

spool.HEAD_BYTES = 1 << 20
data = load_audio(sys.argv[1])[: 1 << 14].tobytes()
for minutes in (2, 30):
    recording = listen(Again(data, 60 * minutes), 80, input_format="f32le", sample_rate=16000)
    recording.window(recording.frames - 3000)
    print(recording.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_recording(two_cities):
    """Whose features would take 58 MB for half an hour, and its samples 115 MB."""
    command = [sys.executable, "-c", GROWTH, two_cities]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (short, before), (long, after) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert (short, long) == (120, 1800)
    assert (after - before) / 1024 < 20


def test_a_full_disk_is_one_line(beckett, monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr("ttscribe.audio.recording.temporary_file", Full)
    with pytest.raises(OutputError, match=r"no room for a temporary file in .* \(No space left on device\); set"):
        listen(beckett, 80)


def test_what_goes_on_longer_than_allowed_is_refused(beckett):
    assert listen(beckett, 80, max_duration=10).seconds < 10
    with pytest.raises(AudioTooLong, match=r"longer than 5 s, the longest allowed; cut it, or allow more with max_dur"):
        listen(beckett, 80, max_duration=5)
    with pytest.raises(AudioTooLong, match="longer than 5 s"):
        listen(np.zeros(96_000, np.float32), 80, sample_rate=16_000, max_duration=5)
