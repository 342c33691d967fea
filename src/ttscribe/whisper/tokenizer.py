"""Text to token ids and back, and the ids of Whisper's special tokens."""

from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as BytePairTokenizer
from tokenizers import models, pre_tokenizers

from ttscribe.errors import LanguageUnsupported, OptionError, VocabularyMismatch
from ttscribe.types import Task
from ttscribe.whisper.config import ENGLISH_VOCABULARY, MULTILINGUAL_VOCABULARY, V3_VOCABULARY
from ttscribe.whisper.languages import LANGUAGES, language_code
from ttscribe.whisper.vocabulary import Vocabulary, merges_of, read_vocabulary, token_bytes

# Vocabulary size: (id of <|endoftext|>, number of languages). Everything else follows by counting on from there.
_LAYOUTS = {ENGLISH_VOCABULARY: (50256, 99), MULTILINGUAL_VOCABULARY: (50257, 99), V3_VOCABULARY: (50257, 100)}

_AFTER_LANGUAGES = (
    ("<|translate|>",),
    ("<|transcribe|>",),
    ("<|startoflm|>",),
    ("<|startofprev|>",),
    # OpenAI's name, and that in Hugging Face's tokenizers of the models before large-v3.
    ("<|nospeech|>", "<|nocaptions|>"),
    ("<|notimestamps|>",),
    ("<|0.00|>",),
)

# OpenAI's list: brackets, quotes and music that stand for what is not said.
_DASHES = ("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[")
_BRACKETS = ("('", '("', "((", "))", "(((", ")))", "[[", "]]", "{{", "}}")
_SYMBOLS = ('"', *"#()*+/:;<=>@[\\]^_`{|}~「」『』", *_DASHES, *_BRACKETS, "♪♪", "♪♪♪")
_MUSIC = tuple("♩♪♫♬♭♮♯")


def special_tokens(vocab_size: int) -> dict[str, int]:
    """Ids of the special tokens (the first timestamp as ``<|0.00|>``) by their text, for a vocabulary's size.

    Raises:
        VocabularyMismatch: no Whisper has a vocabulary of this size.
    """
    if vocab_size not in _LAYOUTS:
        sizes = ", ".join(map(str, _LAYOUTS))
        raise VocabularyMismatch(f"a vocabulary of {vocab_size} tokens is not Whisper's, which has {sizes}")
    eot, languages = _LAYOUTS[vocab_size]
    codes = list(LANGUAGES)[:languages]
    names = [("<|endoftext|>",), ("<|startoftranscript|>",), *((f"<|{code}|>",) for code in codes), *_AFTER_LANGUAGES]
    return {name: eot + index for index, spellings in enumerate(names) for name in spellings}


