"""What a window's decoder is told before its text: hotwords, an initial prompt, earlier text, a prefix."""

from __future__ import annotations

import logging

from ttscribe.decoding.search import Prompt
from ttscribe.decoding.windows import Outcome
from ttscribe.errors import OptionError
from ttscribe.options import DecodingOptions
from ttscribe.types import Task
from ttscribe.whisper.tokenizer import Tokenizer

logger = logging.getLogger("ttscribe.decoding.context")


class Context:
    """The prompts of one recording's windows, in order.

    Before <|startoftranscript|> stand <|startofprev|> and at most half the decoder's positions less one, 223 tokens:
    hotwords, then what fits of the initial prompt and earlier text, the end of it; an initial prompt that is carried
    stays before the earlier text.
    """

    def __init__(
        self, tokenizer: Tokenizer, options: DecodingOptions, task: Task, positions: int, *, timestamps: bool
    ) -> None:
        """``positions`` is how many tokens the decoder takes in all, ``timestamps`` whether it is asked for times.

        Hotwords or an initial prompt that are too long are cut, with a warning. Raises OptionError for a prefix that
        leaves too little room for text, more than a quarter of the positions.
        """
        self._tokenizer, self._task, self._timestamps = tokenizer, task, timestamps
        self._language: str | None = None
        self._is_conditioned = options.condition_on_previous_text
        most = positions // 2 - 1
        # What every window is told.
        self._always = self._fitting("hotwords", self._encode(options.hotwords), most)[:most]
        self._room = most - len(self._always)
        initial = self._fitting("initial_prompt", self._encode(options.initial_prompt), self._room)
        # A slice from -0 on would be everything.
        self._earlier = initial[max(0, len(initial) - self._room) :]
        if options.carry_initial_prompt:
            self._always, self._earlier = [*self._always, *self._earlier], []
            self._room = most - len(self._always)
        self._given = self._encode(options.prefix)
        if len(self._given) > positions // 4:
            raise OptionError(f"prefix has {len(self._given)} tokens, and may have {positions // 4}: make it shorter")
        if self._given and timestamps:
            self._given = [tokenizer.timestamp_begin, *self._given]

    def prompt(self, language: str) -> Prompt:
        """For the next window, in which ``language`` is spoken; earlier text in another one is no context for it."""
        if self._language not in (None, language):
            self._earlier = []
        self._language = language
        before = [*self._always, *self._earlier]
        if before:
            before = [self._tokenizer.start_of_prev, *before]
        start = self._tokenizer.prompt(language, self._task, timestamps=self._timestamps)
        tokens = (*before, *start, *self._given)
        return Prompt(tokens, len(before), self._tokenizer.eot, self._tokenizer.no_speech, tuple(self._given))

    def add(self, outcome: Outcome) -> None:
        """Take what became of the window whose prompt was asked for last."""
        self._given = []
        if not self._is_conditioned or not outcome.is_context:
            self._earlier = []
            return
        self._earlier += [token for segment in outcome.segments for token in segment.tokens]
        del self._earlier[: max(0, len(self._earlier) - self._room)]

    def _encode(self, text: str | None) -> list[int]:
        # Words begin with a space in GPT-2's tokens, the first one too.
        return self._tokenizer.encode(" " + text.strip()) if text and text.strip() else []

    def _fitting(self, name: str, tokens: list[int], room: int) -> list[int]:
        if len(tokens) > room:
            end = "first" if name == "hotwords" else "last"
            logger.warning("%s: only the %s %d of %d tokens are used", name, end, room, len(tokens))
        return tokens
