"""The search with beams beside OpenAI's own decoder: the same weights, the same features, the same tokens."""

import warnings

import pytest
import torch

from beams import rules_of
from golden.clips import Absent, clips
from quality_systems import openai_model
from ttscribe.audio import log_mel, window
from ttscribe.decoding import read_prompt, search_beams
from ttscribe.decoding.search import Prompt
from ttscribe.devices import make_runner

whisper = pytest.importorskip("whisper", reason="OpenAI's package (openai-whisper) is not installed: make env")
pytestmark = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture(scope="module")
def theirs(tiny_en):
    """OpenAI's model with the weights of tiny.en."""
    model = openai_model(tiny_en)
    with warnings.catch_warnings():
        # Its vocabulary, which it keeps from then on, is read from a file that it does not close.
        warnings.simplefilter("ignore", ResourceWarning)
        whisper.tokenizer.get_tokenizer(model.is_multilingual)
    return model


@pytest.fixture(scope="module")
def ours(tiny_en):
    """What decodes a window with timestamps under an option, as ``transcribe`` does."""
    tokenizer, runner = tiny_en.tokenizer, make_runner("cpu", tiny_en.model)
    tokens = tokenizer.prompt("en", "transcribe", timestamps=True)
    prompt = Prompt(tokens, tokens.index(tokenizer.sot), tokenizer.eot, tokenizer.no_speech)
    rules = rules_of(tiny_en)

    def decode(mel, **options):
        reading = read_prompt(runner, runner.start(runner.encode(mel[None])), prompt)
        (found,) = search_beams(runner, reading, prompt, rules, **options)
        return found

    return decode


@pytest.mark.parametrize(
    "options",
    [{"beam_size": 5}, {"beam_size": 3, "patience": 2.0}, {"beam_size": 2, "length_penalty": 1.0}],
    ids=["beam 5", "patience", "length penalty"],
)
@pytest.mark.parametrize("name", ["beckett", "en-quick_brown_fox"])
def test_beams_find_openais_text(ours, theirs, name, options):
    try:
        mel = window(log_mel(clips()[name].samples(), 80), 0)
    except Absent as error:
        pytest.skip(str(error))
    found = ours(mel, **options)
    wanted = whisper.decode(
        theirs, torch.from_numpy(mel), whisper.DecodingOptions(language="en", fp16=False, **options)
    )
    assert (found.tokens, found.avg_logprob, found.no_speech_prob) == (
        tuple(wanted.tokens),
        pytest.approx(wanted.avg_logprob, abs=1e-4),
        pytest.approx(wanted.no_speech_prob, abs=1e-4),
    )