class Tokenizer:
    """The tokens of one Whisper vocabulary.

    ``eot``, ``sot``, ``translate``, ``transcribe``, ``start_of_lm``, ``start_of_prev``, ``no_speech``,
    ``no_timestamps`` and ``timestamp_begin`` are ids; timestamp ``timestamp_begin + n`` stands for ``n * 0.02`` s.
    ``texts`` are the ids of plain text by token, as a Vocabulary writes tokens.
    """

    def __init__(self, vocabulary: Vocabulary, vocab_size: int, *, borrowed: bool = False) -> None:
        """Take the texts of a vocabulary whose special tokens must lie where ``vocab_size`` puts them.

        Args:
            vocabulary: What a file gave.
            vocab_size: Rows of the model's token embedding.
            borrowed: It came with another model, so that only its texts count.

        Raises:
            VocabularyMismatch: the vocabulary belongs to other weights.
        """
        specials = special_tokens(vocab_size)
        self.vocab_size = vocab_size
        self.eot = specials["<|endoftext|>"]
        self.sot = specials["<|startoftranscript|>"]
        self.translate = specials["<|translate|>"]
        self.transcribe = specials["<|transcribe|>"]
        self.start_of_lm = specials["<|startoflm|>"]
        self.start_of_prev = specials["<|startofprev|>"]
        self.no_speech = specials["<|nospeech|>"]
        self.no_timestamps = specials["<|notimestamps|>"]
        self.timestamp_begin = specials["<|0.00|>"]
        names = ("<|endoftext|>",) if borrowed else specials
        _require_agreement(vocabulary, {name: specials[name] for name in names}, vocab_size)
        self.texts = {text: token for text, token in vocabulary.tokens.items() if token < self.eot}
        self._bytes = _bytes_by_id(vocabulary.origin, self.texts, self.eot)

    @classmethod
    def from_file(cls, path: str | Path, vocab_size: int) -> "Tokenizer":
        """Read ``tokenizer.json``, ``vocab.json``, CTranslate2's ``vocabulary.{json,txt}`` or OpenAI's ``*.tiktoken``.

        Raises:
            CheckpointInvalid: the file is damaged.
            VocabularyMismatch: it belongs to a vocabulary of another size.
        """
        return cls(read_vocabulary(Path(path)), vocab_size)

    @property
    def multilingual(self) -> bool:
        """Whether the vocabulary's language and task tokens are used: false for the ``.en`` models."""
        return self.vocab_size != ENGLISH_VOCABULARY

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes in the order of their tokens; only English for the ``.en`` models, which never saw the tokens."""
        return tuple(LANGUAGES)[: self.translate - self.sot - 1] if self.multilingual else ("en",)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; what looks like a special token is text too."""
        return self._encoder.encode(text).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special and timestamp tokens left out; bytes that are no UTF-8 become U+FFFD."""
        # A token may end within a character: bytes are joined first.
        return b"".join(self._bytes[token] for token in ids if token < self.eot).decode("utf-8", errors="replace")

    def characters(self, ids: Iterable[int]) -> list[tuple[str, tuple[int, ...]]]:
        """``decode`` in the shortest runs of ids that end where a character ends: their texts, and the ids.

        Special and timestamp tokens are left out.
        """
        decoder, runs = getincrementaldecoder("utf-8")(errors="replace"), []
        text, run = "", tuple[int, ...]()
        for token in ids:
            if token < self.eot:
                text, run = text + decoder.decode(self._bytes[token]), (*run, token)
                unfinished, _ = decoder.getstate()
                if not unfinished:
                    runs.append((text, run))
                    text, run = "", ()
        return [*runs, (text + decoder.decode(b"", final=True), run)] if run else runs

    @cached_property
    def _encoder(self) -> BytePairTokenizer:
        # Special tokens have no place in it, so no text can smuggle one in. The merges follow from the ids: some
        # published tokenizer.json files lack the first merge and split " the" in two.
        encoder = BytePairTokenizer(models.BPE(self.texts, merges_of(self.texts)))
        # The library would put a space before the text by itself, and " the" is another token than "the".
        encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return encoder

    def language_token(self, language: str) -> int:
        """Id of a language, given by code or English name.

        Raises:
            LanguageUnsupported: the vocabulary has no token for it.
        """
        code = language_code(language)
        if code not in self.languages:
            known = "English only" if not self.multilingual else f"{len(self.languages)} languages"
            raise LanguageUnsupported(f"this model does not know {LANGUAGES[code].title()} ({code}): it knows {known}")
        return self.sot + 1 + self.languages.index(code)

    def language_of(self, token: int) -> str:
        """Code of a language token.

        Raises:
            ValueError: the token is not a language's.
        """
        if not self.sot < token < self.translate:
            raise ValueError(f"token {token} is not a language")
        return list(LANGUAGES)[token - self.sot - 1]

    def prompt(self, language: str, task: Task = "transcribe", *, timestamps: bool = False) -> tuple[int, ...]:
        """The start-of-transcript sequence: for an English-only vocabulary without language and task.

        Raises:
            LanguageUnsupported: the vocabulary has no token for the language.
            OptionError: an English-only vocabulary cannot translate.
        """
        language_token = self.language_token(language)
        tail = () if timestamps else (self.no_timestamps,)
        if self.multilingual:
            return (self.sot, language_token, self.translate if task == "translate" else self.transcribe, *tail)
        if task == "translate":
            raise OptionError(
                "this model knows English only and cannot translate: take a multilingual one, such as base"
            )
        return (self.sot, *tail)

    def non_speech_tokens(self) -> tuple[int, ...]:
        """Tokens of signs that are not spoken, such as brackets and notes, as OpenAI's tokenizer lists them.

        Hyphen and apostrophe may stand within a word but not begin one. A note of several tokens gives its first,
        which it shares with other symbols only (U+2640 to U+267F).
        """
        ids = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in (*_SYMBOLS, *_MUSIC):
            for tokens in (self.encode(symbol), self.encode(" " + symbol)):
                if len(tokens) == 1 or symbol in _MUSIC:
                    ids.add(tokens[0])
        return tuple(sorted(ids))

    def prompt_only_tokens(self) -> tuple[int, ...]:
        """The special tokens that belong to prompts and never to a text, in order."""
        tokens = (self.sot, self.translate, self.transcribe, self.start_of_lm, self.start_of_prev, self.no_speech)
        return tuple(sorted(tokens))

    def default_suppress_tokens(self) -> tuple[int, ...]:
        """What OpenAI suppresses by default ("-1"): the signs, and the special tokens that belong to prompts."""
        return (*self.non_speech_tokens(), *self.prompt_only_tokens())

    def default_begin_suppress_tokens(self) -> tuple[int, ...]:
        """What may not come first: a blank, or the end."""
        return (*self.encode(" "), self.eot)


def _require_agreement(vocabulary: Vocabulary, expected: Mapping[str, int], vocab_size: int) -> None:
    for name, token in expected.items():
        actual = vocabulary.tokens.get(name, token)
        if actual != token:
            raise VocabularyMismatch(
                f"{vocabulary.origin} has {name} at {actual}, weights with {vocab_size} tokens have it at {token}:"
                " it belongs to another Whisper"
            )


def _bytes_by_id(origin: Path, texts: Mapping[str, int], count: int) -> list[bytes]:
    by_id = {token: text for text, token in texts.items()}
    if len(by_id) != count:
        raise VocabularyMismatch(f"{origin} has {len(by_id)} text tokens, Whisper has {count} before its end-of-text")
    try:
        decoded = [token_bytes(by_id[token]) for token in range(count)]
    except KeyError as error:
        raise VocabularyMismatch(f"{origin} is not Whisper's vocabulary: unexpected {error}") from None
    # With every single byte among the tokens, any text can be encoded.
    if len({text for text in decoded if len(text) == 1}) != 256:
        raise VocabularyMismatch(f"{origin} is not Whisper's vocabulary: it lacks some of the 256 single bytes")
    return decoded
