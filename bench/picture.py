"""Draws docs/transcribe.svg: what ``ttscribe transcribe`` really says, as a terminal shows it.

    bench/picture.py [--output docs/transcribe.svg]

Runs the command on the demo's recording with base. The fonts are the reader's own: nothing is fetched to show it.
"""

import argparse
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, CUES = 92, 7


def said() -> list[str]:
    """The lines of the command: those of the first cues, and its last word."""
    speech = find_spec("moonshine_voice")
    assert speech is not None
    assert speech.submodule_search_locations is not None
    recording = Path(speech.submodule_search_locations[0]) / "assets" / "two_cities.wav"
    command = [
        Path(sys.executable).with_name("ttscribe"),
        "transcribe",
        "--model",
        "base",
        "--format",
        "vtt",
        recording,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cues = done.stdout.strip().split("\n\n")
    shown = "\n\n".join(cues[: CUES + 1]).splitlines()
    return [*shown, "", "...", "", *done.stderr.strip().splitlines()]


def draw(lines: list[str]) -> str:
    """An SVG document."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(width=COLUMNS, record=True, file=nowhere)
        console.print(Text.assemble(("$ ", "green"), "ttscribe transcribe --model base --format vtt two_cities.wav"))
        for line in lines:
            console.print(Text(line, style="cyan" if "-->" in line else ""))
        svg = console.export_svg(title="ttscribe", theme=MONOKAI, unique_id="ttscribe")
    # rich asks a server for its font; without that a reader's own monospaced one is used.
    return re.sub(r"\s*@font-face \{.*?\n    \}\n", "\n", svg, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "transcribe.svg")
    arguments = parser.parse_args()
    arguments.output.write_text(draw(said()), encoding="utf-8")


if __name__ == "__main__":
    main()
