"""Proof without hardware: programs run through TT-NN's own host code on a mock board.

``ttscribe.check.programs`` makes what can be checked; it is not imported here, for the process on the mock board has no
use for it and would wait seconds for it.
"""

from ttscribe.check.findings import CheckReport, Finding, Kind, ProgramCheck
from ttscribe.check.run import Checkable, check_programs

__all__ = ["CheckReport", "Checkable", "Finding", "Kind", "ProgramCheck", "check_programs"]
