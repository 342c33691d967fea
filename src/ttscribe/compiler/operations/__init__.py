"""The one table of TT-NN operations that a Program may contain: a record for each, in the file of its family."""

from ttscribe.compiler.operations.attention import ATTENTION
from ttscribe.compiler.operations.convolution import CONVOLUTION
from ttscribe.compiler.operations.lookup import LOOKUP
from ttscribe.compiler.operations.matmul import MATMUL
from ttscribe.compiler.operations.movement import MOVEMENT
from ttscribe.compiler.operations.normalisation import NORMALISATION
from ttscribe.compiler.operations.operation import Extent, Family, Kernel, Operation, SpecError
from ttscribe.compiler.operations.pointwise import POINTWISE
from ttscribe.compiler.operations.reduction import REDUCTION
from ttscribe.compiler.operations.state import STATE
from ttscribe.compiler.operations.transfer import FREES, MOVES_IN, MOVES_OUT, TRANSFER

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for family in (
        *(MATMUL, CONVOLUTION, ATTENTION, NORMALISATION, POINTWISE),
        *(REDUCTION, MOVEMENT, LOOKUP, STATE, TRANSFER),
    )
    for operation in family
}

__all__ = ["FREES", "MOVES_IN", "MOVES_OUT", "OPERATIONS", "Extent", "Family", "Kernel", "Operation", "SpecError"]
