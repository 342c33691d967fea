"""Results as a run of three rounds would give them, with one peer that fails and two that do not."""

from ttscribe.bench.limits import Limits
from ttscribe.bench.machine import Machine
from ttscribe.bench.results import FORMAT, OURS, ClipRun, Heard, Measured, Results, Run, Stages
from ttscribe.devices.provenance import Provenance

OTHER, INT8, BROKEN = "transformers float32", "faster-whisper int8", "whisper.cpp q8_0"


def measured(scale: float, peak: float, arithmetic: str = "float32") -> Measured:
    """A run whose times are ``scale`` of those of a run of 1 s for the encoder."""
    stages = Stages((scale, 3 * scale, 2 * scale), (3 * scale,), (0.01 * scale,))
    clips = (ClipRun(3 * scale, 20), ClipRun(40 * scale, 400))
    return Measured(2 * scale, stages, clips, peak, {"arithmetic": arithmetic, "versions": "a 1, b 2"})


def results(*, device: str = "cpu", arithmetic: str = "float32", peers: bool = True) -> Results:
    """Ours takes 1, 2 and 4; transformers 2, 2 and 2; faster-whisper 4, 1 and 1."""
    times = {OURS: (1, 2, 4), OTHER: (2, 2, 2), INT8: (4, 1, 1)}
    peaks = {OURS: 600, OTHER: 400, INT8: 1200}
    runs = []
    for count in (1, 2, 3):
        for system in times if peers else (OURS,):
            kind = arithmetic if system == OURS else "float32"
            runs.append(Run(system, count, measured(times[system][count - 1], peaks[system], kind)))
        if peers:
            runs.append(Run(BROKEN, count, absent="no | weights"))
    return Results(
        format=FORMAT,
        date="2026-01-31",
        model="tiny.en",
        weights="its own weights",
        device=device,
        provenance=Provenance.EMULATED if device == "emulator" else Provenance.MEASURED,
        machine=Machine("A processor", ("AVX2", "VNNI"), 4, 2, 8, "Linux 6", 0.25),
        clips=(Heard("short.wav", 10.0), Heard("long.wav", 240.0)),
        encoder_operations=8_000_000_000,
        layer_weights=4_000_000,
        vocabulary_weights=6_000_000,
        limits=(Limits(9e9, {"float32": 3e9, "int8": 9e9}), Limits(8e9, {"float32": 4e9})),
        runs=tuple(runs),
    )
