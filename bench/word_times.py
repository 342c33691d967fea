"""How exact word times are, on speech whose beginnings and ends are known: ours, and faster-whisper's beside them.

    bench/word_times.py --speech DIR [--model base]

DIR has ``manifest.tsv`` with the columns file, kind, lang, seconds and text. Its English utterances ("utt", "prompt")
of 2 to 9 s are cut to where they are loud, and those whose edges are sharp are joined to recordings of up to 29 s, with
0.5 s of silence between them or none, as they are or in white noise 20 dB below. Both systems take the likeliest token
at every step, once. Errors are of the first word of each utterance and of the last one, where they were recognised.
"""

import argparse
import csv
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.signal import medfilt

from ttscribe import DecodingOptions, Transcriber, Word
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.types import Samples
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint

STEP = SAMPLE_RATE // 200  # 5 ms, of which loudness is taken
WIDE, NARROW = 35, 20  # dB below the loudest, between which a sharp edge rises
SHARP = 0.05  # seconds in which it does
SILENCE = np.zeros(SAMPLE_RATE // 2, np.float32)


@dataclass(frozen=True)
class Utterance:
    """What is said between two times in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Recording:
    samples: Samples
    utterances: tuple[Utterance, ...]


class System(Protocol):
    name: str

    def words(self, samples: Samples) -> list[Word]: ...


class Ours:
    name = "ttscribe"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._transcriber = Transcriber(checkpoint)

    def words(self, samples: Samples) -> list[Word]:
        segments, _ = self._transcriber.transcribe(
            samples,
            sample_rate=SAMPLE_RATE,
            language="en",
            word_timestamps=True,
            options=DecodingOptions.plain(),
        )
        return [word for segment in segments for word in segment.words]


class FasterWhisper:
    name = "faster-whisper"

    def __init__(self, checkpoint: Checkpoint) -> None:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]

        # The same weights: a bundled model is a folder of its format.
        folder = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
        self._model = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)

    def words(self, samples: Samples) -> list[Word]:
        segments, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        return [
            Word(float(word.start), float(word.end), word.word, word.probability)
            for segment in segments
            for word in segment.words
        ]


def edges(samples: Samples, below: float) -> tuple[int, int]:
    """The samples between which loudness is at most ``below`` dB under that of the loudest 1 %; clicks do not count."""
    blocks = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    loudness = medfilt(np.sqrt(np.square(blocks).mean(1)), 7)
    (loud,) = np.nonzero(loudness > np.percentile(loudness, 99) * 10 ** (-below / 20))
    return int(loud[0]) * STEP, int(loud[-1] + 1) * STEP


def utterances(folder: Path) -> Iterator[tuple[Samples, str]]:
    """Samples without silence around them, peaks at 0.5, and what they say."""
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in rows:
        if row["lang"] == "en" and row["kind"] in ("utt", "prompt") and 2 < float(row["seconds"]) < 9:
            samples = load_audio(folder / row["file"])
            (first, last), (later, earlier) = edges(samples, WIDE), edges(samples, NARROW)
            if max(later - first, last - earlier) <= SHARP * SAMPLE_RATE:
                yield samples[first:last] / (2 * np.abs(samples).max()), row["text"]


def joined(spoken: Iterable[tuple[Samples, str]], gap: Samples) -> Iterator[Recording]:
    """Utterances after half a second of silence with ``gap`` after each, as many as fit into 29 s."""
    pieces, said = [SILENCE], list[Utterance]()
    for samples, text in spoken:
        now = sum(map(len, pieces))
        if now + len(samples) > 29 * SAMPLE_RATE:
            yield Recording(np.concatenate([*pieces, SILENCE]), tuple(said))
            pieces, said, now = [SILENCE], [], len(SILENCE)
        said.append(Utterance(now / SAMPLE_RATE, (now + len(samples)) / SAMPLE_RATE, text))
        pieces += [samples, gap]
    yield Recording(np.concatenate([*pieces, SILENCE]), tuple(said))


def noisy(recording: Recording, seed: int) -> Recording:
    """In white noise whose power is 20 dB below that of the recording."""
    power = np.square(recording.samples).mean()
    noise = np.random.default_rng(seed).normal(0, np.sqrt(power / 100), len(recording.samples))
    return Recording((recording.samples + noise).astype(np.float32), recording.utterances)


def letters(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def errors(words: list[Word], said: tuple[Utterance, ...]) -> tuple[list[float], list[float]]:
    """Seconds by which first words start late, and last words end late, of those that were recognised."""
    heard = [(part, word) for word in words for part in letters(word.text)]
    spoken = [
        (part, at == 0, at == len(parts) - 1, utterance)
        for utterance in said
        if (parts := letters(utterance.text))
        for at, part in enumerate(parts)
    ]
    starts, ends = [], []
    matcher = SequenceMatcher(None, [part for part, _ in heard], [part for part, *_ in spoken], autojunk=False)
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            word, (_, is_first, is_last, utterance) = heard[block.a + offset][1], spoken[block.b + offset]
            # The same word elsewhere is another one.
            if is_first and abs(word.start - utterance.start) < 1:
                starts.append(word.start - utterance.start)
            if is_last and abs(word.end - utterance.end) < 1:
                ends.append(word.end - utterance.end)
    return starts, ends


def row(condition: str, system: System, recordings: list[Recording]) -> str:
    starts, ends = [], []
    began = time.process_time()
    for recording in recordings:
        late = errors(system.words(recording.samples), recording.utterances)
        starts += late[0]
        ends += late[1]
    seconds = (time.process_time() - began) / len(recordings)
    cells = (f"{np.mean(np.abs(late)):.3f} / {np.median(np.abs(late)):.3f} ({len(late)})" for late in (starts, ends))
    return f"| {condition} | {system.name} | {' | '.join(cells)} | {seconds:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", default="base")
    options = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(options.model)
    spoken = list(utterances(options.speech))
    paused, tight = (list(joined(spoken, gap)) for gap in (SILENCE, SILENCE[:0]))
    print(f"{len(spoken)} utterances, {options.model}, one thread; seconds, mean / median (of how many)")
    print("| recordings | system | first word's start | last word's end | processor s a recording |")
    print("|---|---|---|---|---|")
    systems: list[System] = [Ours(checkpoint), FasterWhisper(checkpoint)]
    for condition, recordings in {
        "0.5 s between": paused,
        "none between": tight,
        "0.5 s, in noise": [noisy(each, seed) for seed, each in enumerate(paused)],
        "none, in noise": [noisy(each, seed) for seed, each in enumerate(tight)],
    }.items():
        for system in systems:
            print(row(condition, system, recordings), flush=True)


if __name__ == "__main__":
    main()
