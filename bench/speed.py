"""Speed and memory of ttscribe beside its peers: ``python bench/speed.py --help``; docs/performance.md explains.

Nothing heavy is imported here: a process's peak memory starts from that of the process that started it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from speed_report import print_tables, rewrite
from speed_systems import SYSTEMS, TOKENS

HERE = Path(__file__).resolve().parent
PACKAGES = ("ttscribe", "torch", "transformers", "faster-whisper", "ctranslate2", "numpy")


@dataclass(frozen=True, slots=True)
class Model:
    """A model to measure; ``runs`` is how often, unless the caller says."""

    weights: str
    random: bool
    runs: int


MODELS = {
    "base": Model("real weights", random=False, runs=3),
    "distil-large-v3": Model(f"random weights, {TOKENS} tokens for each window of 30 s", random=True, runs=1),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; ``clips`` is how many, the shortest first."""

    models: Sequence[str]
    systems: Sequence[str]
    runs: int | None
    clips: int | None
    threads: int


class StepFailed(Exception):
    """A process did not do its work; the message is the last line that it wrote."""


def run_step(script: str, *arguments: str | Path, threads: int) -> str:
    """Run a script of this folder in a fresh process; its standard output."""
    # The libraries read it when they load: a value left over from a shell would hold some of them back.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise StepFailed(f"killed by signal {-done.returncode}")
    if done.returncode:
        raise StepFailed(done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}")
    return done.stdout


def measure(plan: Plan) -> dict[str, Any]:
    """Measure everything in the plan: machine, versions, clips and raw runs, as they are saved."""
    results = {"date": f"{datetime.now(timezone.utc):%Y-%m-%d}", "machine": machine(plan.threads)}
    with tempfile.TemporaryDirectory(prefix="ttscribe-bench-") as folder:
        tell("preparing clips")
        clips = Path(folder, "clips")
        run_step("speed_prepare.py", "clips", clips, threads=plan.threads)
        listed = json.loads((clips / "clips.json").read_text())[: plan.clips]
        paths = [clips / f"{index}.npy" for index in range(len(listed))]
        runs = [run for model in plan.models for run in measure_model(plan, model, paths)]
    weights = {model: MODELS[model].weights for model in plan.models}
    return results | {"versions": versions(), "clips": listed, "weights": weights, "runs": runs}


def measure_model(plan: Plan, model: str, clips: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The raw runs, one for each round and system; the systems take turns, so that a slow minute hits all alike."""
    rounds = plan.runs or MODELS[model].runs
    with tempfile.TemporaryDirectory(prefix="ttscribe-bench-") as folder:
        unprepared = prepare(Path(folder), model, plan)
        for count in range(1, rounds + 1):
            for system in plan.systems:
                tell(f"{model}, round {count} of {rounds}: {system}")
                weights = SYSTEMS[system].weights
                reason = unprepared.get(weights)
                result = {"absent": reason} if reason else attempt(plan, model, system, Path(folder, weights), clips)
                yield {"model": model, "system": system, "round": count, **result}


def prepare(folder: Path, model: str, plan: Plan) -> dict[str, str]:
    """Write the model in the formats that the systems read; those that could not be written, with the reason."""
    tell(f"preparing {model}")
    source = folder / "huggingface"
    failed = failure("huggingface", model, source, threads=plan.threads)
    if failed:
        return dict.fromkeys(("huggingface", "ctranslate2"), failed)
    if all(SYSTEMS[system].weights == "huggingface" for system in plan.systems):
        return {}
    failed = failure("ctranslate2", source, folder / "ctranslate2", threads=plan.threads)
    return {"ctranslate2": failed} if failed else {}


def failure(*step: str | Path, threads: int) -> str:
    """Why a step of preparation failed; empty where it did not."""
    try:
        run_step("speed_prepare.py", *step, threads=threads)
    except StepFailed as error:
        return f"no weights ({error})"
    return ""


def attempt(plan: Plan, model: str, system: str, weights: Path, clips: Sequence[Path]) -> dict[str, Any]:
    """What the worker measured, or why it could not."""
    random = str(int(MODELS[model].random))
    try:
        output = run_step("speed_worker.py", system, weights, str(plan.threads), random, *clips, threads=plan.threads)
    except StepFailed as error:
        return {"absent": str(error)}
    measured: dict[str, Any] = json.loads(output.splitlines()[-1])
    return measured


def machine(threads: int) -> dict[str, Any]:
    """What the figures depend on; the load average tells whether something else ran."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": os.getloadavg()[0],
    }


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def versions() -> dict[str, str]:
    found = {name: version for name in PACKAGES if (version := version_of(name))}
    return {"Python": platform.python_version(), **found}


def version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def names(known: Mapping[str, Any]) -> Any:
    """Parser of a comma-separated choice of the keys of ``known``."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return chosen

    return parse


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and memory of ttscribe beside its peers, in one run.")
    parser.add_argument("--models", type=names(MODELS), default=list(MODELS), help="default: all")
    parser.add_argument("--systems", type=names(SYSTEMS), default=list(SYSTEMS), help="default: all")
    parser.add_argument("--runs", type=positive, help="of each system; default: base 3, distil-large-v3 1")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="base, the shortest clip, one run: does it all work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the raw runs")
    parser.add_argument("--from", dest="saved", type=Path, metavar="FILE", help="take saved runs and measure nothing")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="put the tables between the markers of a page")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.saved:
        results = json.loads(given.saved.read_text(encoding="utf-8"))
    elif given.quick:
        results = measure(Plan(["base"], given.systems, 1, 1, given.threads))
    else:
        results = measure(Plan(given.models, given.systems, given.runs, None, given.threads))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print_tables(results)
    if given.markdown:
        rewrite(given.markdown, results)


if __name__ == "__main__":
    try:
        main()
    except (StepFailed, OSError, ValueError) as error:
        sys.exit(f"speed.py: {error}")
