"""What each precision policy costs: the compiled programs as TT-NN's kernels compute them, against fp32 PyTorch.

    bench/accuracy.py --speech DIR [--models tiny.en,base] [--policies ...] [--utterances N] [--device emulator]
    bench/accuracy.py --markdown docs/accuracy.md

DIR has ``manifest.tsv`` and ``golden_MODEL.jsonl`` (what fp32 PyTorch says). Read utterances are decoded with fp32's
tokens, for agreement and correlation of the logits; every recording is decoded freely, for the word error rate. Read
utterances come first, in an order that mixes their sources; ``--utterances N`` takes the first N of them and nothing
else. Records are written as they are taken (``--records FOLDER``, by default bench/data), and what has one is not done
again: an interrupted run goes on. ``--device emulator`` adds up in float32, in a fifth of the time, and has records of
its own (bench/data/emulator). ``--device cpu`` judges what the CPU computes in itself, int8 or bfloat16.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from ttscribe import DecodingOptions
from ttscribe.compiler.settings import POLICIES
from ttscribe.evaluation.accuracy import CPU, EMULATOR, KERNELS, Accuracy, Forced, Text, summary, word_error_rate
from ttscribe.evaluation.compare import Comparison
from ttscribe.evaluation.speech import Clip
from ttscribe.evaluation.words import count_errors
from ttscribe.reports import pages
from ttscribe.reports.model_table import between_markers
from ttscribe.transcription import Transcriber
from ttscribe.whisper.checkpoints import load_checkpoint

RECORDS = Path(__file__).parent / "data"
FOLDERS = {KERNELS: RECORDS, EMULATOR: RECORDS / "emulator", CPU: RECORDS / "cpu"}
_Record = TypeVar("_Record", Forced, Text)
MARKERS = {
    KERNELS: ("<!-- accuracy:begin -->", "<!-- accuracy:end -->"),
    EMULATOR: ("<!-- accuracy of the faster emulator:begin -->", "<!-- accuracy of the faster emulator:end -->"),
    CPU: ("<!-- accuracy on the CPU:begin -->", "<!-- accuracy on the CPU:end -->"),
}
# In the order of the tables: of programs, and of the CPU itself.
NAMES = (*POLICIES, "int8", "bfloat16")


def read_records(kind: type[_Record], folder: Path = RECORDS) -> list[_Record]:
    """All records of one kind, in the order they were taken."""
    path = record_file(kind, folder)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [kind(**json.loads(line)) for line in lines]


def record_file(kind: type[Forced | Text], folder: Path) -> Path:
    """``forced.jsonl`` or ``text.jsonl``: a line of JSON for each record."""
    return folder / f"{kind.__name__.lower()}.jsonl"


def by_model_and_policy(records: Iterable[_Record]) -> dict[tuple[str, str], list[_Record]]:
    found: dict[tuple[str, str], list[_Record]] = defaultdict(list)
    for each in records:
        found[each.model, each.policy].append(each)
    return found


@cache
def recorded(folder: Path = RECORDS) -> Mapping[tuple[str, str], Accuracy]:
    """What the records come to, by model and policy."""
    forced, texts = (by_model_and_policy(read_records(kind, folder)) for kind in (Forced, Text))
    return {
        (model, name): summary(mine, texts[model, name], _device(name, folder))
        for (model, name), mine in forced.items()
    }


def _device(name: str, folder: Path) -> str:
    if name == "exact":
        return EMULATOR
    return next((device for device, its in FOLDERS.items() if its == folder), KERNELS)


def recordings(speech: Path, model: str) -> list[dict[str, Any]]:
    """Every recording with what fp32 says of it and its reference text."""
    with (speech / "manifest.tsv").open() as manifest:
        references = {row["file"]: row["text"] for row in csv.DictReader(manifest, delimiter="\t")}
    golden = map(json.loads, (speech / f"golden_{model}.jsonl").read_text().splitlines())
    return [{**row, "reference": references[row["file"]]} for row in golden]


class Run:
    """One model under one policy, over all recordings."""

    def __init__(self, speech: Path, model: str, policy: str, device: str) -> None:
        self.speech, self.model, self.policy = speech, model, policy
        # Of its own, since a device may convert it.
        self.judged = Transcriber(load_checkpoint(model, offline=True), device, policy)
        checkpoint = load_checkpoint(model, offline=True)
        self.comparison = Comparison(checkpoint, self.judged.runner, model, policy)

    def records(self, recording: dict[str, Any]) -> tuple[Forced | Text, ...]:
        """Of a read utterance both kinds; of another recording what is said in it."""
        if is_read_utterance(recording):
            return self.comparison.of(
                Clip(self.speech / recording["file"], recording["reference"], recording["sec"]), recording["file"]
            )
        segments, _ = self.judged.transcribe(
            self.speech / recording["file"],
            language=recording["lang"],
            timestamps=recording["long"],
            options=DecodingOptions.plain(),
        )
        said = " ".join(segment.text for segment in segments)
        words, errors = count_errors(recording["reference"], said, recording["lang"])
        _, fp32_errors = count_errors(recording["reference"], recording["text"], recording["lang"])
        return (Text(self.model, self.policy, recording["file"], words, fp32_errors, errors),)


def is_read_utterance(recording: Mapping[str, Any]) -> bool:
    return recording["kind"] == "utt" and not recording["long"]


def in_order(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Utterances first, and all in an order that has nothing to do with where they come from."""
    return sorted(found, key=lambda each: (not is_read_utterance(each), sha256(each["file"].encode()).digest()))


