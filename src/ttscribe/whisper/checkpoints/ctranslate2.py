"""CTranslate2's folders, which faster-whisper uses: ``model.bin`` of versions 5 and 6, of any of its types.

``model.bin`` is little-endian: u32 version, str specification, u32 revision, u32 count; for each variable: str name,
u8 rank, u32 dimensions, u8 type, u32 bytes, raw; then u32 aliases of two str each. A str is u16 length + 1, UTF-8, NUL.
Queries, keys and values are one matrix, and a quantised ``NAME`` comes with ``NAME_scale``.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ttscribe.errors import CheckpointInvalid
from ttscribe.whisper.checkpoints.generation_settings import read_generation_settings
from ttscribe.whisper.checkpoints.parts import Parts
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.json_files import read_object
from ttscribe.whisper.tokenizer import Tokenizer
from ttscribe.whisper.vocabulary import find_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

_VERSIONS = (5, 6)
_SPECIFICATION = "WhisperSpec"
# Bytes of an item, in the order of CTranslate2's DataType, by which the file numbers them.
_DTYPES = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "float16": 2, "bfloat16": 2}
_WHOLE = ("int8", "int16", "int32")
_QUANTISED = ("int8", "int16")

# Ours by theirs; where there are several, they lie one after another along the rows.
_MODULES = {
    "conv1": ("conv1",),
    "conv2": ("conv2",),
    "embeddings": ("embed_tokens",),
    "position_encodings": ("embed_positions",),
    "layer_norm": ("layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
    "ffn/layer_norm": ("final_layer_norm",),
}
_LEAVES = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}

_SETTINGS = {
    "suppress_ids": "suppress_tokens",
    "suppress_ids_begin": "begin_suppress_tokens",
    "alignment_heads": "alignment_heads",
}


class Variable(NamedTuple):
    """Where a variable lies in the file: ``offset`` and ``size`` are in bytes, ``dtype`` is PyTorch's name."""

    shape: tuple[int, ...]
    dtype: str
    offset: int
    size: int


def read(folder: Path) -> Parts:
    """Read a folder of CTranslate2, without its weights; ``config.json`` may be absent, as version 5 had none.

    Raises:
        CheckpointInvalid: a file is missing, damaged or of another architecture.
        VocabularyMismatch: the tokenizer belongs to other weights.
    """
    model = ModelFile(folder / "model.bin")
    config = _config(model)
    values = read_object(folder / "config.json") if (folder / "config.json").is_file() else {}
    known = {ours: values[theirs] for theirs, ours in _SETTINGS.items() if theirs in values}
    vocabulary = find_vocabulary(folder)
    if vocabulary is None:
        raise CheckpointInvalid(f"{folder} has no tokenizer.json or vocabulary.json: the checkpoint is incomplete")
    tokenizer = Tokenizer.from_file(vocabulary, config.vocab_size)
    settings = read_generation_settings(known, folder / "config.json")
    return Parts(model.path, config, partial(_tensors, model), tokenizer, settings)


