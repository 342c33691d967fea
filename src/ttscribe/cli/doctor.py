"""``ttscribe doctor``: what this machine has, what is missing, and how to get it."""

import os
import platform
import stat
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from ttscribe import __version__
from ttscribe.cli._config import TABLE, configuration_file, defaults
from ttscribe.cli._terminal import columns
from ttscribe.cli.models import BUNDLED
from ttscribe.errors import OptionError, with_extra

PACKAGES = ("torch", "av", "soxr", "numpy", "tokenizers", "safetensors", "huggingface-hub", "ttnn")
NEEDED = ("torch", "av", "soxr", "tokenizers", "safetensors")
CARDS = Path("/dev/tenstorrent")

Row = tuple[str, str]


def doctor(ctx: typer.Context) -> None:
    """Show what this machine has and what is missing.

    What is missing comes with what brings it. The exit status is 1 where nothing can be transcribed: a
    library does not work, or no model is on this machine.
    """
    broken, models = list(_broken()), _models()
    sections = {
        "versions": _versions(),
        "machine": _machine(),
        "devices": [("cpu", _cpu()), ("cuda", _cuda()), ("ttnn", _ttnn()), *_tenstorrent()] if not broken else [],
        "models": models,
        "caches": _caches(),
        "configuration": [_configuration(ctx)],
        "missing": [*broken, *_missing()],
    }
    for title, rows in sections.items():
        typer.echo(title)
        columns(rows or [("nothing",)], indent="  ")
    if broken or not models:
        raise typer.Exit(1)


def _versions() -> list[Row]:
    python = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    return [("ttscribe", __version__), ("python", python), *((name, _version(name) or "-") for name in PACKAGES)]


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> list[Row]:
    from ttscribe.bench.machine import cores, processor

    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return [("processor", f"{processor()}, {cores()} cores"), ("memory", _size(memory))]


def _cpu() -> str:
    from ttscribe.devices.cpu import automatic

    precision, why = automatic()
    return f"ready; computes in {precision} where nothing else is asked for: {why}"


def _cuda() -> str:
    import torch

    return f"ready: {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "no GPU that PyTorch can use"


def _ttnn() -> str:
    installed = _version("ttnn")
    library = f"ttnn {installed}" if installed else "ttnn is not installed"
    cards = sorted(path.name for path in CARDS.glob("*")) if CARDS.is_dir() else []
    if cards:
        return f"{library}, cards {', '.join(cards)}; ready"
    return f"{library}, no card at {CARDS} ('ttscribe check' needs none)"


def _tenstorrent() -> Iterator[Row]:
    """What cards and the simulator need beside the library."""
    from ttscribe.devices.ttnn import compiler
    from ttscribe.devices.ttnn.simulator import SIMULATOR, simulator, slow_dispatch

    found, named = compiler.find(), simulator()
    yield "ttnn's compiler", f"SFPI, {found}" if found else f"not in {' or '.join(map(str, compiler.places()))}"
    if named is None:
        yield "simulator", f"{SIMULATOR} is not set"
        return
    there = "" if Path(named).exists() else ", which does not exist"
    dispatch = "slow dispatch is set" if slow_dispatch() else "ttscribe sets slow dispatch itself"
    yield "simulator", f"{SIMULATOR} names {named}{there}; {dispatch}"


def _models() -> list[Row]:
    from ttscribe.whisper.checkpoints import available_models

    return [(model.name, model.where) for model in available_models() if model.path]


def _caches() -> list[Row]:
    from huggingface_hub import constants

    from ttscribe.files import cache_folder

    folders = (Path(constants.HF_HUB_CACHE), cache_folder())
    return [(str(folder), _size(_bytes_in(folder)) if folder.is_dir() else "not there") for folder in folders]


def _configuration(ctx: Any) -> Row:
    path, named = configuration_file()
    if not named and not path.exists():
        return str(path), "not there, which is fine"
    command = ctx.find_root().command.get_command(ctx, TABLE)
    try:
        found = defaults(path, command.make_context(TABLE, [], resilient_parsing=True))
    except OptionError as error:
        return str(path), f"cannot be used: {error}"
    return str(path), f"in use, {len(found)} option{'s' * (len(found) != 1)} of ttscribe {TABLE}"


def _bytes_in(folder: Path) -> int:
    """What its files take; of links nothing, for the hub's cache links to each file from several folders."""
    return sum(_file_size(f"{inner}{os.sep}{name}") for inner, _, names in os.walk(folder) for name in names)


def _file_size(path: str) -> int:
    try:
        # A Path for each of a mock board's hundred thousands of files takes three times as long.
        found = os.lstat(path)
    except FileNotFoundError:  # gone since it was listed
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _broken() -> Iterator[Row]:
    for package in NEEDED:
        if problem := _import_problem(package):
            yield package, f"does not import ({problem}): pip install --force-reinstall {package}"


def _import_problem(module: str) -> str | None:
    try:
        import_module(module)
    except ImportError as error:
        return str(error)
    return None


def _missing() -> Iterator[Row]:
    from ttscribe.whisper.checkpoints import available_models
    from ttscribe.whisper.checkpoints.bundled import BUNDLES
    from ttscribe.whisper.checkpoints.hub import DEFAULT_MODEL

    models = {model.name: model for model in available_models()}
    default = models[DEFAULT_MODEL]
    if default.path is None:
        how = "downloaded when first used" if default.where == "download" else "unset HF_HUB_OFFLINE to download it"
        yield f"{DEFAULT_MODEL}, the default model", how
    if any(models[name].path is None for name in BUNDLES):
        yield f"{' and '.join(BUNDLES)} without a download", BUNDLED
    if _version("ttnn") is None:
        yield "ttnn, for Tenstorrent cards", f"{with_extra('tt')} on Python 3.10 or 3.12"
        return
    from ttscribe.devices.ttnn import compiler
    from ttscribe.devices.ttnn.simulator import SIMULATOR, simulator

    if compiler.find() is None:
        yield "SFPI compiler, for a card or the simulator", compiler.how_to_get()
    if simulator() is None or not Path(str(simulator())).exists():
        how = f"a release of https://github.com/tenstorrent/ttsim, then {SIMULATOR}=FOLDER/libttsim.so"
        yield "simulator, for values without a card", how
