"""Many recordings by several processes of one machine, with an index of what became of each."""

from ttscribe.batch.index import Entry, Index
from ttscribe.batch.inputs import place, recordings
from ttscribe.batch.run import Item, Plan, run

__all__ = ["Entry", "Index", "Item", "Plan", "place", "recordings", "run"]