class ModelFile:
    """A mapped ``model.bin``: ``variables`` by name, aliases among them."""

    def __init__(self, path: Path) -> None:
        """Map the file and read its index.

        Raises:
            CheckpointInvalid: the file is absent, cut short, or no Whisper of a known version.
        """
        self.path = path
        self._bytes = _map(path)
        self._position = 0
        try:
            self.variables = self._read_index()
        except (struct.error, UnicodeDecodeError):
            raise self._damaged() from None

    def tensor(self, name: str) -> Tensor:
        """A variable, dequantised to float32 where it is int8 or int16; otherwise as stored, a view where aligned.

        Raises:
            CheckpointInvalid: it is quantised, and its scale is absent or of the wrong size.
        """
        stored = self._stored(name)
        if self.variables[name].dtype not in _QUANTISED:
            return stored
        if f"{name}_scale" not in self.variables:
            raise CheckpointInvalid(f"{self.path}: {name} is quantised but has no scale")
        # One scale for the whole tensor or one for each row; the stored integer is the value times the scale.
        scale = self._stored(f"{name}_scale").float()
        if scale.numel() not in {1, len(stored)}:
            raise CheckpointInvalid(f"{self.path}: {name} has {len(stored)} rows but {scale.numel()} scales")
        return stored.float().div_(scale.reshape(-1, *[1] * (stored.ndim - 1)))

    def scalar(self, name: str) -> int | None:
        """A whole number that is part of the specification, stored as a variable without dimensions, or None."""
        variable = self.variables.get(name)
        if variable is None or variable.shape or variable.dtype not in _WHOLE:
            return None
        raw = self._bytes[variable.offset : variable.offset + variable.size]
        return int.from_bytes(raw, "little", signed=True)

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """Dimensions of a variable that must be there and have ``rank`` of them.

        Raises:
            CheckpointInvalid: it is not there, or has another number of dimensions.
        """
        if name not in self.variables:
            raise CheckpointInvalid(f"{self.path} is incomplete: it has no {name}")
        shape = self.variables[name].shape
        if len(shape) != rank:
            raise CheckpointInvalid(f"{self.path}: {name} should have {rank} dimensions but has {list(shape)}")
        return shape

    def _stored(self, name: str) -> Tensor:
        import torch

        variable = self.variables[name]
        whole = torch.frombuffer(self._bytes, dtype=torch.uint8)
        raw = whole[variable.offset : variable.offset + variable.size]
        # Nothing in the file is aligned on purpose, and torch wants whole items.
        aligned = raw.clone() if variable.offset % _DTYPES[variable.dtype] else raw
        return aligned.view(getattr(torch, variable.dtype)).reshape(variable.shape)

    def _read_index(self) -> dict[str, Variable]:
        (version,) = self._take("I")
        if version not in _VERSIONS:
            raise CheckpointInvalid(f"{self.path} is not of CTranslate2's versions 5 or 6: convert the model again")
        if (specification := self._take_string()) != _SPECIFICATION:
            raise CheckpointInvalid(f"{self.path} is {specification}, not Whisper ({_SPECIFICATION})")
        _revision, count = self._take("II")
        variables = dict(self._take_variable() for _ in range(count))
        # Equal tensors are stored once, so that two biases that happen to be zeros are a name and its alias.
        for _ in range(self._take("I")[0]):
            alias, name = self._take_string(), self._take_string()
            for suffix in ("", "_scale"):
                if name + suffix in variables:
                    variables[alias + suffix] = variables[name + suffix]
        return variables

    def _take_variable(self) -> tuple[str, Variable]:
        name = self._take_string()
        (rank,) = self._take("B")
        shape = self._take(f"{rank}I")
        kind, size = self._take("BI")
        if kind >= len(_DTYPES):
            raise CheckpointInvalid(f"{self.path}: {name} has the unknown type {kind}")
        dtype, item = [*_DTYPES.items()][kind]
        variable = Variable(shape, dtype, self._position, size)
        self._position += size
        if self._position > len(self._bytes):
            raise CheckpointInvalid(f"{self.path} is cut short: it ends within {name}")
        if math.prod(shape) * item != size:
            raise CheckpointInvalid(f"{self.path}: {name} of shape {list(shape)} has {size} bytes")
        return name, variable

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._bytes, self._position)
        self._position += struct.calcsize(f"<{layout}")
        return values

    def _take_string(self) -> str:
        (length,) = self._take("H")
        (text,) = self._take(f"{length}s")  # the length counts the NUL
        return str(text.rstrip(b"\0"), "utf-8")

    def _damaged(self) -> CheckpointInvalid:
        return CheckpointInvalid(f"{self.path} is cut short or damaged at byte {self._position}")


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # What would be written stays here: torch warns of memory that cannot be written at all.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise CheckpointInvalid(f"{path.parent} has no {path.name}: the checkpoint is incomplete") from None
    except (OSError, ValueError) as error:
        raise CheckpointInvalid(f"{path} cannot be read ({error})") from None


def _config(model: ModelFile) -> WhisperConfig:
    # From the tensors alone: the config.json of this format says nothing of shapes. A convolution is [out, in, kernel].
    vocab_size, d_model = model.shape("decoder/embeddings/weight", 2)
    return WhisperConfig(
        vocab_size=vocab_size,
        num_mel_bins=model.shape("encoder/conv1/weight", 3)[1],
        d_model=d_model,
        encoder_layers=_layers(model, "encoder"),
        encoder_attention_heads=_heads(model, "encoder", d_model),
        encoder_ffn_dim=model.shape("encoder/layer_0/ffn/linear_0/weight", 2)[0],
        decoder_layers=_layers(model, "decoder"),
        decoder_attention_heads=_heads(model, "decoder", d_model),
        decoder_ffn_dim=model.shape("decoder/layer_0/ffn/linear_0/weight", 2)[0],
        max_source_positions=model.shape("encoder/position_encodings/encodings", 2)[0],
        max_target_positions=model.shape("decoder/position_encodings/encodings", 2)[0],
    )


def _layers(model: ModelFile, side: str) -> int:
    prefix = f"{side}/layer_"
    names = (name.removeprefix(prefix) for name in model.variables if name.startswith(prefix))
    return len({name.split("/")[0] for name in names if name[0].isdigit()})


def _heads(model: ModelFile, side: str, d_model: int) -> int:
    # Revisions before the third do not say; every published Whisper has heads of 64.
    return model.scalar(f"{side}/num_heads") or max(1, d_model // 64)


def _tensors(model: ModelFile) -> Iterator[tuple[str, Tensor]]:
    for name in model.variables:
        path, _, leaf = name.rpartition("/")
        side, _, module = path.partition("/")
        prefix = side
        if module.startswith("layer_") and module[6:7].isdigit():
            layer, _, module = module.partition("/")
            prefix = f"{side}.layers.{layer.removeprefix('layer_')}"
        # Anything else is a scale, which goes with its tensor, or a number of the specification.
        if module in _MODULES and leaf in _LEAVES:
            yield from _split(model.tensor(name), prefix, _MODULES[module], _LEAVES[leaf])


def _split(tensor: Tensor, prefix: str, modules: tuple[str, ...], leaf: str) -> Iterator[tuple[str, Tensor]]:
    for module, part in zip(modules, tensor.chunk(len(modules)), strict=False):
        # Whisper's keys have no bias; the format fills its place with zeros.
        if not (leaf == "bias" and module.endswith("k_proj")):
            yield f"{prefix}.{module}.{leaf}", part
