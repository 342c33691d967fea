"""Which transcript goes where: one file per recording, that no other recording's overwrites."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscribe.errors import OptionError
from ttscribe.files import make_folder
from ttscribe.writers import check_writable

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Job:
    """One recording, "-" being standard input, and the file that its transcript goes to (None: standard output)."""

    source: str
    output: Path | None

    @property
    def name(self) -> str:
        """What the recording is called in messages."""
        return "standard input" if self.source == STANDARD_INPUT else self.source


def plan(files: Sequence[str], format_name: str, output_dir: Path | None, *, resume: bool) -> tuple[list[Job], int]:
    """What is to be done, and how many recordings are passed over since their transcripts are there.

    Raises OptionError or OutputError where transcripts would overwrite or run into one another or cannot be written,
    before anything is done.
    """
    if output_dir is None:
        if resume:
            raise OptionError("--resume passes over the files of a folder: it needs --output-dir")
        if len(files) > 1 and format_name != "txt":
            raise OptionError(f"several files in {format_name} need --output-dir: standard output would mix them")
        return [Job(file, None) for file in files], 0
    make_folder(output_dir)
    outputs: dict[Path, str] = {}
    for file, name in transcript_names(files).items():
        output = output_dir / name.parent / f"{name.name}.{format_name}"
        if output in outputs:
            raise OptionError(
                f"{outputs[output]} and {file} would both be written to {output}: do one of them elsewhere"
            )
        outputs[output] = file
    jobs = [Job(file, output) for output, file in outputs.items() if not (resume and output.is_file())]
    for job in jobs:
        assert job.output is not None
        make_folder(job.output.parent)
        check_writable(job.output)
    return jobs, len(outputs) - len(jobs)


def transcript_names(files: Sequence[str]) -> dict[str, Path]:
    """The name of each recording's transcript, without the format's ending; a recording that comes twice has one.

    It is the recording's own name without its ending. Recordings that share it are told apart by their folders, from
    the innermost one that all of these lie in, and by their endings where that is not enough.
    """
    # Links are not followed: a link's own name is what its transcript is called by.
    recordings = {Path(os.path.abspath(file)): file for file in files if file != STANDARD_INPUT}  # noqa: PTH100
    alike: dict[str, list[Path]] = {}
    for path in recordings:
        alike.setdefault(path.stem, []).append(path)
    names = {path: name for paths in alike.values() for path, name in _told_apart(paths).items()}
    found = {file: names[path] for path, file in recordings.items()}
    return found | {file: Path("stdin") for file in files if file == STANDARD_INPUT}


def _told_apart(paths: Sequence[Path]) -> dict[Path, Path]:
    folder = os.path.commonpath([path.parent for path in paths])
    within = {path: path.parent.relative_to(folder) / path.stem for path in paths}
    times = Counter(within.values())
    return {path: name if times[name] == 1 else name.with_name(path.name) for path, name in within.items()}
