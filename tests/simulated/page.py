"""Writes docs/recorded.md: every recorded call of a real kernel beside what ``emulator:kernels`` gives for it.

PYTHONPATH=tests python -m simulated.page FOLDER [--write]    # FOLDER: a whole recording
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from simulated import recorded
from ttscribe.reports import pages

PAGE = Path(__file__).parents[2] / "docs" / "recorded.md"
_HEADS = ("case", "call", "output", "elements", "equal", "within 1 ulp", "largest error", "correlation")
_TEXT = """# Recorded kernels beside the emulator

Each row is one output of one call of a real TT-NN kernel (TT-NN 0.81.1 in Tenstorrent's functional simulator, ttsim
1.10, as a Wormhole card), *simulated*, beside what `--device emulator:kernels` computes for the same call and inputs,
*emulated*. *equal* is the share of elements that are the same number, *within 1 ulp* of those that are at most one
bfloat16 number apart, *largest error* the largest difference, *correlation* Pearson's.
[accuracy.md](accuracy.md#as-the-kernels-compute) says why some are not equal. Two recorded calls are left out, which no
program of ours can say (lists of output tensors that TT-NN ignores). `tests/simulated` holds the emulator to every row,
and makes this page (`python -m simulated.page FOLDER --write`).

"""


def rows(folder: Path) -> Iterator[tuple[object, ...]]:
    """A row for each output that holds numbers, in the order of the recording."""
    for case in recorded.cases(folder):
        if case["name"] in recorded.NOT_OURS:
            continue
        read = recorded.read(folder, case)
        for name, data in read.emulated().items():
            ours, theirs = data.float(), read.outputs[name].float()
            if not ours.numel() or ours.shape != theirs.shape:
                continue
            close = recorded.units(ours, theirs) <= 1
            yield (
                f"`{case['name']}`",
                f"`{case['target'].removeprefix('ttnn.')}`",
                name,
                ours.numel(),
                f"{100 * (ours == theirs).float().mean():.2f} %",
                f"{100 * close.float().mean():.2f} %",
                f"{(ours - theirs).abs().nan_to_num().max():.3g}",
                f"{recorded.correlation(ours, theirs):.6f}",
            )


def render(folder: Path) -> str:
    return _TEXT + "\n".join(pages.table(_HEADS, list(rows(folder)))) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    page = render(arguments.folder)
    if arguments.write:
        PAGE.write_text(page, encoding="utf-8")
    else:
        print(page)


if __name__ == "__main__":
    main()
