"""Records cases on a card or a simulator, each in a process of its own, into a folder that can be added to."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ttscribe.cases.case import Case, values_of
from ttscribe.cases.reference import Reference, compared, reference
from ttscribe.devices import require_values
from ttscribe.devices.provenance import provenance
from ttscribe.devices.ttnn.device import require_card
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.files import make_folder, replacing, write_text

CASES, VALUES = "cases.jsonl", "values.safetensors"


@dataclass(frozen=True)
class Recording:
    """What became of one case: ``record`` is its line of the file of cases."""

    name: str
    status: str
    record: Mapping[str, Any]

    @property
    def told(self) -> str:
        """One line."""
        if self.status != "ok":
            return f"{self.status}: {self.record['message']}"
        known = [each for each in self.record["outputs"].values() if each.get("pcc") is not None]
        worst = min((each["pcc"] for each in known), default=None)
        return "ok" if worst is None else f"ok, correlation with float32 {worst:.7f}"


class Recorder:
    """A folder of recorded cases, and the device that records more.

    Cases whose name the folder has are left as they are. Each case is in the folder as soon as it was run.
    """

    def __init__(self, folder: Path, device: str = "ttnn", timeout_s: float = 600.0) -> None:
        """Raises DeviceUnavailable for a mock board, and where there is neither a card nor a simulator; OptionError for
        another device than TT-NN's, and for a folder that holds something else.
        """
        if device.partition(":")[0] != "ttnn":
            raise OptionError(f"kernels are recorded on ttnn, a card or the simulator, not on {device}")
        require_values(device)
        require_card()
        self.folder, self.device, self.timeout_s = folder, device, timeout_s
        make_folder(folder)
        self._lines = _lines(folder / CASES)
        self._values: dict[str, Tensor] = load_file(folder / VALUES) if (folder / VALUES).exists() else {}
        self._keys = {_digest(values): key for key, values in self._values.items()}

    @property
    def names(self) -> set[str]:
        """Names of the cases that the folder has."""
        return {json.loads(line)["name"] for line in self._lines}

    def record(self, case: Case, values: Mapping[str, Tensor]) -> Recording:
        """Run one case, whose inputs' keys are those of ``values``, and add it to the folder.

        Raises OptionError where values of an input are nowhere, DeviceUnavailable where the device cannot be opened.
        """
        inputs = {name: values_of(name, given, values) for name, given in case.inputs.items()}
        with tempfile.TemporaryDirectory(prefix="ttscribe-record-") as name:
            scratch = Path(name)
            (scratch / "case.json").write_bytes(msgspec.json.encode(case))
            save_file({key: each.contiguous() for key, each in inputs.items()}, scratch / "inputs.safetensors")
            result = self._run(scratch)
            if "unavailable" in result:
                raise DeviceUnavailable(result["unavailable"])
            read = load_file(scratch / "results.safetensors") if result["status"] == "ok" else {}
        held = {key: read.get(f"input.{key}", each) for key, each in inputs.items()}
        record = self._line(case, result, held, read)
        self._keep(record)
        return Recording(case.name, result["status"], record)

    def _run(self, scratch: Path) -> dict[str, Any]:
        """What the process says, or how it ended."""
        command = [sys.executable, "-m", "ttscribe.cases.worker", str(scratch), self.device]
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                command, capture_output=True, text=True, errors="replace", timeout=self.timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return {"status": "timeout", "message": f"did not end within {self.timeout_s:g} s"}
        result = scratch / "result.json"
        if result.exists():
            told: dict[str, Any] = json.loads(result.read_text())
            return told
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return {"status": "unsupported", "message": f"{_ended(done.returncode)}{f': {said[-1]}' if said else ''}"}

    def _line(
        self, case: Case, result: Mapping[str, Any], held: Mapping[str, Tensor], read: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(case)
        for name, given in plain["inputs"].items():
            given.pop("drawn", None)
            # A default is written too: whoever reads the case need not know it.
            given |= {
                "key": self._key(held[name]),
                "layout": case.inputs[name].layout,
                "memory": case.inputs[name].memory,
            }
        record = {**{name: plain[name] for name in ("name", "target", "inputs")}, "group": case.group}
        record |= {"status": result["status"], "args": case.args, "kwargs": case.kwargs}
        record |= {} if case.note is None else {"note": case.note}
        if result["status"] == "ok":
            record["outputs"] = self._outputs(case, result["outputs"], held, read)
        else:
            record["message"] = result["message"]
        return {**record, "ran_on": self._ran_on(result)}

    def _outputs(
        self, case: Case, outputs: Mapping[str, Any], held: Mapping[str, Tensor], read: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        wanted = reference(case, held)
        return {
            name: {
                **described,
                "key": self._key(read[name]) if read[name].numel() else None,
                **_compared(name, read[name], wanted),
            }
            for name, described in outputs.items()
        }

    def _ran_on(self, result: Mapping[str, Any]) -> dict[str, str]:
        return {
            "device": str(result.get("board", self.device)),
            "provenance": provenance(self.device).value,
            "ttnn": version("ttnn"),
            "date": datetime.now(timezone.utc).date().isoformat(),
        }

    def _key(self, values: Tensor) -> str:
        """The key of these values in the folder, where equal tensors are stored once."""
        digest = _digest(values)
        if digest not in self._keys:
            self._keys[digest] = digest
            self._values[digest] = values.contiguous()
        return self._keys[digest]

    def _keep(self, record: Mapping[str, Any]) -> None:
        """Values first: a line in the file of cases has all that it names."""
        self._lines.append(json.dumps(record))
        with replacing(self.folder / VALUES) as new:
            save_file(self._values, new)
        write_text(self.folder / CASES, "\n".join(self._lines) + "\n")


def _compared(name: str, result: Tensor, wanted: Reference | None) -> dict[str, Any]:
    if wanted is None:
        return {}
    if name.endswith(".after"):
        return compared(result, wanted.inputs[name.removesuffix(".after")])
    index = int(name.removeprefix("out"))
    return compared(result, wanted.results[index]) if index < len(wanted.results) else {}


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        for line in lines:
            _ = json.loads(line)["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{path} is no file of cases ({error}): choose another folder") from error
    return lines


def _digest(values: Tensor) -> str:
    """12 hexadecimal digits of element type, shape and bytes."""
    described = f"{values.dtype} {tuple(values.shape)}".encode()
    data = values.detach().contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.blake2b(described + data.tobytes(), digest_size=6).hexdigest()


def _ended(status: int) -> str:
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"the process was ended ({how})"
