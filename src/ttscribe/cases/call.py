"""A case's call as a Program has it."""

from __future__ import annotations

from typing import Any

from ttscribe.cases.case import Case, attribute
from ttscribe.compiler.operations import Operation
from ttscribe.compiler.program import Op

_DESTINATIONS = "output_tensors"


def called(case: Case, operation: Operation) -> Op:
    """The call without its results; raises KeyError for a positional argument that has no name in ``operation``.

    Of several tensors that are to take the results, ``destinations`` tells: a Program names one at most.
    """
    operands: list[str] = []
    attributes: dict[str, Any] = {}
    keywords: dict[str, str] = {}
    rest = list(operation.positional)
    for given in case.args:
        listed = given if isinstance(given, list) and any(map(_is_tensor, given)) else [given]
        if all(map(_is_tensor, listed)):
            operands += [each["tensor"] for each in listed]
        else:
            attributes[_next(rest)] = attribute(given)
    for name, given in case.kwargs.items():
        if name == _DESTINATIONS and len(given) > 1:
            continue
        one = given[0] if isinstance(given, list) and len(given) == 1 and _is_tensor(given[0]) else given
        if not _is_tensor(one):
            attributes[name] = attribute(given)
        elif name in operation.operand_names:
            operands.append(one["tensor"])
        else:
            keywords[name] = one["tensor"]
    return Op(case.target, tuple(operands), (), tuple(keywords.items()), tuple(attributes.items()))


def destinations(case: Case) -> list[str]:
    """Names of the inputs that are to take the results, where there are several."""
    listed = case.kwargs.get(_DESTINATIONS, [])
    return [each["tensor"] for each in listed] if len(listed) > 1 else []


def _next(names: list[str]) -> str:
    if not names:
        raise KeyError("a positional argument that the table of operations does not know")
    return names.pop(0)


def _is_tensor(given: Any) -> bool:
    return isinstance(given, dict) and "tensor" in given
