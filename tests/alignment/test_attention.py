"""The pass over a known text: real weights on real speech, against Hugging Face's model and its own token times."""

import pytest
import torch

from oracle import hugging_face
from ttscribe.alignment.attention import alignment_heads, attend
from ttscribe.whisper.config import WhisperConfig

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")

TEXT = " Ever tried, ever failed. No matter, try again."
POSITIONS = 400  # 8 s


@pytest.fixture(scope="module")
def attended(tiny_en, windows):
    """What ours makes of the first seconds, and what Hugging Face's makes of the same tokens."""
    tokenizer, heads = tiny_en.tokenizer, tiny_en.alignment_heads
    tokens = torch.tensor([*tokenizer.prompt("en", timestamps=False), *tokenizer.encode(TEXT), tokenizer.eot])
    heard = torch.from_numpy(windows[:1])
    with torch.inference_mode():
        states = tiny_en.model.encode(heard)[0]
        theirs = hugging_face(tiny_en.model, attn_implementation="eager")(
            heard, decoder_input_ids=tokens[None], output_attentions=True
        )
    return attend(tiny_en.model.decoder, tokens, states, heads, POSITIONS), theirs, heads


def test_logits_are_hugging_faces(attended):
    (_, logits), theirs, _ = attended
    torch.testing.assert_close(logits, theirs.logits[0], rtol=1e-3, atol=1e-3)


def test_salience_is_made_of_hugging_faces_attention(attended):
    """Weights among the first positions, standardised over the tokens, filtered in time, and the mean of the heads."""
    (salience, _), theirs, heads = attended
    weights = torch.stack([theirs.cross_attentions[layer][0, head, :, :POSITIONS] for layer, head in heads])
    weights = weights / weights.sum(-1, keepdim=True)
    standard = (weights - weights.mean(-2, keepdim=True)) / weights.std(-2, keepdim=True, correction=0)
    mirrored = torch.nn.functional.pad(standard, (3, 3), mode="reflect")
    expected = mirrored.unfold(-1, 7, 1).median(-1).values.mean(0)
    torch.testing.assert_close(salience, expected, rtol=1e-2, atol=1e-2)


def test_heads_that_the_model_lacks_are_another_models():
    """A distilled checkpoint with its teacher's list: as where none is given, the upper half of the layers aligns."""
    distilled = WhisperConfig.named("distil-large-v3")
    upper = [(1, head) for head in range(20)]
    assert alignment_heads(distilled, [(7, 0), (10, 17), (1, 3)]) == upper
    assert alignment_heads(distilled, None) == upper
    assert alignment_heads(distilled, [(1, 3)]) == [(1, 3)]
