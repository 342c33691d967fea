"""One measurement: weights and recordings for all systems, then rounds in which the systems take turns."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ttscribe.bench.clips import Clip, clips
from ttscribe.bench.environment import peers_python
from ttscribe.bench.ggml import write_ggml
from ttscribe.bench.limits import Limits
from ttscribe.bench.machine import cores, machine
from ttscribe.bench.processes import SCRIPTS, Interpreter, StepFailed
from ttscribe.bench.request import Request
from ttscribe.bench.results import FORMAT, OURS, Heard, Measured, Results, Run
from ttscribe.bench.weights import write_huggingface
from ttscribe.bench.work import encoder_operations, layer_weights, vocabulary_weights
from ttscribe.devices import require_values
from ttscribe.devices.provenance import provenance
from ttscribe.devices.ttnn.simulator import refuse_time
from ttscribe.errors import DeviceError, ModelNotFound
from ttscribe.whisper.checkpoints.hub import canonical_name
from ttscribe.whisper.config import SIZES, WhisperConfig

WINDOW_TOKENS = 32
"""Tokens of a window with random weights, and of the measurement of a token."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class System:
    """How a system is measured: the module with its class, what that calls its arithmetic, and its weights' format."""

    module: str
    setting: str | None
    weights: str


PEERS = {
    "transformers float32": System("with_transformers", "float32", "huggingface"),
    "transformers int8": System("with_transformers", "int8", "huggingface"),
    "faster-whisper float32": System("with_faster_whisper", "float32", "ctranslate2"),
    "faster-whisper int8": System("with_faster_whisper", "int8", "ctranslate2"),
    "whisper.cpp q8_0": System("with_whisper_cpp", None, "ggml.bin"),
}


def measure(request: Request, tell: Tell) -> Results:
    """Measure what is asked for; ``tell`` is given what is being done.

    Raises:
        ModelError, AudioError, OptionError: what is asked for cannot be had. DeviceError: the device cannot run it, or
        its times are no device's.
    """
    require_values(request.device)
    if request.device.startswith("ttnn"):
        refuse_time("nothing is timed on it")
    heard = clips(request.audio)
    with tempfile.TemporaryDirectory(prefix="ttscribe-bench-") as folder:
        return _Bench(request, Path(folder), tell).run(heard)


class _Bench:
    def __init__(self, request: Request, folder: Path, tell: Tell) -> None:
        self.request, self.folder, self.tell = request, folder, tell
        self.threads = request.threads or cores()
        self.ours = Interpreter(Path(sys.executable), self.threads)
        self.systems = {OURS: System("ttscribe.bench.ours", request.precision, "huggingface")}
        self.unprepared: dict[str, str] = {}

    def run(self, heard: Sequence[Clip]) -> Results:
        request = self.request
        config = self._write_weights()
        theirs = self._prepare_peers() if request.peers else self.ours
        paths = [self._saved(index, clip) for index, clip in enumerate(heard)]
        found = machine(self.threads)
        limits, runs = self._rounds(theirs, paths, config)
        weights = f"random weights, {WINDOW_TOKENS} tokens a window" if request.random_weights else "its own weights"
        return Results(
            format=FORMAT,
            date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
            model=request.name,
            weights=weights,
            device=request.device,
            provenance=provenance(request.device),
            machine=found,
            clips=tuple(Heard(clip.name, clip.seconds) for clip in heard),
            encoder_operations=encoder_operations(config),
            layer_weights=layer_weights(config),
            vocabulary_weights=vocabulary_weights(config),
            limits=tuple(limits),
            runs=tuple(runs),
        )

    def _write_weights(self) -> WhisperConfig:
        name, random = self.request.model, self.request.random_weights
        self.tell(f"writing the weights of {name}")
        folder = self.folder / "huggingface"
        folder.mkdir()
        try:
            return write_huggingface(name, folder, random=random)
        except ModelNotFound as error:
            if random or canonical_name(name) not in SIZES:
                raise
            raise ModelNotFound(f"{error} To measure its shape without its weights, add --random-weights.") from error

    def _prepare_peers(self) -> Interpreter:
        """Their Python, and the weights in their formats; formats that could not be written are noted."""
        theirs = Interpreter(peers_python(self.tell), self.threads)
        self.systems |= PEERS
        source = self.folder / "huggingface"
        self.tell("writing the weights for the peers")
        write_ggml(source, self.folder / "ggml.bin")
        try:
            theirs.run(SCRIPTS / "convert_ctranslate2.py", source, self.folder / "ctranslate2")
        except StepFailed as error:
            self.unprepared["ctranslate2"] = f"no weights ({error})"
        return theirs

    def _saved(self, index: int, clip: Clip) -> Path:
        path = self.folder / f"{index}.npy"
        np.save(path, clip.samples)
        return path

    def _rounds(
        self, theirs: Interpreter, paths: Sequence[Path], config: WhisperConfig
    ) -> tuple[list[Limits], list[Run]]:
        limits, runs = [], []
        for system in self.systems:
            # The first start reads files from the disk, and is not counted.
            self.tell(f"{system}: first start")
            self._attempt(system, 0, theirs, ())
        for count in range(1, self.request.runs + 1):
            self.tell(f"round {count} of {self.request.runs}: the machine's limits")
            limits.append(self._limits(config))
            for system in self.systems:
                self.tell(f"round {count} of {self.request.runs}: {system}")
                runs.append(self._attempt(system, count, theirs, paths))
        return limits, runs

    def _limits(self, config: WhisperConfig) -> Limits:
        arguments = map(str, (self.threads, config.d_model, config.encoder_ffn_dim))
        return msgspec.json.decode(self.ours.run("-m", "ttscribe.bench.limits", *arguments), type=Limits)

    def _attempt(self, name: str, count: int, theirs: Interpreter, paths: Sequence[Path]) -> Run:
        """A run of one system; what a peer cannot do is noted, what ttscribe cannot do is raised."""
        system = self.systems[name]
        if reason := self.unprepared.get(system.weights):
            return Run(name, count, absent=reason)
        try:
            made = (self.ours if name == OURS else theirs).worker(self._plan(system, paths), self.folder)
        except StepFailed as error:
            if name == OURS:
                raise DeviceError(f"ttscribe on {self.request.device} could not be measured: {error}") from error
            return Run(name, count, absent=str(error))
        return Run(name, count, msgspec.convert(made, Measured) if paths else None)

    def _plan(self, system: System, paths: Sequence[Path]) -> dict[str, Any]:
        return {
            "module": system.module,
            "setting": system.setting,
            "weights": str(self.folder / system.weights),
            "threads": self.threads,
            "random": self.request.random_weights,
            "window_tokens": WINDOW_TOKENS,
            "clips": [str(path) for path in paths],
            "device": self.request.device,
        }
