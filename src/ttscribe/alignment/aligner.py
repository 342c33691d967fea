"""The words of a window's segments, with their times."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttscribe.alignment.attention import aligning_decoder, alignment_heads, attend
from ttscribe.alignment.corrections import (
    Timing,
    put_in_order,
    shorten_at_segment_ends,
    shorten_at_sentence_ends,
    typical_duration,
)
from ttscribe.alignment.pauses import Pauses
from ttscribe.alignment.splitting import Piece, split, with_punctuation
from ttscribe.alignment.warping import first_columns
from ttscribe.decoding import TimedTokens
from ttscribe.options import CLOSING, OPENING
from ttscribe.types import Features, FloatArray, Task, Word
from ttscribe.whisper.checkpoints import Checkpoint
from ttscribe.whisper.model import Decoder

_FRAMES_PER_POSITION = 2
_POSITIONS_PER_SECOND = 50


class Aligner:
    """Finds when words are said, for one task of a checkpoint; threads may share it.

    It computes on the host with the checkpoint's own weights, whatever device the text was decoded on.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        task: Task = "transcribe",
        decoder: Decoder | None = None,
        opening: str = OPENING,
        closing: str = CLOSING,
    ) -> None:
        """``decoder`` is the checkpoint's, or what was made of it to align with.

        ``opening`` signs belong to the word that follows, ``closing`` ones to the word before.
        """
        self._checkpoint, self._task = checkpoint, task
        self._signs = opening, closing
        self._decoder = decoder or aligning_decoder(checkpoint.model)
        self._heads = alignment_heads(checkpoint.config, checkpoint.alignment_heads)

    def words(
        self, segments: Sequence[TimedTokens], encoder_states: FloatArray, mel: Features, language: str
    ) -> list[tuple[Word, ...]]:
        """The words of each segment, with times in seconds of the window, in which ``language`` is spoken.

        ``encoder_states`` [S, D] are the window's, float32; ``mel`` [bins, frames] is its log-mel up to where the
        segments may reach. Words never overlap.
        """
        pieces = [split(self._checkpoint.tokenizer, segment.tokens, language) for segment in segments]
        start = self._checkpoint.tokenizer.prompt(language, self._task, timestamps=False)
        timings = self._timings([piece for each in pieces for piece in each], start, encoder_states, mel.shape[1])
        typical = typical_duration(timings)
        shorten_at_sentence_ends(timings, typical)
        words, silent_from = [], 0.0
        remaining = iter(timings)
        for segment, own in zip(segments, pieces, strict=True):
            of_segment = _words(own, [next(remaining) for _ in own], *self._signs)
            if of_segment:
                shorten_at_segment_ends(of_segment, segment.start, segment.end, silent_from, typical)
                silent_from = of_segment[-1].end
            words.append(of_segment)
        flat = [word for each in words for word in each]
        Pauses(mel).fit(flat)
        put_in_order(flat, mel.shape[1] / 100)
        return [tuple(Word(word.start, word.end, word.text, word.probability) for word in each) for each in words]

    def _timings(
        self, pieces: Sequence[Piece], start: Sequence[int], encoder_states: FloatArray, frames: int
    ) -> list[Timing]:
        """Each piece from where it is first attended to until the next one is; ``start`` is what the text follows."""
        tokens = [token for piece in pieces for token in piece.tokens]
        if not tokens:
            return []
        # The end of text is read too, as in OpenAI's pass, for weights are standardised over all tokens; a text that
        # fills the decoder goes without.
        positions = self._checkpoint.config.max_target_positions
        given = torch.tensor([*start, *tokens, self._checkpoint.tokenizer.eot][:positions])
        columns = max(1, frames // _FRAMES_PER_POSITION)
        salience, logits = attend(self._decoder, given, torch.from_numpy(encoder_states), self._heads, columns)
        # A token is said where the decoder attends when it predicts it, which is one row earlier. The last row is that
        # of the end: there the last word ends.
        rows = slice(len(start) - 1, len(start) + len(tokens))
        times = (first_columns(-salience[rows].double().numpy()) / _POSITIONS_PER_SECOND).tolist()
        text = logits[rows][:-1, : self._checkpoint.tokenizer.eot].float().softmax(-1)
        probabilities = text.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
        timings, first = [], 0
        for piece in pieces:
            end = first + len(piece.tokens)
            mean = sum(probabilities[first:end]) / len(piece.tokens)
            timings.append(Timing(piece.text, times[first], times[end], mean))
            first = end
        return timings


def _words(pieces: Sequence[Piece], timings: Sequence[Timing], opening: str, closing: str) -> list[Timing]:
    """A segment's words: a sign's own time, in which nobody speaks, is no word's."""
    return [
        Timing(text, timings[index].start, timings[index].end, timings[index].probability)
        for text, index in with_punctuation(pieces, opening, closing)
    ]
