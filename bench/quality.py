"""What ttscribe writes beside faster-whisper and OpenAI's package: ``python bench/quality.py --help``.

    bench/quality.py --speech DIR [--models base] [--settings greedy,"beam 5"] [--systems ...] [--hours 2]
    bench/quality.py --markdown docs/quality.md

Records are kept as they are taken (bench/data/quality.jsonl), and what has one is not done again.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from quality_cases import Case, hard, joined, recordings, silent
from quality_systems import SETTINGS, SYSTEMS, Heard, System
from ttscribe.evaluation.words import count_errors
from ttscribe.reports import pages
from ttscribe.reports.model_table import between_markers

RECORDS = Path(__file__).parent / "data" / "quality.jsonl"
MARKERS = ("<!-- quality:begin -->", "<!-- quality:end -->")
KINDS = ("utt", "long", "nonen", "long-nonen", "noise")
GROUPS = ("nobody speaks", "hard speech", "joined", *KINDS)
UTTERANCES = 12
"""Of hard speech, one after another."""
SINGLY = ("nobody speaks", "hard speech", "joined")
LOOP_WORDS, LOOP_TIMES = 8, 5
"""A loop: the same one to eight words five times or more without a break, which the reference has not."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one system wrote of one case.

    ``errors`` of the reference's ``words`` (all that is written counts where nobody speaks); ``written`` words;
    ``loops`` in the text; ``early`` is by how many seconds the segment after a gap begins too early, at most.
    """

    model: str
    setting: str
    system: str
    group: str
    case: str
    words: int
    errors: int
    written: int
    loops: int
    early: float


def record(model: str, setting: str, name: str, case: Case, heard: list[Heard]) -> Record:
    said = " ".join(each.text for each in heard)
    words, errors = count_errors(case.text, said, case.language)
    repeated = max(0, loops(said.split()) - loops(case.text.split()))
    return Record(
        model, setting, name, case.group, case.name, words, errors, len(said.split()), repeated, early(case, heard)
    )


def loops(words: list[str]) -> int:
    """How many loops a text has."""
    words = [word.strip(".,!?").lower() for word in words]
    found, at = 0, 0
    while at < len(words):
        lengths = (size for size in range(1, LOOP_WORDS + 1) if _times(words, at, size) >= LOOP_TIMES)
        size = next(lengths, None)
        found += size is not None
        at += 1 if size is None else size * _times(words, at, size)
    return found


def _times(words: list[str], at: int, size: int) -> int:
    unit, times = words[at : at + size], 1
    while len(unit) == size and words[at + times * size : at + (times + 1) * size] == unit:
        times += 1
    return times


def early(case: Case, heard: list[Heard]) -> float:
    """Seconds by which the first segment of what is spoken begins before it, at the worst place."""
    worst = 0.0
    for (_, before), (start, end) in zip(case.spoken, case.spoken[1:], strict=False):
        if start - before < 30:
            continue
        within = [each for each in heard if each.end > start + 0.5 and each.start < end and each.end > before + 1]
        worst = max([worst, *(start - each.start for each in within[:1])])
    return round(worst, 2)


def cases(arguments: argparse.Namespace, model: str) -> Iterator[Case]:
    groups = arguments.groups.split(",")
    if "nobody speaks" in groups:
        yield from silent()
    if "hard speech" in groups:
        yield from hard(arguments.speech, UTTERANCES)
    if "joined" in groups:
        yield joined(arguments.speech, arguments.hours * 3600)
    yield from recordings(arguments.speech, [group for group in groups if group in KINDS], model)


def measure(arguments: argparse.Namespace) -> None:
    done = {(each.model, each.setting, each.system, each.case) for each in read()}
    for model in arguments.models.split(","):
        made: dict[str, System] = {}
        for case in cases(arguments, model):
            for setting in arguments.settings.split(","):
                for name in arguments.systems.split(","):
                    if (model, setting, name, case.name) in done or setting not in SYSTEMS[name].settings:
                        continue
                    if name not in made:
                        made[name] = SYSTEMS[name].make(model)
                    heard = made[name].transcribe(case.samples, case.language, SETTINGS[setting])
                    with RECORDS.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(record(model, setting, name, case, heard))) + "\n")
                    print(model, setting, name, case.name, flush=True)


def read() -> list[Record]:
    lines = RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.exists() else []
    return [Record(**json.loads(line)) for line in lines]


def tables(records: Iterable[Record]) -> Iterator[str]:
    """Markdown: for each model and setting a line for each case or group, a column for each system."""
    records = list(records)
    for model, setting in sorted({(each.model, each.setting) for each in records}):
        mine = [each for each in records if (each.model, each.setting) == (model, setting)]
        names = [name for name in SYSTEMS if any(each.system == name for each in mine)]
        yield f"\n### {model}, {setting}\n"
        yield from pages.table(("", *names), [row(label, part, names) for label, part in parts(mine)])


def parts(records: list[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Records by case where each is a trial of its own, else by group."""
    for group in dict.fromkeys(each.group for each in records):
        part = [each for each in records if each.group == group]
        names = list(dict.fromkeys(each.case for each in part))
        if group not in SINGLY:
            yield f"{group} ({len(names)})", part
            continue
        for name in names:
            yield f"{group}: {name}", [each for each in part if each.case == name]


def row(label: str, part: list[Record], names: list[str]) -> tuple[object, ...]:
    return (label, *(cell([each for each in part if each.system == name]) for name in names))


def cell(part: list[Record]) -> str:
    if not part:
        return "not run"
    words, errors = sum(each.words for each in part), sum(each.errors for each in part)
    text = f"{100 * errors / words:.2f} %" if words else f"{sum(each.written for each in part)} words"
    repeated, worst = sum(each.loops for each in part), max(each.early for each in part)
    text += f", {repeated} loop{'s' * (repeated > 1)}" if repeated else ""
    return text + (f", {worst:.1f} s early" if worst > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--models", default="base")
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--hours", type=float, default=2.0, help="length of the joined recording")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.speech is not None:
        measure(arguments)
    if arguments.markdown is not None:
        text, content = arguments.markdown.read_text(encoding="utf-8"), "\n".join([*tables(read()), ""])
        arguments.markdown.write_text(
            between_markers(text, content, arguments.markdown.name, MARKERS), encoding="utf-8"
        )
    else:
        print("\n".join(tables(read())))


if __name__ == "__main__":
    main()
