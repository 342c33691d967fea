"""Whisper in plain torch: one module, four fixed-shape programs, and the state that they share.

    encode(mel)                          once per 30 s window
    cross_kv(encoder_states)             once per window: the keys and values that every decode step attends to
    prefill(tokens, state, rows)         once per window: the prompt
    decode_step(token, position, state)  once per token

The programs have no data-dependent Python, so each passes ``torch.export``. The self-attention cache is allocated at
its full length and written in place at tensor positions. Parameters carry Hugging Face's names.

Shapes use B batch, T tokens, S = max_source_positions (1500), C = max_target_positions (448), D = d_model, H heads,
E = D / H, V vocab_size.
"""

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ttscribe.whisper.config import WhisperConfig


class KeyValue(NamedTuple):
    """Keys and values of one attention layer, each [B, H, length, E]."""

    key: Tensor
    value: Tensor


class DecoderState(NamedTuple):
    """What one decoding carries from step to step, a pair per decoder layer.

    ``self_attention`` [B, H, C, E] is written in place; ``cross_attention`` [B, H, S, E] is only read.
    """

    self_attention: list[KeyValue]
    cross_attention: list[KeyValue]

    def part(self, rows: Tensor | slice) -> "DecoderState":
        """The state of some rows: of a slice the same memory, of indices a copy."""
        return DecoderState(*([KeyValue(*(each[rows] for each in pair)) for pair in pairs] for pairs in self))


