"""What is kept of a step that is off: its inputs and expected results, and a script that makes the one call on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ttscribe.compiler.program import Op, Program, TensorSpec
from ttscribe.compiler.reproduce import EXPECTED, INPUT, call_script
from ttscribe.files import make_folder, replacing, write_text
from ttscribe.lockstep.findings import Kept
from ttscribe.lockstep.sides import placeable


def keep(folder: Path, program: Program, step: int, inputs: Mapping[str, Any], expected: Mapping[str, Any]) -> Kept:
    """Write both files into ``folder``, named by the program and the step; raises OutputError.

    ``inputs`` are host tensors by name, the call's constants among them.
    """
    op = program.body[step]
    assert isinstance(op, Op)
    stem = f"{program.name}-{step}-{op.target.rpartition('.')[2]}"
    kept = Kept(folder / f"{stem}.safetensors", folder / f"{stem}.py")
    forms = {
        name: placeable(spec)
        for name, spec in program.specs().items()
        if isinstance(spec, TensorSpec) and name in inputs
    }
    make_folder(folder)
    values = {f"{INPUT}{name}": value for name, value in inputs.items()}
    values |= {f"{EXPECTED}{name}": value for name, value in expected.items()}
    with replacing(kept.values) as new:
        save_file({name: _held(value) for name, value in values.items()}, new)
    write_text(kept.script, call_script(program, step, forms, kept.script.name, kept.values.name))
    return kept


def _held(value: Tensor) -> Tensor:
    """Whole numbers as int32: what TT-NN takes."""
    return value.contiguous() if value.is_floating_point() else value.to(torch.int32).contiguous()
