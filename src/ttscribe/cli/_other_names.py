"""Command lines as they are written for OpenAI's ``whisper`` and for whisper-ctranslate2, where ours differ from them.

Their flags take a value, ``--word_timestamps True``, and some of their options have another name or do not exist here.
Other names that take the same values stand beside our own, where the options are declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ttscribe.errors import OptionError

# By our spelling, with dashes: what an option of theirs means with a value.
MEANINGS: dict[str, dict[str, list[str]]] = {
    "--fp16": {"True": ["--precision", "float16"], "False": ["--precision", "float32"]},
    "--local-files-only": {"True": ["--offline"], "False": ["--no-offline"]},
    "--batched": {"False": ["--batch-size", "1"]},
}

# What to use instead of those that cannot be honoured.
INSTEAD = {
    "--fp16": "give --precision float16 or float32",
    "--local-files-only": "give --offline",
    "--batched": "give --batch-size and how many windows are decoded together",
    "--verbose": "text is printed unless there is --output-dir; --quiet leaves only errors",
    "--model-dir": "the environment variable HF_HOME says where downloads are kept; --model takes a folder too",
    "--model-directory": "give the folder to --model",
    "--cache-directory": "the environment variable HF_HOME says where downloads are kept",
    "--device-index": "one device runs the model: --device says which",
    "--pretty-json": "--format json is one document; 'python -m json.tool' lays it out",
    "--live-transcribe": "ttscribe listen hears a microphone, or raw PCM on standard input",
}


def as_ours(arguments: Iterable[str], options: Iterable[Any]) -> list[str]:
    """Arguments in which flags have no value and options are our own; ``options`` are the command's parameters.

    Raises OptionError for an option that cannot be honoured, and says what to use instead.
    """
    flags = {
        name: {"True": [name], "False": option.secondary_opts[:1]}
        for option in options
        if option.secondary_opts
        for name in option.opts
    }
    ours: list[str] = []
    rest = list(arguments)
    while rest and rest[0] != "--":
        word = rest.pop(0)
        name, joined, value = word.partition("=")
        name = name.replace("_", "-")
        meanings = flags.get(name) or MEANINGS.get(name, {})
        if not joined and rest and rest[0] in meanings:
            value = rest.pop(0)
        if value in meanings:
            ours += meanings[value]
        elif name in INSTEAD:
            raise OptionError(f"{word.partition('=')[0]} is not an option of ttscribe: {INSTEAD[name]}")
        else:
            ours.append(word)
    return ours + rest
