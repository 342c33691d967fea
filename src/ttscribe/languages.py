"""The languages of a model: which may be asked for, and which one it hears."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import islice

from ttscribe.decoding import LanguageDetector, Runner, Shares, spoken
from ttscribe.errors import LanguageUnsupported, OptionError
from ttscribe.whisper.checkpoints import Checkpoint
from ttscribe.whisper.languages import LANGUAGES, language_code
from ttscribe.windows import RecordingWindow


class Languages:
    """Those of a checkpoint on a device; ``turn`` is held for what that does without interruption."""

    def __init__(
        self, checkpoint: Checkpoint, runner: Runner, turn: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._checkpoint, self._runner, self._turn = checkpoint, runner, turn

    def only(self, asked: str | None, *, multilingual: bool) -> str | None:
        """The code of the only language that may be spoken where ``asked`` is given, None where it is to be detected.

        Raises LanguageUnsupported where the model does not know it, OptionError where it cannot be ``multilingual``.
        """
        if multilingual:
            self.require_several()
            if asked is not None:
                raise OptionError("multilingual detects the language of every window: leave language out")
        known = self._checkpoint.languages
        if asked is None:
            return known[0] if len(known) == 1 else None
        code = language_code(asked)
        if code not in known:
            knows = "English only" if known == ("en",) else "other languages"
            raise LanguageUnsupported(
                f"{self._checkpoint.name} knows {knows}, not {LANGUAGES[code].title()}; "
                "use a multilingual model such as large-v3-turbo, or base"
            )
        return code

    def require_several(self) -> None:
        """OptionError where there is nothing to detect."""
        if len(self._checkpoint.languages) == 1:
            only = LANGUAGES[self._checkpoint.languages[0]].title()
            raise OptionError(
                f"{self._checkpoint.name} knows {only} only and detects no language; use a multilingual model"
            )

    def detector(self) -> LanguageDetector:
        return LanguageDetector(self._runner, self._checkpoint.tokenizer, self._checkpoint.languages)

    def heard(self, windows: Iterable[RecordingWindow], count: int, threshold: float) -> Shares:
        """Of each language, over the first ``count`` windows, or up to one whose language is above ``threshold``.

        The windows keep their encoder states.
        """
        detector = self.detector()

        def shares(window: RecordingWindow) -> Shares:
            with self._turn():
                return detector.shares(window.start())[0]

        return spoken(map(shares, islice(windows, count)), threshold)


def check_detection(segments: int, threshold: float) -> None:
    """OptionError for options of detection that make no sense."""
    if type(segments) is not int or segments < 1:
        raise OptionError(f"language_detection_segments must be a whole number from 1, not {segments!r}")
    if not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        raise OptionError(f"language_detection_threshold must be 0 to 1, not {threshold!r}")
