"""One step of preparation, in its own process: the clips, or a model's weights in one format, into an empty folder.

    python speed_prepare.py clips FOLDER
    python speed_prepare.py huggingface MODEL FOLDER
    python speed_prepare.py ctranslate2 HUGGINGFACE_FOLDER FOLDER

Weights are stored in float16, as the published ones are, so that every system reads the same numbers.
"""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from speed_systems import RATE
from ttscribe.audio import HOP, WINDOW_SAMPLES, load_audio
from ttscribe.types import Samples
from ttscribe.whisper.checkpoints import load_checkpoint
from ttscribe.whisper.checkpoints.hub import locate
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import WhisperModel, random_model
from ttscribe.whisper.tokenizer import Tokenizer, special_tokens

SPEECH = Path(__file__).resolve().parents[2] / "shared" / "speech" / "audio"
LONG_SECONDS = 120

MODELS: dict[str, Callable[[], WhisperModel]] = {
    "base": lambda: load_checkpoint("base", dtype=torch.float16).model,
    "distil-large-v3": lambda: random_model(WhisperConfig.named("distil-large-v3"), dtype=torch.float16),
}


def clips(folder: Path) -> None:
    """Three arrays of samples, and ``clips.json`` with the name and the seconds of each."""
    chosen = _reference_clips() if SPEECH.is_dir() else _packaged_clips()
    for index, samples in enumerate(chosen.values()):
        np.save(folder / f"{index}.npy", samples)
    listed = [{"name": name, "seconds": len(samples) / RATE} for name, samples in chosen.items()]
    (folder / "clips.json").write_text(json.dumps(listed))


def _reference_clips() -> dict[str, Samples]:
    short = {name: load_audio(SPEECH / name) for name in ("lj-LJ001-0004.flac", "jfk.flac")}
    long = "long-lj-LJ001-0001-0032.flac"
    return {**short, f"the first {LONG_SECONDS} s of {long}": load_audio(SPEECH / long)[: LONG_SECONDS * RATE]}


def _packaged_clips() -> dict[str, Samples]:
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or spec.origin is None:
        sys.exit("there is no speech to measure with: pip install 'ttscribe[bundled]'")
    assets = Path(spec.origin).with_name("assets")
    beckett, two_cities = (load_audio(assets / name) for name in ("beckett.wav", "two_cities.wav"))
    return {
        "the first 5 s of beckett.wav": beckett[: 5 * RATE],
        "beckett.wav": beckett,
        f"two_cities.wav repeated to {LONG_SECONDS} s": np.resize(two_cities, LONG_SECONDS * RATE),
    }


def huggingface(name: str, folder: Path) -> None:
    """A folder as ``save_pretrained`` writes it; random weights get base's vocabulary with their own special tokens."""
    model = MODELS[name]()
    size = model.config.vocab_size
    state = {f"model.{key}": tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    _write(folder / "tokenizer.json", _vocabulary(locate("base") / "tokenizer.json", size))
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json", size)
    _write(folder / "config.json", {"model_type": "whisper", **asdict(model.config), **_special_ids(tokenizer)})
    _write(folder / "generation_config.json", _generation(tokenizer) | _special_ids(tokenizer))
    features = {"feature_size": model.config.num_mel_bins, "sampling_rate": RATE, "hop_length": HOP, "n_fft": 400}
    _write(
        folder / "preprocessor_config.json",
        {"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": WINDOW_SAMPLES // RATE, **features},
    )


def _vocabulary(source: Path, size: int) -> dict[str, Any]:
    """A ``tokenizer.json`` with the special tokens of a vocabulary of ``size``, without timestamps."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    names = {token: name for name, token in special_tokens(size).items() if name != "<|0.00|>"}
    added = [{"id": token, "content": name, **flags} for token, name in sorted(names.items())]
    values: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return values | {"added_tokens": added, "post_processor": None}


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eot)
    return {**ends, "decoder_start_token_id": tokenizer.sot}


def _generation(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "is_multilingual": True,
        "lang_to_id": {f"<|{code}|>": tokenizer.language_token(code) for code in tokenizer.languages},
        "task_to_id": {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate},
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": tokenizer.start_of_prev,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "suppress_tokens": list(tokenizer.default_suppress_tokens()),
        "begin_suppress_tokens": list(tokenizer.default_begin_suppress_tokens()),
    }


def ctranslate2(source: Path, folder: Path) -> None:
    """What faster-whisper reads, by CTranslate2's own converter."""
    from ctranslate2.converters.transformers import WhisperLoader  # type: ignore[import-untyped]
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(source, dtype=torch.float16)
    with torch.inference_mode():
        spec = WhisperLoader().get_model_spec(model)
    spec.config.suppress_ids = model.generation_config.suppress_tokens
    spec.config.suppress_ids_begin = model.generation_config.begin_suppress_tokens
    spec.register_vocabulary(_texts(source / "tokenizer.json", model.config.vocab_size))
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(str(folder))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(source / name, folder)


def _texts(path: Path, size: int) -> list[str]:
    """The text of every token in the order of the ids."""
    values = json.loads(path.read_text(encoding="utf-8"))
    by_id = {token: text for text, token in values["model"]["vocab"].items()}
    by_id |= {added["id"]: added["content"] for added in values["added_tokens"]}
    first = len(by_id)
    return [by_id[token] if token < first else f"<|{(token - first) * 0.02:.2f}|>" for token in range(size)]


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def main() -> None:
    step, *source, target = sys.argv[1:]
    folder = Path(target)
    folder.mkdir(parents=True)
    if step == "clips":
        clips(folder)
    elif step == "huggingface":
        huggingface(source[0], folder)
    else:
        ctranslate2(Path(source[0]), folder)


if __name__ == "__main__":
    main()