class Attention(nn.Module):
    """Multi-head attention with Whisper's biases: on the query, value and output projections, not on the key.

    A bias of the keys would add one number to all scores of a query, which softmax takes out again.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def split(self, states: Tensor) -> Tensor:
        """[B, T, D] to [B, H, T, E]."""
        batch, length, width = states.shape
        return states.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def key_value(self, states: Tensor) -> KeyValue:
        """[B, T, D] to keys and values [B, H, T, E]."""
        return KeyValue(self.split(self.k_proj(states)), self.split(self.v_proj(states)))

    def forward(self, states: Tensor, memory: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Attend from ``states`` [B, T, D] to ``memory`` [B, H, length, E]: [B, T, D].

        ``mask`` is True where attention is allowed, and broadcasts to [B, H, T, length]; None allows it everywhere.
        """
        # Scores are divided by the root of E here, where OpenAI's code divides queries and keys by its fourth root
        # before, and Hugging Face's the queries by the square root: equal but for rounding.
        query = self.split(self.q_proj(states))
        attended = functional.scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each on normalised states and added to what came in."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        # PyTorch's epsilon, 1e-5, is Whisper's; TT-NN's own is 1e-12, and must be told.
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, ffn)
        self.fc2 = nn.Linear(ffn, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def feed_forward(self, states: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        # The exact GELU: the approximation by tanh, which GPT-2 has, is another function.
        hidden = functional.gelu(self.fc1(self.final_layer_norm(states)))
        return states + self.fc2(hidden)  # type: ignore[no-any-return]

    def forward(self, states: Tensor) -> Tensor:
        """[B, S, D] to [B, S, D]."""
        normed = self.self_attn_layer_norm(states)
        states = states + self.self_attn(normed, self.self_attn.key_value(normed))
        return self.feed_forward(states)


class DecoderLayer(EncoderLayer):
    """An encoder's layer with attention to the encoder's states in the middle."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__(width, heads, ffn)
        self.encoder_attn = Attention(width, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)

    def step(self, states: Tensor, positions: Tensor, mask: Tensor, cache: KeyValue, cross: KeyValue) -> Tensor:
        """One layer for ``states`` [B, T, D]: [B, T, D].

        The new keys and values are written into ``cache`` [B, H, C, E] at ``positions`` [B, T]; attention is
        then to all of it under ``mask`` [B, 1, T, C], and to all of ``cross`` [B, H, S, E].
        """
        normed = self.self_attn_layer_norm(states)
        # Positions are a tensor: as Python numbers they would be part of the captured program, one for each position.
        for slots, new in zip(cache, self.self_attn.key_value(normed), strict=True):
            slots.scatter_(2, positions[:, None, :, None].expand_as(new), new)
        states = states + self.self_attn(normed, cache, mask)
        states = states + self.encoder_attn(self.encoder_attn_layer_norm(states), cross)
        return self.feed_forward(states)


def _embedding(count: int, width: int) -> nn.Embedding:
    """A table that is not filled: torch's own filling of a meta tensor imports its compiler, which takes seconds."""
    return nn.Embedding(count, width, _weight=torch.empty(count, width))


class Encoder(nn.Module):
    """Two convolutions, the second of which halves the number of frames, then the layers."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width, heads, ffn = config.d_model, config.encoder_attention_heads, config.encoder_ffn_dim
        # 3000 frames of 10 ms stay 3000, and become 1500 positions of 20 ms: the step of Whisper's timestamps.
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        # Sinusoids, but checkpoints carry them, rounded as the other weights are: they are read and not computed.
        self.embed_positions = _embedding(config.max_source_positions, width)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, ffn) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        """[B, num_mel_bins, 2 S] to [B, S, D]."""
        states = functional.gelu(self.conv2(functional.gelu(self.conv1(mel))))
        states = states.transpose(1, 2) + self.embed_positions.weight
        for layer in self.layers:
            states = layer(states)
        return self.layer_norm(states)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Token and position embeddings, the layers, and the projection to the vocabulary."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width, heads, ffn = config.d_model, config.decoder_attention_heads, config.decoder_ffn_dim
        self.embed_tokens = _embedding(config.vocab_size, width)
        self.embed_positions = _embedding(config.max_target_positions, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, ffn) for _ in range(config.decoder_layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, positions: Tensor, state: DecoderState) -> Tensor:
        """Tokens [B, T] at ``positions`` [B, T] to logits [B, T, V]; writes into ``state``."""
        return self.logits(self.states(tokens, positions, state))

    def logits(self, states: Tensor) -> Tensor:
        """[..., D] to [..., V]."""
        # The projection is tied to the token embedding and has no bias.
        return functional.linear(states, self.embed_tokens.weight)

    def states(self, tokens: Tensor, positions: Tensor, state: DecoderState) -> Tensor:
        """Tokens [B, T] at ``positions`` [B, T] to what logits are projected from [B, T, D]; writes into ``state``."""
        states = self.embed_tokens(tokens) + self.embed_positions(positions)
        slots = torch.arange(self.embed_positions.num_embeddings, device=tokens.device)
        # What is not written yet is zeros, and a score of zero is not no score: without the mask it would take part.
        # The same comparison keeps a prompt's tokens from seeing those after them.
        mask = (slots <= positions[..., None])[:, None]
        for layer, cache, cross in zip(self.layers, state.self_attention, state.cross_attention, strict=True):
            states = cast("DecoderLayer", layer).step(states, positions, mask, cache, cross)
        return self.layer_norm(states)  # type: ignore[no-any-return]


class WhisperModel(nn.Module):
    """Whisper of any size. Use under ``torch.inference_mode()`` or ``torch.no_grad()``."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights, and of the states that the programs pass on."""
        return self.decoder.embed_tokens.weight.dtype

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel window [B, num_mel_bins, 2 S] to encoder states [B, S, D]."""
        return self.encoder(mel)  # type: ignore[no-any-return]

    def cross_kv(self, encoder_states: Tensor) -> list[KeyValue]:
        """Encoder states [B, S, D] to each decoder layer's keys and values [B, H, S, E]."""
        # They depend on the encoder alone: computed in each step they would cost more than all else in it.
        return [cast("DecoderLayer", layer).encoder_attn.key_value(encoder_states) for layer in self.decoder.layers]

    def new_state(self, cross_attention: list[KeyValue]) -> DecoderState:
        """An empty cache beside ``cross_attention``, on its device and of its dtype."""
        like = cross_attention[0].key
        shape = (*like.shape[:2], self.config.max_target_positions, like.shape[-1])
        return DecoderState(
            [KeyValue(like.new_zeros(shape), like.new_zeros(shape)) for _ in cross_attention], cross_attention
        )

    def prefill(self, tokens: Tensor, state: DecoderState, rows: Tensor | None = None) -> Tensor:
        """Tokens [B, T] from position 0 on to logits [B, T, V]; of ``rows`` [R] alone [B, R, V]."""
        return self.decoder.logits(self.prompt_states(tokens, state, rows))

    def prompt_states(self, tokens: Tensor, state: DecoderState, rows: Tensor | None = None) -> Tensor:
        """What ``prefill`` projects to logits: [B, T, D], or with ``rows`` [R] [B, R, D].

        The first T slots of the cache are written. What stands after a prompt, to fill T up, changes nothing of the
        rows before it, and its slots are written again before they are read.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        states = self.decoder.states(tokens, positions, state)
        return states if rows is None else states.index_select(1, rows)

    def decode_step(self, token: Tensor, position: Tensor, state: DecoderState) -> Tensor:
        """One token [B] at each sequence's position [B] to logits [B, V]; fills that slot of the cache."""
        return self.decoder.logits(self.step_states(token, position, state))

    def step_states(self, token: Tensor, position: Tensor, state: DecoderState) -> Tensor:
        """What ``decode_step`` projects to logits: [B, D]; fills that slot of the cache."""
        return self.decoder.states(token[:, None], position[:, None], state)[:, 0]


def random_model(config: WhisperConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> WhisperModel:
    """A model of any size with seeded random weights, for tests and benchmarks at the true shape.

    Weights are normal with a standard deviation of 1 / sqrt(fan-in), so that activations keep their scale through any
    number of layers; norms are near one, biases and positions small. The same seed gives the same weights everywhere.
    """
    with torch.device("meta"):
        model = WhisperModel(config)
    generator = torch.Generator().manual_seed(seed)
    state = {name: _random_weight(name, tensor, generator).to(dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def shape_only_model(config: WhisperConfig) -> WhisperModel:
    """A model whose weights were never written and hold anything: to compile and to check, not to run."""
    with torch.device("meta"):
        model = WhisperModel(config)
    return model.to_empty(device="cpu").eval().requires_grad_(requires_grad=False)


def _random_weight(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=generator)
    if "layer_norm.weight" in name:
        return 1 + 0.1 * noise
    if like.ndim == 1 or "embed_positions" in name:
        return 0.02 * noise
    return noise / math.sqrt(like[0].numel())
