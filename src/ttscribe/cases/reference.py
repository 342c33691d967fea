"""What float32 PyTorch makes of a case, where the emulator knows the operation, and how far a result is from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ttscribe.cases.call import called, destinations
from ttscribe.cases.case import Case
from ttscribe.compiler.operations import OPERATIONS, Operation, SpecError
from ttscribe.compiler.operations.emulation import Call, DeviceTensor, settled
from ttscribe.compiler.program import Config, Op, Value
from ttscribe.devices.emulator.loaded import emulated
from ttscribe.errors import EmulationError
from ttscribe.evaluation.correlation import correlation

# Arguments that say how a call is computed and nothing of what: TT-NN has more of them than the table of operations.
_HOW = ("program_config", "core_grid", "numeric_stable", "fast_and_approximate_mode", "device")
_DIGITS = 8


@dataclass(frozen=True)
class Reference:
    """Results in order, and inputs by name as they are after the call: float32, or int64."""

    results: tuple[Tensor, ...]
    inputs: Mapping[str, Tensor]


def reference(case: Case, values: Mapping[str, Tensor]) -> Reference | None:
    """The case in float32, on the values that the device held; None where the emulator cannot say."""
    operation = OPERATIONS.get(case.target)
    if operation is None or operation.emulate is None:
        return None
    tensors = {
        name: DeviceTensor(given.spec, settled(values[name].clone(), given.spec, exact=True))
        for name, given in case.inputs.items()
    }
    try:
        op = _op(case, operation)
        specs = operation.infer(op, [tensors[name].spec for name in op.inputs])
        op = replace(op, outputs=tuple(Value(f"out{index}", spec) for index, spec in enumerate(specs)))
        keywords = {parameter: tensors[name] for parameter, name in op.keywords}
        made = emulated(Call(op, tuple(tensors[name] for name in op.operands), keywords, exact=True))
    except (SpecError, EmulationError, RuntimeError, KeyError, TypeError, ValueError, IndexError):
        return None
    after = {name: each.data for name, each in tensors.items()}
    named, results = destinations(case), [each.data for each in made]
    # Named twice, a tensor holds the first result that is written to it, of its shape.
    after |= dict(reversed(list(zip(named, results, strict=False))))
    # TT-NN gives back what it has written.
    returned = named or ([] if results else operation.written(op))
    return Reference(tuple(after[name] for name in returned) or tuple(results), after)


def _op(case: Case, operation: Operation) -> Op:
    """The call, of which only what is computed is left; raises KeyError as ``called`` does."""
    op = called(case, operation)
    return replace(op, attributes=tuple(_known(dict(op.attributes)).items()))


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What is computed: an activation in a program config is one, the rest of how it is computed is left out."""
    kept = {name: item for name, item in attributes.items() if name not in _HOW}
    config = attributes.get("program_config")
    fused = dict(config.fields).get("fused_activation") if isinstance(config, Config) else None
    if isinstance(fused, Config):
        kept["activation"] = _plain(fused).lower()
    conv = kept.get("conv_config")
    if isinstance(conv, Config) and isinstance(activation := dict(conv.fields).get("activation"), Config):
        plain = {**dict(conv.fields), "activation": Config(activation.kind, (("op", _plain(activation)),))}
        kept["conv_config"] = Config(conv.kind, tuple(plain.items()))
    return kept


def _plain(activation: Config) -> str:
    return str(activation["op"]).removesuffix("_TANH")


def compared(result: Tensor, wanted: Tensor) -> dict[str, Any]:
    """The fields that say how far a result is: ``pcc``, ``max_abs``, ``equal`` (to the reference rounded to bfloat16)
    and ``max_ref``; of another shape a note alone.
    """
    if result.shape != wanted.shape:
        return {"reference_note": f"reference has shape {tuple(wanted.shape)}"}
    if not result.numel():
        return {}
    ours, theirs = result.double(), wanted.double()
    rounded = wanted.to(torch.bfloat16).double() if wanted.is_floating_point() else theirs
    pcc = correlation(ours, theirs)
    same = torch.equal(ours, theirs)
    return {
        "pcc": round(pcc, _DIGITS) if pcc is not None else (1.0 if same else None),
        "max_abs": float((ours - theirs).abs().max()),
        "equal": round(float((ours == rounded).double().mean()), 6),
        "max_ref": float(theirs.abs().max()),
    }


def written(case: Case) -> tuple[str, ...]:
    """Names of the inputs that the call is said to write."""
    operation = OPERATIONS.get(case.target)
    if operation is None:
        return ()
    try:
        return (*operation.written(_op(case, operation)), *destinations(case))
    except (KeyError, IndexError, TypeError):
        return ()


__all__ = ["Reference", "compared", "reference", "written"]
