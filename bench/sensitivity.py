"""What a cheaper setting of each kind of operation costs in accuracy, and saves: what a mixed policy is made by.

    bench/sensitivity.py --speech DIR [--models tiny.en,base] [--utterances 6]

From ``bfp8-hifi3``, each kind of operation in turn is given math fidelity HiFi2. Printed for each: how far the logits
of read utterances are then from float32 PyTorch's, as the kernels compute: the mean and the largest of the clips'
1 - PCC. Then the projected milliseconds that distil-large-v3's encoder takes on an n150, at least and at most.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accuracy import in_order, is_read_utterance, recordings
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import POLICIES, CompileSettings, Override, Precision
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.devices.programs import ProgramRunner
from ttscribe.evaluation.compare import Comparison
from ttscribe.evaluation.speech import Clip
from ttscribe.reports.constants import N150
from ttscribe.reports.kernel_times import kernel_times, total
from ttscribe.whisper.checkpoints import load_checkpoint
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

# Not the default: that has HiFi2 already where it was found to cost little.
BASE = POLICIES["bfp8-hifi3"]
KINDS = {
    "nothing": (),
    "encoder: queries, keys, values": ("encode.*_q_proj_weight",),
    "encoder: attention": ("encode.scaled_dot_product_attention",),
    "encoder: attention's output": ("encode.*_out_proj_weight",),
    "encoder: first of feed-forward": ("encode.*_fc1_weight",),
    "encoder: second of feed-forward": ("encode.*_fc2_weight",),
    "cross_kv": ("cross_kv.*",),
}


def with_hifi2(patterns: Sequence[str]) -> Precision:
    overrides = tuple(Override(pattern, "tried", "HiFi2") for pattern in patterns)
    return replace(BASE, overrides=overrides)


def errors(speech: Path, model: str, policy: Precision, utterances: int) -> list[float]:
    """1 - PCC of each of the first utterances."""
    checkpoint = load_checkpoint(model, offline=True)
    device = EmulatedDevice(exact=False, as_kernels=True)
    runner = ProgramRunner(checkpoint.model.float(), device, CompileSettings(policy), checkpoint.suppress_tokens)
    comparison = Comparison(load_checkpoint(model, offline=True), runner, model, policy.name)
    found = []
    for each in list(filter(is_read_utterance, in_order(recordings(speech, model))))[:utterances]:
        forced, _ = comparison.of(Clip(speech / each["file"], each["reference"], each["sec"]), each["file"])
        found.append(1 - forced.mean_pcc)
    return found


def milliseconds(graphs: Sequence[CapturedGraph], policy: Precision) -> tuple[float, float]:
    """Of the programs one after the other, by what their kernels add up to."""
    settings = CompileSettings(policy)
    programs = [compile_graph(each, settings).program for each in graphs]
    times = [time for program in programs for time in kernel_times(program, N150)]
    least, most = total(times, [program.name for program in programs])
    return 1e3 * least, 1e3 * most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--models", default="tiny.en,base")
    parser.add_argument("--utterances", type=int, default=6)
    arguments = parser.parse_args()
    timed = shape_only_model(SIZES["distil-large-v3"])
    graphs = [capture_program(name, timed) for name in ("encode", "cross_kv")]
    for kind, patterns in KINDS.items():
        policy = with_hifi2(patterns)
        least, most = milliseconds(graphs, policy)
        for model in arguments.models.split(","):
            found = errors(arguments.speech, model, policy, arguments.utterances)
            figures = (f"{statistics.fmean(found):.6f}", f"{max(found):.6f}", f"{least:.1f}", f"{most:.1f}")
            print(kind, model, *figures, sep=" | ", flush=True)


if __name__ == "__main__":
    main()
