"""Many recordings by several processes, or several machines, with an index of what became of each."""

from ttscribe.batch.cluster import LOCAL, cluster
from ttscribe.batch.doing import Item, Plan
from ttscribe.batch.index import Entry, Index
from ttscribe.batch.inputs import place, recordings
from ttscribe.batch.run import run
from ttscribe.batch.workers import Processes

__all__ = ["LOCAL", "Entry", "Index", "Item", "Plan", "Processes", "cluster", "place", "recordings", "run"]
