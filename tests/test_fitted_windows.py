"""Windows that are encoded as less than 30 s, and that come to the text of 30 s where that is better."""

import re

import pytest

from ttscribe import DecodingOptions
from ttscribe.audio import load_audio
from ttscribe.decoding import WindowDecoder
from ttscribe.devices.cpu import kernels
from ttscribe.errors import OptionError
from ttscribe.transcription import Transcriber
from ttscribe.windows import fitted_frames

pytestmark = [
    pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}"),
    pytest.mark.xdist_group("int8"),
]

FULL = 3000


@pytest.fixture(scope="module")
def transcriber(tiny_en):
    return Transcriber(tiny_en, precision="int8")


@pytest.fixture
def encoded(transcriber, monkeypatch):
    """The frames of each window that is encoded, as it comes."""
    frames, encode = [], transcriber.runner.encode

    def noted(mel):
        frames.append(mel.shape[-1])
        return encode(mel)

    monkeypatch.setattr(transcriber.runner, "encode", noted)
    return frames


def spoken(text):
    """Its words alone: how they are punctuated is a matter of little."""
    return re.sub(r"[^\w ]", "", text).casefold()


def text(transcriber, recording, **options):
    return spoken(" ".join(segment.text for segment in transcriber.transcribe(recording, **options).segments))


@pytest.mark.parametrize(("frames", "encoded"), [(1, 1024), (400, 1024), (1000, 1536), (2400, 2944), (2500, 3008)])
def test_a_window_has_silence_after_its_sound(frames, encoded):
    assert fitted_frames(frames) == encoded


def test_a_short_recording_is_encoded_as_what_it_is(transcriber, encoded, beckett):
    full = text(transcriber, beckett)
    assert encoded == [FULL]
    assert text(transcriber, beckett, window="auto") == full
    assert encoded[1:] == [fitted_frames(round(100 * len(load_audio(beckett)) / 16_000))]


def test_of_a_long_recording_only_what_is_no_full_window_is_shortened(transcriber, encoded, tiny_en, two_cities):
    """Beside float32: 8 bits decide a near tie of this recording's full windows otherwise on some CPUs."""
    assert text(transcriber, two_cities, window="auto") == text(Transcriber(tiny_en, precision="float32"), two_cities)
    assert encoded[0] == FULL
    assert min(encoded) < FULL


def test_words_of_a_shortened_window_have_their_times(transcriber, encoded, beckett):
    def words(window):
        segments = transcriber.transcribe(beckett, window=window, word_timestamps=True).segments
        return [word for segment in segments for word in segment.words]

    pairs = list(zip(words("auto"), words("full"), strict=True))
    assert min(encoded) < FULL
    assert all(spoken(ours.text) == spoken(theirs.text) for ours, theirs in pairs)
    assert all(abs(ours.start - theirs.start) <= 0.1 for ours, theirs in pairs)


def test_a_doubtful_text_is_decoded_of_the_full_window(transcriber, encoded, beckett, monkeypatch):
    full = text(transcriber, beckett)
    monkeypatch.setattr(WindowDecoder, "_is_suspect", lambda *_: True)
    assert text(transcriber, beckett, window="auto") == full
    assert encoded[1:] == [encoded[1], FULL]


@pytest.mark.parametrize("name", ["ps-cards-001.flac", "ast-en-vm-tocallnum.flac"])
def test_commands_that_would_loop_come_out_right(transcriber, speech, encoded, name):
    """Without a second look the short windows of these give 377 and 443 words."""
    recording = speech / "audio" / name
    assert text(transcriber, recording, window="auto") == text(transcriber, recording)
    assert min(encoded) < FULL


def test_without_guards_and_in_float32_windows_are_full(transcriber, encoded, tiny_en, beckett, monkeypatch):
    text(transcriber, beckett, window="auto", options=DecodingOptions.plain())
    assert encoded == [FULL]
    float32, frames = Transcriber(tiny_en), []
    encode = float32.runner.encode
    monkeypatch.setattr(float32.runner, "encode", lambda mel: frames.append(mel.shape[-1]) or encode(mel))
    text(float32, beckett, window="auto")
    assert frames == [FULL]


def test_another_word_is_refused(transcriber, beckett):
    with pytest.raises(OptionError, match="window must be auto or full, not 'short'"):
        transcriber.transcribe(beckett, window="short")
