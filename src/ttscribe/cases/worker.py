"""The process in which one case runs: ``python -m ttscribe.cases.worker FOLDER DEVICE``.

FOLDER has ``case.json`` and ``inputs.safetensors``. What is read back goes into ``results.safetensors``; the last thing
written is ``result.json``: whoever started the process knows by its absence that TT-NN ended it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ttscribe.cases.case import Case, attribute
from ttscribe.cases.reference import written
from ttscribe.compiler.operations.arguments import Name, evaluate
from ttscribe.devices.ttnn.calls import Calls
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.devices.ttnn.loaded import complaint
from ttscribe.errors import DeviceUnavailable


class Worker:
    """Makes the call of a case on a device, and tells what came of it."""

    def __init__(self, device: TtnnDevice, case: Case, inputs: Mapping[str, Tensor]) -> None:
        self.device, self.case, self.calls = device, case, Calls(device.library, device.handle)
        self.read: dict[str, Tensor] = {}
        self._given = {name: self._placed(name, values) for name, values in inputs.items()}

    def run(self) -> dict[str, Any]:
        """The fields of the result; what is read back is in ``read``, inputs as the device held them by their names."""
        self.read |= {f"input.{name}": self._read(tensor) for name, tensor in self._given.items()}
        function = evaluate(Name(self.case.target), {"ttnn": self.device.library})
        made = function(*map(self._argument, self.case.args), **self._keywords())
        self.device.synchronize()
        outputs: dict[str, Any] = {}
        for index, tensor in enumerate(_tensors(made)):
            outputs[f"out{index}"] = self._described(tensor)
            self.read[f"out{index}"] = self._read(tensor)
        outputs |= dict(self._after())
        return {"status": "ok", "outputs": outputs}

    def _placed(self, name: str, values: Tensor) -> Any:
        given = self.case.inputs[name]
        if given.host and not given.spec.dtype.floating:
            return values
        if given.host:
            return self.device.library.from_torch(values.float(), dtype=self.calls.argument(given.spec.dtype))
        return self.calls.place(self.calls.host_tensor(values.reshape(given.shape), given.spec), given.spec)

    def _keywords(self) -> dict[str, Any]:
        return {name: self._argument(item) for name, item in self.case.kwargs.items()}

    def _argument(self, item: Any) -> Any:
        if isinstance(item, dict) and "tensor" in item:
            return self._given[item["tensor"]]
        if isinstance(item, dict) and item.get("kind") == "device":
            return self.device.handle
        if isinstance(item, list):
            return [self._argument(each) for each in item]
        return self.calls.argument(attribute(item))

    def _read(self, tensor: Any) -> Tensor:
        return tensor.clone() if isinstance(tensor, Tensor) else _kept(self.device.library.to_torch(tensor))

    def _described(self, tensor: Any) -> dict[str, Any]:
        words = {"dtype": tensor.dtype, "layout": tensor.layout, "memory": tensor.memory_config().buffer_type}
        plain = {name: str(word).rpartition(".")[2].lower() for name, word in words.items()}
        return {"shape": list(tensor.shape), **plain, "sharded": bool(tensor.is_sharded())}

    def _after(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Inputs that the call is said to write, and those that are others than before."""
        said = written(self.case)
        for name, tensor in self._given.items():
            if self.case.inputs[name].host:
                continue
            now = self._read(tensor)
            if name in said or not torch.equal(now, self.read[f"input.{name}"]):
                self.read[f"{name}.after"] = now
                yield f"{name}.after", {"shape": list(now.shape), "written": True}


def _tensors(made: Any) -> list[Any]:
    listed = made if isinstance(made, tuple | list) else [made]
    return [each for each in listed if hasattr(each, "memory_config")]


def _kept(values: Tensor) -> Tensor:
    """bfloat16 where that holds the values exactly, else float32; whole numbers as int32."""
    if not values.is_floating_point():
        return values.to(torch.int32).contiguous()
    values = values.float()
    short = values.to(torch.bfloat16)
    same = (short.float() == values) | values.isnan()
    return (short if bool(same.all()) else values).contiguous()


def _result(folder: Path, device_name: str) -> dict[str, Any]:
    case = msgspec.json.decode((folder / "case.json").read_bytes(), type=Case)
    try:
        device = TtnnDevice(device_name.partition(":")[2] or None)
    except DeviceUnavailable as error:
        return {"unavailable": str(error)}
    try:
        worker = Worker(device, case, load_file(folder / "inputs.safetensors"))
        result = worker.run()
        save_file({name: values.contiguous() for name, values in worker.read.items()}, folder / "results.safetensors")
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        return {"status": "refused", "message": complaint(error)}
    return {**result, "board": device.board.name}


def main() -> None:
    """Run the case that FOLDER holds."""
    folder, device_name = Path(sys.argv[1]), sys.argv[2]
    (folder / "result.json").write_text(json.dumps(_result(folder, device_name)))
    sys.stdout.flush()
    # The result is written; what TT-NN does while it shuts down is of no interest.
    os._exit(0)


if __name__ == "__main__":
    main()
