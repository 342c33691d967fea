"""Windows decoded together: each becomes what it becomes alone."""

from dataclasses import dataclass

import numpy as np
import pytest

from decoding.stand_in_runner import StandIn
from decoding.test_windows import BEGIN, LOOP, PROMPT, PROSE, RULES, Alphabet, StandInWindow, says
from ttscribe import DecodingOptions
from ttscribe.decoding import LAST, WindowDecoder


class Rows(StandIn):
    """Each row has a model of its own; ``widths`` are the rows of each step."""

    def __init__(self):
        super().__init__(lambda before: None, positions=448)
        self.widths = []

    def start(self, models):
        return [(model, []) for model in models]

    def prefill(self, tokens, state, rows=LAST):
        for (_, said), row in zip(state, tokens.tolist(), strict=True):
            said.extend(row)
        ends = np.arange(1, tokens.shape[1] + 1)[[*rows]].tolist()
        return np.stack([np.stack([model(said[:end]) for end in ends]) for model, said in state])

    def decode_step(self, token, position, state):
        self.widths.append(len(state))
        for (_, said), new in zip(state, token.tolist(), strict=True):
            said.append(new)
        return np.stack([model(said) for model, said in state])

    def reorder(self, state, rows):
        return [(state[row][0], [*state[row][1]]) for row in rows]


@dataclass
class OneOfRows(StandInWindow):
    model: object = None

    def start(self, first=0, last=None):
        return self.runner.start([self.model])


def unsure(before):
    """A model that is not sure of anything it says, and sometimes says something else at a temperature."""
    return says(*PROSE)(before) / 3


# A sentence that ends in the middle of the window, after which text goes on without a time: it is decoded again.
UNFINISHED = [BEGIN, *range(20), BEGIN + 500, BEGIN + 500, *range(20, 40)]

MODELS = {
    "prose": (says(*PROSE), ((0.0, 30.0),)),
    "a loop": (says(*LOOP), ((0.0, 30.0),)),
    "silence": (says(*PROSE, no_speech=0.9), ()),
    "unsure": (unsure, ((0.0, 30.0),)),
    "unfinished": (says(*UNFINISHED), ((0.0, 30.0),)),
    "speech in the first third": (says(*PROSE), ((0.0, 9.0),)),
}


@pytest.mark.parametrize(
    "options",
    [DecodingOptions(best_of=1), DecodingOptions.plain(), DecodingOptions(best_of=1, beam_size=2)],
    ids=["guarded", "plain", "beams"],
)
def test_each_window_becomes_what_it_becomes_alone(options):
    runner = Rows()
    decoder = WindowDecoder(runner, Alphabet(), RULES, options, timestamps=True)
    windows = [OneOfRows(runner, spoken, model=model) for model, spoken in MODELS.values()]
    seeds = range(len(windows))
    alone = [decoder.decode(window, PROMPT, seed) for window, seed in zip(windows, seeds, strict=True)]
    runner.widths.clear()
    state = runner.start([window.model for window in windows])
    together = decoder.decode_together(windows, state, [PROMPT] * len(windows), seeds)
    for name, one, other in zip(MODELS, together, alone, strict=True):
        assert one.segments == other.segments, name
        assert (one.advance, one.is_context) == (other.advance, other.is_context), name
        assert one.decoded.temperature == other.decoded.temperature, name
    assert together[-2].advance == 1000
    # Rows that have ended are decoded on; searches that are over are not, and the first is after 44 steps.
    steps = 50 if options.beam_size == 1 else 44
    assert runner.widths[:steps] == [len(windows) * options.beam_size] * steps
    # Those that are doubted go on alone.
    assert (options.beam_size in runner.widths) == (options.no_speech_threshold is not None)
