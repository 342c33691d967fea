"""Two devices in lockstep: a program operation by operation on both, and which operation is the first to differ.

``ttscribe.lockstep.workload`` makes what can be compared.
"""

from ttscribe.lockstep.compare import Opened, Range, compare, opened
from ttscribe.lockstep.findings import Comparison, Kept, StepFound

__all__ = ["Comparison", "Kept", "Opened", "Range", "StepFound", "compare", "opened"]
