"""Proof without hardware: programs run through TT-NN's own host code on a mock board."""

from ttscribe.check.findings import CheckReport, Finding, Kind, ProgramCheck
from ttscribe.check.programs import checkable_whisper, module_programs
from ttscribe.check.run import Checkable, check_programs

__all__ = [
    "CheckReport",
    "Checkable",
    "Finding",
    "Kind",
    "ProgramCheck",
    "check_programs",
    "checkable_whisper",
    "module_programs",
]
