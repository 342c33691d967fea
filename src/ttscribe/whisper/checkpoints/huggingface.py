"""Hugging Face's folders: ``config.json`` beside ``model.safetensors``, in one file or in shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from ttscribe.errors import CheckpointInvalid
from ttscribe.whisper.checkpoints.generation_settings import read_generation_settings
from ttscribe.whisper.checkpoints.parts import Parts
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.json_files import read_object
from ttscribe.whisper.tokenizer import Tokenizer
from ttscribe.whisper.vocabulary import find_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

# What our model computes; a checkpoint that wants something else would give nonsense without any error.
_FIXED = {"model_type": "whisper", "activation_function": "gelu", "scale_embedding": False}


def read(folder: Path) -> Parts:
    """Read a folder as ``save_pretrained`` writes it, without its weights; ``generation_config.json`` may be absent.

    Raises:
        CheckpointInvalid: a file is missing, or another than the weights is damaged or of another architecture.
        VocabularyMismatch: the tokenizer belongs to other weights.
    """
    values = read_object(folder / "config.json")
    _check_architecture(values, folder / "config.json")
    config = WhisperConfig.from_dict(values)
    settings = read_generation_settings(_generation(folder, values), folder)
    vocabulary = find_vocabulary(folder)
    if vocabulary is None:
        raise CheckpointInvalid(f"{folder} has no tokenizer.json or vocab.json: the checkpoint is incomplete")
    tokenizer = Tokenizer.from_file(vocabulary, config.vocab_size)
    name = values.get("_name_or_path")
    tensors = partial(_tensors, _weight_files(folder))
    return Parts(folder, config, tensors, tokenizer, settings, name if isinstance(name, str) else "")


def _check_architecture(values: dict[str, Any], origin: Path) -> None:
    for key, needed in _FIXED.items():
        actual = values.get(key, None if key == "model_type" else needed)
        if actual != needed:
            raise CheckpointInvalid(f"{origin}: {key} is {actual!r}, Whisper's is {needed!r}")


def _generation(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    path = folder / "generation_config.json"
    if path.is_file():
        return read_object(path)
    # config.json held its keys before it existed; a null there is a default, not a choice.
    return {key: value for key, value in values.items() if value is not None}


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        shards = read_object(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
            raise CheckpointInvalid(f"{folder / INDEX} has no weight_map: it is damaged")
        # weight_map has a shard's name for each tensor.
        files = [folder / name for name in sorted(set(shards.values()))]
        if absent := [file.name for file in files if not file.is_file()]:
            raise CheckpointInvalid(f"{folder} has no {absent[0]}, one of its shards: the checkpoint is incomplete")
        return files
    # The older format is a pickle, whose loading may run any code that it names.
    if (folder / "pytorch_model.bin").is_file():
        raise CheckpointInvalid(
            f"{folder} has only pytorch_model.bin, which may hold code: save the model again as {WEIGHTS}"
        )
    raise CheckpointInvalid(f"{folder} has no {WEIGHTS}: the checkpoint is incomplete")


def _tensors(files: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    # The index says which shard has which tensor; as all are read, the order of the shards does not matter.
    for file in files:
        yield from _tensors_of(file)


def _tensors_of(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a dict
                # The projection is tied to the token embedding.
                if key != "proj_out.weight":
                    yield key.removeprefix("model."), tensors.get_tensor(key)
    except (SafetensorError, OSError) as error:
        raise CheckpointInvalid(f"{file} is damaged or was not downloaded completely ({error})") from None
