"""Silence at the end of a window, of which int8 encodes one position for four."""

import re

import numpy as np
import pytest

from ttscribe import DecodingOptions
from ttscribe.audio import load_audio
from ttscribe.decoding import WindowDecoder
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.condensing import Encoded, condensed
from ttscribe.errors import OptionError
from ttscribe.transcription import Transcriber

pytestmark = [
    pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}"),
    pytest.mark.xdist_group("int8"),
]

POSITIONS = 1500


@pytest.fixture(scope="module")
def transcriber(tiny_en):
    return Transcriber(tiny_en, precision="int8")


@pytest.fixture
def encoded(transcriber, monkeypatch):
    """The positions that each window is encoded in, as it comes."""
    positions, encode = [], transcriber.runner._encoded

    def noted(mel, groups):
        given = encode(mel, groups)
        positions.append(len(given.states))
        return given

    monkeypatch.setattr(transcriber.runner, "_encoded", noted)
    return positions


@pytest.fixture(scope="module")
def cities(beckett, two_cities):
    """10 s of sound and 6 of silence, which are a window; 35 s of sound: one that is full, and one of a few seconds."""
    return np.concatenate(
        [load_audio(beckett), np.zeros(6 * 16_000, np.float32), load_audio(two_cities)[: 35 * 16_000]]
    )


def correlated(ours, theirs):
    return np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]


def spoken(text):
    """Its words alone: how they are punctuated is a matter of little."""
    return re.sub(r"[^\w ]", "", text).casefold()


def text(transcriber, recording, **options):
    rate = 16_000 if isinstance(recording, np.ndarray) else None
    segments = transcriber.transcribe(recording, sample_rate=rate, **options).segments
    return spoken(" ".join(segment.text for segment in segments))


@pytest.mark.parametrize(
    ("frames", "groups"),
    # Sound, 50 positions after it, the last position, and four for each group; 15 s of sound at most.
    [(0, 362), (1, 362), (2, 362), (3, 361), (1000, 237), (1502, 174), (1503, 0), (3000, 0)],
)
def test_all_but_a_second_of_the_silence_is_condensed(frames, groups):
    mel = np.full((80, 3000), 0.25, np.float32)
    mel[3, :frames] = np.arange(frames)
    assert condensed(mel) == groups


def test_states_of_condensed_positions_are_those_of_all_of_them():
    states = np.array([[0.0], [1.0], [9.0], [5.0], [7.0]], np.float32)
    assert Encoded(states, 3).expanded()[:, 0].tolist() == [0, 1, 5, 5, 5, 5, 7, 7, 7, 7, 9]


@pytest.mark.parametrize("library", kernels.NEEDS, indirect=True)
def test_attention_to_condensed_states_is_that_to_each_of_their_positions(library, transcriber, tiny_en, windows):
    """By the encoder, whose states are given so that positions are alike, and by the decoder."""
    runner = transcriber.runner
    (states, single), groups = runner.encode_condensed(windows[:1])[0], condensed(windows[0])
    assert single == POSITIONS - 4 * groups
    assert groups > 150
    every = Encoded(states, single).expanded()
    prompt = np.array([tiny_en.tokenizer.prompt("en")])
    ours, theirs = (
        runner.prefill(prompt, runner.start([given]))[0, 0]
        for given in (Encoded(states, single), Encoded(every, POSITIONS))
    )
    assert correlated(ours, theirs) > 0.9999
    for given, alone in ((states, single), (every, POSITIONS)):
        kernels.library().ttscribe_encode(runner._pointer, given.ctypes.data, len(given), alone, 2)
    assert correlated(Encoded(states, single).expanded(), every) > 0.9999
    wrong = states.copy()
    kernels.library().ttscribe_encode(runner._pointer, wrong.ctypes.data, len(wrong), len(wrong), 2)
    kernels.library().ttscribe_encode(runner._pointer, states.ctypes.data, len(states), single, 2)
    assert correlated(wrong, states) < 0.9999