def measure(arguments: argparse.Namespace) -> None:
    arguments.records.mkdir(parents=True, exist_ok=True)
    done = {(each.model, each.policy, each.file) for each in read_records(Text, arguments.records)}
    for model in arguments.models.split(","):
        wanted = in_order(recordings(arguments.speech, model))
        if arguments.utterances is not None:
            wanted = list(filter(is_read_utterance, wanted))[: arguments.utterances]
        for policy in arguments.policies.split(","):
            todo = [each for each in wanted if (model, policy, each["file"]) not in done]
            run = Run(arguments.speech, model, policy, arguments.device) if todo else None
            for recording in todo:
                assert run is not None
                for record in run.records(recording):
                    with record_file(type(record), arguments.records).open("a") as file:
                        file.write(json.dumps(asdict(record)) + "\n")
                print(model, policy, recording["file"], flush=True)


_HEADS = (
    *("model", "policy", "utterances", "token agreement", "largest margin", "PCC mean", "PCC worst", "WER", "fp32 WER"),
    *("contract", "all recordings", "WER", "fp32 WER"),
)


def table(folder: Path) -> Iterator[str]:
    """Markdown: a line for each model and policy, with fp32's word error rate on the same recordings beside it."""
    found, texts = recorded(folder), by_model_and_policy(read_records(Text, folder))
    keys = sorted(found, key=lambda key: (key[0] != "tiny.en", NAMES.index(key[1])))
    return pages.table(_HEADS, [_row(found[key], texts[key]) for key in keys])


def _row(found: Accuracy, texts: list[Text]) -> tuple[object, ...]:
    return (
        found.model,
        found.policy,
        found.clips,
        f"{found.agreed} of {found.tokens} ({100 * found.agreement:.2f} %)",
        f"{found.margin:.3f}",
        f"{found.mean_pcc:.5f}",
        f"{found.worst_pcc:.5f}",
        f"{found.wer:.2f} %",
        f"{found.fp32_wer:.2f} %",
        found.verdict,
        len(texts),
        f"{word_error_rate([each.errors for each in texts], texts):.2f} %",
        f"{word_error_rate([each.fp32_errors for each in texts], texts):.2f} %",
    )


def write_markdown(path: Path) -> None:
    """Put the tables between those markers that a document has."""
    text = path.read_text(encoding="utf-8")
    its = {device: markers for device, markers in MARKERS.items() if markers[0] in text}
    if not its:
        raise ValueError(f"{path} has none of {', '.join(begin for begin, _ in MARKERS.values())}")
    for device, markers in its.items():
        text = between_markers(text, "\n".join(table(FOLDERS[device])), path.name, markers)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--models", default="tiny.en,base")
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--utterances", type=int)
    parser.add_argument("--device", choices=FOLDERS, default=KERNELS)
    parser.add_argument("--records", type=Path, help="folder; by default that of the device under bench/data")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    arguments.records = arguments.records or FOLDERS[arguments.device]
    if arguments.speech is not None:
        measure(arguments)
    if arguments.markdown is not None:
        write_markdown(arguments.markdown)
    else:
        print("\n".join(table(arguments.records)))


if __name__ == "__main__":
    main()
