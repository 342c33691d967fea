"""Recordings that wait for one device at the same time, and are decoded together when it is free."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ttscribe import DecodingOptions, transcription
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.decoding import WindowDecoder
from ttscribe.devices.torch_runner import TorchRunner
from ttscribe.errors import DeviceUnavailable, ModelError
from ttscribe.transcription import Transcriber


class OneAtATime(TorchRunner):
    """The CPU with a card's limits: a thread at a time, one decoding of up to three rows. Notes how many each has."""

    max_decodings = 1
    concurrent = False
    max_batch = 3

    def __init__(self, model):
        super().__init__(model)
        self.windows = []

    def encode(self, mel):
        self.windows.append(len(mel))
        return super().encode(mel)


@pytest.fixture
def transcriber(tiny_en, monkeypatch):
    monkeypatch.setattr(transcription, "open_checkpoint", lambda _, checkpoint, *__: OneAtATime(checkpoint.model))
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def recordings(beckett, two_cities):
    """Three, of a window each."""
    cities = load_audio(two_cities)
    return load_audio(beckett), cities[: 15 * SAMPLE_RATE], cities[15 * SAMPLE_RATE : 24 * SAMPLE_RATE]


def told(transcriber, recording, **options):
    """Text and times of each segment, and of its words."""
    segments = transcriber.transcribe(recording, sample_rate=SAMPLE_RATE, **options).segments
    return [(part.text, part.start, part.end, part.words) for part in segments]


@pytest.fixture(scope="module")
def alone(tiny_en, recordings):
    return [told(Transcriber(tiny_en), recording) for recording in recordings]


def together(transcriber, recordings, *options):
    """What is told of each, whose first windows all wait before any of them is decoded; or the error that it met."""

    def attempt(recording, its):
        try:
            return told(transcriber, recording, **its)
        except (DeviceUnavailable, ModelError) as error:
            return error

    gathering = transcriber._gathering
    with ThreadPoolExecutor(len(recordings)) as threads:
        with transcriber._turn():
            tasks = [threads.submit(attempt, *each) for each in zip(recordings, options, strict=True)]
            deadline = time.monotonic() + 60
            while len(gathering._waiting) < len(recordings) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(gathering._waiting) == len(recordings)
        return [task.result() for task in tasks]


def test_windows_that_wait_are_decoded_as_one_batch_and_each_as_alone(transcriber, recordings, alone):
    assert together(transcriber, recordings, {}, {}, {}) == alone
    assert transcriber.runner.windows == [3]


def test_no_more_go_together_than_the_device_has_rows_for(transcriber, recordings, alone):
    four = [*recordings, recordings[0]]
    assert together(transcriber, four, {}, {}, {}, {}) == [*alone, alone[0]]
    assert sorted(transcriber.runner.windows) == [1, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"timestamps": False},
        {"word_timestamps": True},
        {"options": DecodingOptions(initial_prompt="Of the worst of times.")},
        {"options": DecodingOptions(temperature=0.2)},
    ],
    ids=["text", "words", "prompt", "temperature"],
)
def test_a_window_that_is_decoded_in_another_way_is_by_itself(transcriber, tiny_en, recordings, alone, other):
    theirs = told(Transcriber(tiny_en), recordings[2], **other)
    assert together(transcriber, recordings, {}, {}, other) == [*alone[:2], theirs]
    assert sorted(transcriber.runner.windows) == [1, 2]


def test_words_of_windows_that_went_together_have_their_times(transcriber, tiny_en, recordings):
    words = {"word_timestamps": True}
    expected = [told(Transcriber(tiny_en), recording, **words) for recording in recordings[:2]]
    assert together(transcriber, recordings[:2], words, words) == expected
    assert transcriber.runner.windows == [2]


def test_what_fails_together_is_decoded_alone(transcriber, recordings, alone, monkeypatch):
    decode, failing = WindowDecoder.decode, threading.Event()

    def fail(*_):
        failing.set()
        raise ModelError("the model's output is not a number")

    def decode_but_one(decoder, window, prompt, seed):
        return fail() if window.frames == 1500 else decode(decoder, window, prompt, seed)

    monkeypatch.setattr(WindowDecoder, "decode_together", fail)
    monkeypatch.setattr(WindowDecoder, "decode", decode_but_one)
    first, second, third = together(transcriber, recordings, {}, {}, {})
    assert failing.is_set()
    assert [first, third] == [alone[0], alone[2]]
    assert isinstance(second, ModelError)


def test_a_device_that_is_closed_meanwhile_is_told_to_all(transcriber, recordings, monkeypatch):
    closing = transcriber._turn

    def close_first():
        transcriber._closed = True
        return closing()

    monkeypatch.setattr(transcriber._gathering, "turn", close_first)
    errors = together(transcriber, recordings, {}, {}, {})
    assert [type(error) for error in errors] == [DeviceUnavailable] * 3
    assert transcriber._gathering._waiting == []
