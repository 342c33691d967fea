"""The projection without its mean, with the weights of base, on what the model makes of real speech."""

import pytest
import torch
from torch.nn import functional

from ttscribe.compiler.vocabulary import Logits, centred, whole_logits


@pytest.fixture(scope="module")
def spoken(base, windows):
    """The model, and what it projects to logits after each token of a prompt, for a recording."""
    model = base.model
    prompt = torch.tensor([base.tokenizer.prompt("en", "transcribe", timestamps=True)])
    with torch.no_grad():
        cross = model.cross_kv(model.encode(torch.from_numpy(windows[:1])))
        states = model.prompt_states(prompt, model.new_state(cross))
        parts = Logits(model).prefill(prompt, model.new_state(cross), torch.tensor([0, 2]))
        yield model, states, model.prefill(prompt, model.new_state(cross)), parts


def test_whole_logits_are_the_models(spoken):
    _, _, logits, parts = spoken
    torch.testing.assert_close(whole_logits(parts), logits[:, [0, 2]], rtol=0, atol=1e-4)


def test_in_bfloat16_weights_without_the_mean_leave_logits_nearer_to_float32s(spoken):
    model, states, logits, _ = spoken
    # What all logits have in common is nobody's business.
    noise = [
        (_less_their_mean(functional.linear(states, weight.bfloat16().float())) - _less_their_mean(logits)).norm()
        for weight in (model.decoder.embed_tokens.weight, centred(model)[0])
    ]
    assert noise[1] < noise[0] / 2


def _less_their_mean(logits):
    return logits - logits.mean(-1, keepdim=True)
