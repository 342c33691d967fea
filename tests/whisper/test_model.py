"""Our model against Hugging Face's, with the same weights."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from oracle import hugging_face
from ttscribe.audio import load_audio, log_mel
from ttscribe.whisper.checkpoints import Checkpoint
from ttscribe.whisper.config import SIZES, WhisperConfig
from ttscribe.whisper.model import WhisperModel, random_model

TOKENS = [50257, 50362, 770, 318, 257, 1332, 13]


def agree(ours: Tensor, theirs: Tensor) -> None:
    """Equal to fp32 rounding: within 1e-4 of the largest magnitude."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def features(recording, bins: int) -> Tensor:
    return torch.from_numpy(log_mel(load_audio(recording), bins))[None]


def compare(model: WhisperModel, mel: Tensor) -> None:
    theirs, tokens = hugging_face(model), torch.tensor([TOKENS])
    with torch.inference_mode():
        expected = theirs(mel, decoder_input_ids=tokens)
        states = model.encode(mel)
        agree(states, expected.encoder_last_hidden_state)
        state = model.new_state(model.cross_kv(states))
        agree(model.prefill(tokens[:, :4], state), expected.logits[:, :4])
        for position in range(4, len(TOKENS)):
            logits = model.decode_step(tokens[:, position], torch.tensor([position]), state)
            agree(logits, expected.logits[:, position])


@pytest.mark.parametrize("checkpoint", ["tiny_en", "base"])
def test_real_weights_give_hugging_faces_states_and_logits(checkpoint, beckett, request):
    model = request.getfixturevalue(checkpoint).model
    compare(model, features(beckett, model.config.num_mel_bins))


def test_the_width_of_distil_large_v3_gives_hugging_faces_states_and_logits(beckett):
    """With 6 of its 32 encoder layers, which are alike: all of them take more than a minute."""
    model = random_model(replace(WhisperConfig.named("distil-large-v3"), encoder_layers=6), seed=1)
    compare(model, features(beckett, 128))


def test_sequences_of_a_batch_may_be_at_different_positions(tiny_en: Checkpoint, beckett):
    model, mel = tiny_en.model, features(beckett, 80)
    with torch.inference_mode():
        cross = model.cross_kv(model.encode(mel))
        alone = [model.new_state(cross) for _ in range(2)]
        expected = [model.prefill(torch.tensor([TOKENS[:length]]), alone[i])[0, -1] for i, length in enumerate((4, 6))]
        both = model.new_state([type(kv)(*(part.expand(2, -1, -1, -1) for part in kv)) for kv in cross])
        for i, kv in enumerate(both.self_attention):
            for row, state in enumerate(alone):
                for ours, theirs in zip(kv, state.self_attention[i], strict=True):
                    ours[row] = theirs[0]
        logits = model.decode_step(torch.tensor([TOKENS[3], TOKENS[5]]), torch.tensor([3, 5]), both)
    for row in range(2):
        agree(logits[row], expected[row])


def test_decode_step_writes_only_its_slot(tiny_en: Checkpoint, beckett):
    model = tiny_en.model
    with torch.inference_mode():
        state = model.new_state(model.cross_kv(model.encode(features(beckett, 80))))
        model.decode_step(torch.tensor([50257]), torch.tensor([7]), state)
    for cache in state.self_attention:
        written = cache.key.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        assert written.tolist() == [7]


class Programs(torch.nn.Module):
    """One program of a model, as ``torch.export`` wants it: a module's forward."""

    def __init__(self, model: WhisperModel, program: str) -> None:
        super().__init__()
        self.model, self.program = model, program

    def forward(self, *arguments):
        return getattr(self.model, self.program)(*arguments)


@pytest.mark.parametrize("program", ["encode", "cross_kv", "prefill", "decode_step"])
def test_programs_export_and_the_export_computes_the_same(program, tiny_en: Checkpoint):
    model = tiny_en.model
    with torch.no_grad():
        states = model.encode(torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0)))
        fresh = lambda: model.new_state(model.cross_kv(states))  # noqa: E731
        arguments = {
            "encode": lambda: (torch.zeros(1, 80, 3000),),
            "cross_kv": lambda: (states,),
            "prefill": lambda: (torch.tensor([TOKENS]), fresh()),
            "decode_step": lambda: (torch.tensor([50257]), torch.tensor([0]), fresh()),
        }[program]
        exported = torch.export.export(Programs(model, program), arguments()).module()
        ours, theirs = getattr(model, program)(*arguments()), exported(*arguments())
    for left, right in zip(torch.utils._pytree.tree_leaves(ours), torch.utils._pytree.tree_leaves(theirs), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-4)


def test_exported_decode_step_takes_any_position(tiny_en: Checkpoint):
    model = tiny_en.model
    with torch.no_grad():
        state = model.new_state(model.cross_kv(torch.randn(1, 1500, 384, generator=torch.Generator().manual_seed(0))))
        first = torch.tensor([50257]), torch.tensor([0])
        exported = torch.export.export(Programs(model, "decode_step"), (*first, state)).module()
        exported(*first, state)
        after = exported(torch.tensor([50362]), torch.tensor([1]), state)
        expected = model.prefill(torch.tensor([[50257, 50362]]), model.new_state(state.cross_attention))[:, -1]
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-3)


# From the model cards: parameters in millions, the tied projection counted once.
PARAMETERS = {
    "tiny": 39,
    "base": 74,
    "small": 244,
    "medium": 769,
    "large-v3": 1550,
    "large-v3-turbo": 809,
    "distil-large-v3": 756,
}


@pytest.mark.parametrize(("size", "millions"), PARAMETERS.items())
def test_every_published_size_has_its_published_parameters(size, millions):
    with torch.device("meta"):
        model = WhisperModel(SIZES[size])
    counted = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert counted == pytest.approx(millions, rel=0.04)


def test_random_weights_repeat_by_seed():
    config = WhisperConfig(51865, 80, 64, 1, 2, 128, 1, 2, 128)
    first, again, other = (random_model(config, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])
