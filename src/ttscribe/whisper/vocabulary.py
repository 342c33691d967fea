"""The vocabulary files that come with weights: Hugging Face's, CTranslate2's and OpenAI's."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttscribe.errors import CheckpointInvalid
from ttscribe.whisper.json_files import read_json, read_object


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Ids by token, special tokens included where the file has them.

    Tokens are in GPT-2's byte-level alphabet, one printable character a byte. An id is a rank: a token is made by
    merging two of lower rank, so the order of the merges follows from the ids and no file of merges is read.
    """

    origin: Path
    tokens: dict[str, int]


def find_vocabulary(folder: Path) -> Path | None:
    """The most telling vocabulary file of a folder, or None."""
    return next((folder / name for name in _READERS if (folder / name).is_file()), None)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read any of the known files.

    Raises:
        CheckpointInvalid: the file is absent, damaged or of an unknown kind.
    """
    reader = _read_tiktoken if path.suffix == ".tiktoken" else _READERS.get(path.name)
    if reader is None:
        raise CheckpointInvalid(f"{path} is no vocabulary: expected {', '.join(_READERS)} or *.tiktoken")
    try:
        tokens = reader(path)
    except (LookupError, TypeError, AttributeError, ValueError, OSError) as error:
        raise CheckpointInvalid(f"{path} is damaged or no vocabulary of Whisper ({error})") from None
    for token, index in tokens.items():
        if type(token) is not str or type(index) is not int:
            raise CheckpointInvalid(f"{path} is damaged: token {token!r} has the id {index!r}")
    return Vocabulary(path, tokens)


def merges_of(tokens: dict[str, int]) -> list[tuple[str, str]]:
    """Byte pairs in the order in which they merge.

    A token may be made in several ways; all are listed, which is how OpenAI's own encoder works.
    """
    merges: list[tuple[str, str]] = []
    for token in sorted(tokens, key=tokens.__getitem__):
        pairs = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        known = [pair for pair in pairs if pair[0] in tokens and pair[1] in tokens]
        merges += sorted(known, key=lambda pair: (tokens[pair[0]], tokens[pair[1]]))
    return merges


def token_bytes(token: str) -> bytes:
    """The bytes that a token of the byte-level alphabet stands for; KeyError where it has another character."""
    return bytes(_BYTES[character] for character in token)


def _read_tokenizer_json(path: Path) -> dict[str, Any]:
    values = read_object(path)
    return dict(values["model"]["vocab"]) | {token["content"]: token["id"] for token in values["added_tokens"]}


def _read_vocab_json(path: Path) -> dict[str, Any]:
    # Text alone: Hugging Face's older checkpoints have the special tokens in a file of their own.
    added = path.with_name("added_tokens.json")
    return read_object(path) | (read_object(added) if added.is_file() else {})


def _read_list(path: Path) -> dict[str, Any]:
    return _numbered(read_json(path))


def _read_lines(path: Path) -> dict[str, Any]:
    return _numbered(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))


def _numbered(tokens: Iterable[str]) -> dict[str, Any]:
    return {token: index for index, token in enumerate(tokens)}


def _read_tiktoken(path: Path) -> dict[str, Any]:
    # Of tiktoken: in each line the bytes of a token in base64, and its rank. Special tokens are in OpenAI's code.
    pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line)
    return {"".join(_CHARACTERS[byte] for byte in base64.b64decode(token)): int(rank) for token, rank in pairs}


def _byte_level_alphabet() -> dict[int, str]:
    # GPT-2's: a byte that prints as a character of Latin-1 stands for itself, the others for U+0100 on in their order.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


_CHARACTERS = _byte_level_alphabet()
_BYTES = {character: byte for byte, character in _CHARACTERS.items()}

# The first names its special tokens, by which a wrong file is recognised; the last has no more than an order.
_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "tokenizer.json": _read_tokenizer_json,
    "vocab.json": _read_vocab_json,
    "vocabulary.json": _read_list,
    "vocabulary.txt": _read_lines,
}
