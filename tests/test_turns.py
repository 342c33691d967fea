"""Recordings that share a model on a device of one decoding and one thread at a time, as a card is."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ttscribe import DecodingOptions, transcription
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.decoding import LAST
from ttscribe.devices.torch_runner import TorchRunner
from ttscribe.errors import StateGone
from ttscribe.transcription import Transcriber

THREADS = 3


class OneDecoding(TorchRunner):
    """The CPU with a card's limits, which are checked at every call."""

    max_decodings = 1
    concurrent = False

    def __init__(self, model):
        super().__init__(model)
        self.encoded = self.started = self.user = None
        self.encodes, self.gone = 0, 0

    def encode(self, mel):
        self.user = threading.get_ident()
        self.encodes += 1
        self.encoded = super().encode(mel)
        return self.encoded

    def start(self, encoder_states):
        if encoder_states is not self.encoded:
            self.gone += 1
            raise StateGone("encoder states: gone")
        self.user = threading.get_ident()
        self.started = super().start(encoder_states)
        return self.started

    def prefill(self, tokens, state, rows=LAST):
        self._require(state)
        return super().prefill(tokens, state, rows)

    def decode_step(self, token, position, state):
        self._require(state)
        return super().decode_step(token, position, state)

    def _require(self, state):
        if state is not self.started or threading.get_ident() != self.user:
            raise StateGone("decoder state: gone")


@pytest.fixture
def transcriber(base, monkeypatch):
    """A model of many languages: it listens to each recording's first window before it decodes it."""
    monkeypatch.setattr(transcription, "open_checkpoint", lambda device, checkpoint, *_: OneDecoding(checkpoint.model))
    return Transcriber(base)


def texts(segments):
    return [segment.text for segment in segments]


@pytest.fixture(scope="module")
def recordings(beckett, two_cities):
    """Two, of 10 s and of 15 s."""
    return load_audio(beckett), load_audio(two_cities)[: 15 * SAMPLE_RATE]


def heard(transcriber, recording, **options):
    return transcriber.transcribe(recording, sample_rate=SAMPLE_RATE, **options)


@pytest.fixture(scope="module")
def said(base, recordings):
    """What is said in the recordings, each decoded with nothing else going on."""
    return [texts(heard(Transcriber(base), recording).segments) for recording in recordings]


def test_a_recording_whose_encoder_states_another_took_is_encoded_again(transcriber, said, recordings):
    """Without guards, which encode parts of a window that may be silent."""
    plain = DecodingOptions.plain()
    first, second = (heard(transcriber, recording, options=plain) for recording in recordings)
    assert transcriber.runner.encodes == 2
    assert [texts(first.segments), texts(second.segments)] == said
    assert transcriber.runner.gone == 2  # each recording's first window: the other was listened to, or decoded, since


def test_threads_take_turns(transcriber, said, recordings):
    together = threading.Barrier(THREADS)

    def transcribed(recording):
        together.wait()
        return texts(heard(transcriber, recording).segments)

    with ThreadPoolExecutor(THREADS) as threads:
        ours = list(threads.map(transcribed, [*recordings, recordings[0]]))
    assert ours == [said[0], said[1], said[0]]
