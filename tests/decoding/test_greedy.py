"""Windows decoded greedily, with real weights on real speech."""

import pytest

from ttscribe.decoding import Prompt, Rules, decode_greedily
from ttscribe.devices import make_runner


def test_windows_of_one_batch_are_decoded_as_each_alone(tiny_en, windows):
    runner, tokenizer = make_runner("cpu", tiny_en.model), tiny_en.tokenizer
    tokens = tokenizer.prompt("en", "transcribe", timestamps=False)
    prompt = Prompt(tokens, tokens.index(tokenizer.sot), tokenizer.eot, tokenizer.no_speech)
    rules = Rules.of(tiny_en.suppress_tokens, tiny_en.begin_suppress_tokens, None)
    together = decode_greedily(runner, runner.start(runner.encode(windows)), prompt, rules, rows=2)
    assert len(together) == 2
    for ours, mel in zip(together, windows, strict=True):
        (alone,) = decode_greedily(runner, runner.start(runner.encode(mel[None])), prompt, rules)
        assert ours.tokens == alone.tokens
        assert tokenizer.eot not in ours.tokens
        assert ours.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-3)
        assert ours.no_speech_prob == pytest.approx(alone.no_speech_prob, abs=1e-3)
    assert "Fail again. Fail better." in tokenizer.decode(together[0].tokens)
    assert "It was the best of times" in tokenizer.decode(together[1].tokens)
