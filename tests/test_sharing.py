"""One ``Transcriber`` for several threads and recordings, and its end."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from golden.clips import clips
from hearing import audio, expected, transcribed, words
from ttscribe.devices.torch_runner import TorchRunner
from ttscribe.errors import DeviceError, StateGone
from ttscribe.transcription import Transcriber

ENGLISH = pytest.mark.xdist_group("transcription, tiny.en")
MULTILINGUAL = pytest.mark.xdist_group("transcription, base")

NAMES = ("beckett", "en-counting", "en-quick_brown_fox")
CLOSED = "the Transcriber of tiny.en was closed: load the model again"


class Card(TorchRunner):
    """The CPU with a card's limits: one decoding, which the next one overwrites, and one thread at a time."""

    max_decodings = 1
    concurrent = False

    def __init__(self, model, *_):
        super().__init__(model)
        self.begun = None
        self.closed = 0

    def encode(self, mel):
        self.thread = threading.get_ident()
        self.begun = super().encode(mel)
        return self.begun

    def start(self, encoder_states):
        self.require_the_thread()
        if encoder_states is not self.begun:
            raise StateGone("encoder states: gone")
        return super().start(encoder_states)

    def decode_step(self, token, position, state):
        self.require_the_thread()
        return super().decode_step(token, position, state)

    def require_the_thread(self):
        assert threading.get_ident() == self.thread, "another thread has begun a window in the midst of this one"

    def close(self):
        self.closed += 1


@pytest.fixture
def card(monkeypatch):
    """A transcriber on a ``Card``."""

    def on_card(checkpoint):
        monkeypatch.setattr(
            "ttscribe.transcription.open_checkpoint", lambda _device, checkpoint, *_: Card(checkpoint.model)
        )
        return Transcriber(checkpoint)

    return on_card


def heard_by_threads(transcriber):
    def heard(name):
        return words(transcriber, transcribed(transcriber, name, timestamps=False)[0])

    with ThreadPoolExecutor(len(NAMES)) as threads:
        return [*threads.map(heard, NAMES)]


@ENGLISH
def test_threads_share_the_cpu(tiny_en):
    assert heard_by_threads(Transcriber(tiny_en)) == [expected("tiny.en", name).ids for name in NAMES]


@ENGLISH
def test_threads_take_turns_on_what_serves_one_at_a_time(tiny_en, card):
    assert heard_by_threads(card(tiny_en)) == [expected("tiny.en", name).ids for name in NAMES]


@MULTILINGUAL
def test_what_another_recording_has_overwritten_is_made_again(base, card):
    """Both languages are detected before either text is read: the device then holds the second recording only."""
    names = ("fr-bonjour_monde", "zh-nihao_shijie")
    shared = card(base)
    begun = [shared.transcribe(**audio(name), timestamps=False) for name in names]
    assert [each.info.language for each in begun] == [clips()[name].language for name in names]
    assert [words(shared, each.segments) for each in begun] == [expected("base", name).ids for name in names]


@ENGLISH
def test_a_with_block_frees_the_device_once(tiny_en, card):
    with card(tiny_en) as transcriber:
        assert transcriber.runner.closed == 0
    assert transcriber.runner.closed == 1


@ENGLISH
def test_a_with_block_frees_the_device_when_it_fails(tiny_en, card):
    transcriber = card(tiny_en)
    with pytest.raises(ZeroDivisionError), transcriber:
        _ = 1 / 0
    assert transcriber.runner.closed == 1


@ENGLISH
@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_a_closed_transcriber_says_so_and_may_be_closed_again(tiny_en, beckett, device):
    with Transcriber(tiny_en, device) as transcriber:
        pass
    transcriber.close()
    with pytest.raises(DeviceError, match=CLOSED):
        transcriber.transcribe(beckett)


@ENGLISH
def test_a_transcript_whose_transcriber_is_closed_ends_with_an_error(tiny_en, two_cities):
    with Transcriber(tiny_en) as transcriber:
        segments, _ = transcriber.transcribe(two_cities)
        first = next(segments)
    assert first.text.startswith("It was the best of times")
    with pytest.raises(DeviceError, match=CLOSED):
        list(segments)
