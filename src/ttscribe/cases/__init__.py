"""Cases of TT-NN's kernels: one call each, its inputs, and what the kernels made of them on a card or a simulator.

``ttscribe.cases.worker`` is the process in which a case runs; it is not imported here.
"""

from ttscribe.cases.case import Case, Drawn, Input, read_cases
from ttscribe.cases.record import Recorder, Recording

__all__ = ["Case", "Drawn", "Input", "Recorder", "Recording", "read_cases"]
