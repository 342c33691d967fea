"""What stands in for a card: it computes nothing, and takes the time that it is told."""

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

from ttscribe.reports import tuning


class StandInCard:
    """A card that computes nothing: a run takes the seconds that ``costs`` gives for each of its calls."""

    def __init__(self, costs):
        self.costs, self.now, self.runs = costs, 0.0, Counter()

    def load(self, program, params):
        assert params == {}
        return SimpleNamespace(program=program)

    def zeros(self, spec):
        return spec

    @contextmanager
    def repeated(self, loaded, inputs):
        assert [value.spec for value in loaded.program.inputs] == inputs
        calls = [op for op in loaded.program.ops if op.outputs]

        def run():
            self.runs[len(calls)] += 1
            self.now += sum(map(self.costs, calls))

        yield run


def timed_by(monkeypatch, costs):
    """A stand-in whose clock is the one that programs are timed by, for as long as ``monkeypatch`` lasts."""
    card = StandInCard(costs)
    monkeypatch.setattr(tuning, "time", SimpleNamespace(perf_counter=lambda: card.now))
    return card
