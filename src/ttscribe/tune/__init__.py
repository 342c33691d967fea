"""Which configuration a call has: candidates by rules, accepted by TT-NN on a mock board, ordered by time."""

from ttscribe.tune.search import Clock, measured, projected, tune

__all__ = ["Clock", "measured", "projected", "tune"]