def test_encoder_states_are_nearly_those_of_the_whole_window(transcriber, windows):
    runner, heard = transcriber.runner, POSITIONS - 4 * condensed(windows[0]) - 1
    given = runner.encode_condensed(windows[:1]), runner.encode(windows[:1])
    ours, theirs = (runner.encoder_states(each)[0] for each in given)
    assert ours.shape == theirs.shape == (POSITIONS, 384)
    assert correlated(ours[:heard], theirs[:heard]) > 0.997
    assert correlated(ours[-1], theirs[-1]) > 0.99


def test_a_short_recording_has_the_text_of_the_whole_window(transcriber, encoded, beckett):
    whole = text(transcriber, beckett, window="full")
    assert encoded == [POSITIONS]
    assert text(transcriber, beckett) == whole
    assert encoded[1:] == [POSITIONS - 3 * ((1449 - round(50 * len(load_audio(beckett)) / 16_000)) // 4)]


def test_of_a_long_recording_the_last_window_is_condensed(transcriber, encoded, tiny_en, cities):
    """Beside float32: 8 bits decide a near tie of this recording's full windows otherwise on some CPUs."""
    assert text(transcriber, cities) == text(Transcriber(tiny_en, precision="float32"), cities)
    assert encoded[0] == POSITIONS > encoded[-1]


def test_windows_of_a_batch_are_condensed_each_by_itself(transcriber, encoded, cities):
    whole = text(transcriber, cities, batch_size=4, window="full")
    assert set(encoded) == {POSITIONS}
    del encoded[:]
    assert text(transcriber, cities, batch_size=4) == whole
    assert len(set(encoded)) > 1


def test_words_of_a_condensed_window_have_their_times(transcriber, encoded, beckett):
    def words(window):
        segments = transcriber.transcribe(beckett, window=window, word_timestamps=True).segments
        return [word for segment in segments for word in segment.words]

    pairs = list(zip(words("auto"), words("full"), strict=True))
    assert min(encoded) < POSITIONS
    assert all(spoken(ours.text) == spoken(theirs.text) for ours, theirs in pairs)
    assert all(abs(ours.start - theirs.start) <= 0.1 for ours, theirs in pairs)


@pytest.mark.parametrize("doubt", ["_repeats", "_may_be_silence"])
@pytest.mark.parametrize("size", [1, 4])
def test_a_doubtful_text_is_decoded_of_the_whole_window(transcriber, encoded, cities, monkeypatch, doubt, size):
    whole = text(transcriber, cities, window="full", batch_size=size)
    asked, answer = [], getattr(WindowDecoder, doubt)

    def first_time(decoder, given):
        asked.append(given)
        # Every text is doubted, but for those of windows that are encoded in whole by now.
        return min(encoded[-1:]) < POSITIONS or answer(decoder, given)

    del encoded[:]
    monkeypatch.setattr(WindowDecoder, doubt, first_time)
    assert text(transcriber, cities, batch_size=size) == whole
    assert asked
    assert min(encoded) < POSITIONS == encoded[-1]


@pytest.mark.parametrize("name", ["ps-cards-001.flac", "ast-en-vm-tocallnum.flac"])
def test_commands_that_would_loop_in_a_short_window_do_not(transcriber, speech, encoded, name):
    """Encoded as windows of 5 s these give 377 and 443 words."""
    recording = speech / "audio" / name
    assert text(transcriber, recording) == text(transcriber, recording, window="full")
    assert min(encoded) < POSITIONS


def test_nothing_is_condensed_in_float32(tiny_en, beckett):
    float32 = Transcriber(tiny_en)
    assert not float32.runner.condenses(np.zeros((80, 3000), np.float32))
    plain = DecodingOptions.plain()
    assert text(float32, beckett, options=plain) == text(float32, beckett, options=plain, window="full")


def test_another_word_is_refused(transcriber, beckett):
    with pytest.raises(OptionError, match="window must be auto or full, not 'short'"):
        transcriber.transcribe(beckett, window="short")
