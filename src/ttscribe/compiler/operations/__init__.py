"""The one table of TT-NN operations that a Program may contain: their arguments, results and costs.

What TT-NN accepts and returns, and how many device operations a call launches, were tried call by call with TT-NN
0.81.1's own host code on a mock n150; ``tests/compiler/test_operations.py`` holds the answers. Counts of device
operations for calls beside those (mixed layouts, running sums, look-ups) are what the same paths give.
"""

from ttscribe.compiler.operations.attention import ATTENTION
from ttscribe.compiler.operations.matmul import MATMUL
from ttscribe.compiler.operations.movement import MOVEMENT
from ttscribe.compiler.operations.normalisation import NORMALISATION
from ttscribe.compiler.operations.operation import Operation, SpecError
from ttscribe.compiler.operations.pointwise import POINTWISE
from ttscribe.compiler.operations.reduction import REDUCTION
from ttscribe.compiler.operations.state import STATE

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for family in (MATMUL, NORMALISATION, ATTENTION, POINTWISE, REDUCTION, MOVEMENT, STATE)
    for operation in family
}

__all__ = ["OPERATIONS", "Operation", "SpecError"]
