"""What each precision policy costs: the compiled programs on the emulator against fp32 PyTorch, on real speech.

    bench/accuracy.py --speech DIR [--models tiny.en,base] [--policies ...]
    bench/accuracy.py --markdown docs/accuracy.md

DIR has ``manifest.tsv`` and ``golden_MODEL.jsonl`` (tokens of fp32 PyTorch). Every read utterance is decoded twice:
teacher-forced with the golden tokens, for agreement and correlation of the logits, and freely, for the word error rate.
One record is written for each clip as it is done (``--records FILE``, by default the one that reports read); clips that
have a record are not done again.
"""

import argparse
import csv
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jiwer
import torch
from torch import Tensor
from whisper_normalizer.english import EnglishTextNormalizer

from ttscribe.audio import load_audio, log_mel, window
from ttscribe.compiler.passes import POLICIES
from ttscribe.decoding import Rules
from ttscribe.reports.accuracy import Accuracy, summaries
from ttscribe.transcription import Transcriber
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint

BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"


@dataclass(frozen=True)
class Record:
    """One clip under one policy. ``margins`` are fp32's top-2 margins where the policy's best token was another.

    ``words`` counts the reference's, ``errors`` those substituted, left out or put in.
    """

    model: str
    policy: str
    file: str
    tokens: int
    agreed: int
    margins: list[float]
    mean_pcc: float
    worst_pcc: float
    words: int
    fp32_errors: int
    errors: int


def clips(speech: Path, model: str) -> list[dict[str, Any]]:
    """The read utterances with their golden tokens and reference texts."""
    with (speech / "manifest.tsv").open() as manifest:
        references = {row["file"]: row["text"] for row in csv.DictReader(manifest, delimiter="\t")}
    lines = (speech / f"golden_{model}.jsonl").read_text().splitlines()
    golden = [json.loads(line) for line in lines]
    return [{**row, "reference": references[row["file"]]} for row in golden if row["kind"] == "utt" and not row["long"]]


class Comparison:
    """fp32 PyTorch and one policy on the emulator, with the same weights."""

    def __init__(self, checkpoint: Checkpoint, model: str, policy: str) -> None:
        self.model, self.policy, self.checkpoint = model, policy, checkpoint
        self.reference = Transcriber(checkpoint)
        self.emulated = Transcriber(checkpoint, "emulator", policy)
        self.rules = Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, None)

    def record(self, speech: Path, clip: dict[str, Any]) -> Record:
        samples = load_audio(speech / clip["file"])
        mel = window(log_mel(samples, self.checkpoint.config.num_mel_bins), 0)[None]
        tokenizer = self.checkpoint.tokenizer
        prompt = tokenizer.prompt(clip["lang"], "transcribe", timestamps=False)
        expected = [*clip["ids"], tokenizer.eot]
        fp32 = self._forced(self.reference, mel, prompt, clip["ids"])
        emulated = self._forced(self.emulated, mel, prompt, clip["ids"])
        chosen = [int(row.argmax()) for row in emulated]
        wrong = [i for i, (ours, theirs) in enumerate(zip(chosen, expected, strict=True)) if ours != theirs]
        correlations = [_pcc(ours, theirs) for ours, theirs in zip(emulated, fp32, strict=True)]
        # Where every forced token agrees, decoding freely takes the same steps.
        text = clip["text"] if not wrong else self._free_text(speech, clip)
        words, errors = count_errors(clip["reference"], text)
        return Record(
            self.model,
            self.policy,
            clip["file"],
            len(expected),
            len(expected) - len(wrong),
            [_margin(fp32[i]) for i in wrong],
            statistics.fmean(correlations),
            min(correlations),
            words,
            count_errors(clip["reference"], clip["text"])[1],
            errors,
        )

    def _forced(self, transcriber: Transcriber, mel: Tensor, prompt: tuple[int, ...], ids: list[int]) -> list[Tensor]:
        """The allowed logits before each golden token, and before the end."""
        runner = transcriber.runner
        state = runner.start(runner.encode(mel))
        logits = [runner.prefill(torch.tensor([prompt]), state)[0, -1]]
        for index, token in enumerate(ids):
            position = torch.tensor([len(prompt) + index])
            logits.append(runner.decode_step(torch.tensor([token]), position, state)[0])
        return [self.rules.apply(row, ids[:index]) for index, row in enumerate(logits)]

    def _free_text(self, speech: Path, clip: dict[str, Any]) -> str:
        segments, _ = self.emulated.transcribe(speech / clip["file"], language=clip["lang"], timestamps=False)
        return " ".join(segment.text for segment in segments)


NORMALISE = EnglishTextNormalizer()


def count_errors(reference: str, text: str) -> tuple[int, int]:
    """Words of the reference and errors of the text, both as Whisper's English normaliser writes them."""
    found = jiwer.process_words(NORMALISE(reference), NORMALISE(text))
    wrong = found.substitutions + found.deletions
    return found.hits + wrong, wrong + found.insertions


def _pcc(ours: Tensor, theirs: Tensor) -> float:
    """Pearson's correlation over the tokens that are allowed."""
    allowed = theirs.isfinite()
    return float(torch.corrcoef(torch.stack((ours[allowed], theirs[allowed])).double())[0, 1])


def _margin(logits: Tensor) -> float:
    best = logits.topk(2).values
    return float(best[0] - best[1])


def measure(arguments: argparse.Namespace) -> None:
    done = {(row["model"], row["policy"], row["file"]) for row in read(arguments.records)}
    arguments.records.parent.mkdir(parents=True, exist_ok=True)
    for model in arguments.models.split(","):
        checkpoint = load_checkpoint(model, offline=True)
        for policy in arguments.policies.split(","):
            todo = [clip for clip in clips(arguments.speech, model) if (model, policy, clip["file"]) not in done]
            comparison = Comparison(checkpoint, model, policy) if todo else None
            for clip in todo:
                assert comparison is not None
                record = comparison.record(arguments.speech, clip)
                with arguments.records.open("a") as file:
                    file.write(json.dumps(asdict(record)) + "\n")
                print(
                    model,
                    policy,
                    clip["file"],
                    f"{record.agreed}/{record.tokens}",
                    f"{record.worst_pcc:.5f}",
                    flush=True,
                )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: a line for each model and policy, with fp32's word error rate on the same clips beside it."""
    figures = "token agreement | largest margin | PCC mean | PCC worst | WER | fp32 WER"
    yield f"| model | policy | clips | {figures} | contract |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    found, order = summaries(rows), list(POLICIES)
    for key in sorted(found, key=lambda key: (key[0] != "tiny.en", order.index(key[1]))):
        yield _line(found[key])


def _line(found: Accuracy) -> str:
    figures = (
        f"{found.agreed} of {found.tokens} ({100 * found.agreement:.2f} %)",
        f"{found.margin:.3f}",
        f"{found.mean_pcc:.5f}",
        f"{found.worst_pcc:.5f}",
        f"{found.wer:.2f} %",
        f"{found.fp32_wer:.2f} %",
    )
    return f"| {found.model} | {found.policy} | {found.clips} | {' | '.join(figures)} | {found.verdict} |"


def write_markdown(path: Path, rows: list[dict[str, Any]]) -> None:
    """Put the table between the markers of a document."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(table(rows)) + f"\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--models", default="tiny.en,base")
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--records", type=Path, default=Path("src/ttscribe/reports/accuracy.jsonl"))
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.speech is not None:
        measure(arguments)
    if arguments.markdown is not None:
        write_markdown(arguments.markdown, read(arguments.records))
    else:
        print("\n".join(table(read(arguments.records))))


if __name__ == "__main__":
    main()
