"""The whole of the real speech, token for token as Hugging Face transformers decodes it (fp32, greedy)."""

import csv
import json
import os
from dataclasses import dataclass
from functools import cache

import jiwer
import pytest
import torch
from whisper_normalizer.english import EnglishTextNormalizer

from ttscribe.audio import load_audio, log_mel
from ttscribe.decoding import Rules
from ttscribe.transcription import Transcriber

# Corpus word error rates in per cent of the golden transcripts, from the notes beside them.
PUBLISHED_WER = {
    ("tiny.en", "utt"): 12.15,
    ("base", "utt"): 9.59,
    ("tiny.en", "ls-other"): 16.86,
    ("base", "ls-other"): 12.87,
    ("tiny.en", "lj"): 7.22,
    ("base", "lj"): 6.32,
    ("tiny.en", "long"): 7.60,
    ("base", "long"): 7.84,
}


# Without TTSCRIBE_GOLDEN=all (make golden) base decodes a part of the clips: all of them take it five minutes.
EVERYTHING = os.environ.get("TTSCRIBE_GOLDEN") == "all"
EVERY = 6
BASE_SHORT, BASE_LONG = 4, 2


@dataclass(frozen=True)
class Result:
    golden: dict
    reference: str
    tokens: list[int]
    text: str


class Results:
    """Both models' transcripts of every clip, each made once."""

    def __init__(self, name, speech, transcriber):
        self.name, self.speech, self.transcriber = name, speech, transcriber
        self.count = 0
        lines = (speech / f"golden_{name}.jsonl").read_text().splitlines()
        self.golden = [json.loads(line) for line in lines]
        with (speech / "manifest.tsv").open() as manifest:
            self.references = {row["file"]: row["text"] for row in csv.DictReader(manifest, delimiter="\t")}

    @cache  # noqa: B019
    def all(self) -> list[Result]:
        return [self._transcribe(golden) for golden in self.chosen()]

    def chosen(self) -> list[dict]:
        """Every clip; of base, unless everything is asked for, each BASE_SHORT-th and the last BASE_LONG long ones."""
        if EVERYTHING or self.name != "base":
            return self.golden
        short, long = ([golden for golden in self.golden if golden["long"] is kind] for kind in (False, True))
        return [*short[::BASE_SHORT], *long[-BASE_LONG:]]

    def _transcribe(self, golden) -> Result:
        """Decoded freely: long recordings, every EVERY-th of the others, and those whose forced tokens are not golden.

        Where each golden token is the one picked after those before it, decoding freely takes the same steps.
        """
        reference = self.references[golden["file"]]
        self.count += not golden["long"]
        if not golden["long"] and self.count % EVERY and self._forced_tokens_agree(golden):
            return Result(golden, reference, golden["ids"], self.transcriber.checkpoint.tokenizer.decode(golden["ids"]))
        segments, _ = self.transcriber.transcribe(
            self.speech / golden["file"], language=golden["lang"], timestamps=golden["long"]
        )
        segments = list(segments)
        tokens = [token for segment in segments for token in segment.tokens]
        text = " ".join(segment.text for segment in segments)
        return Result(golden, reference, tokens, text)

    def _forced_tokens_agree(self, golden) -> bool:
        checkpoint, runner = self.transcriber.checkpoint, self.transcriber.runner
        tokenizer, ids = checkpoint.tokenizer, golden["ids"]
        prompt = tokenizer.prompt(golden["lang"], "transcribe", timestamps=False)
        samples = load_audio(self.speech / golden["file"])
        state = runner.start(runner.encode(log_mel(samples, runner.config.num_mel_bins)[None]))
        logits = runner.prefill(torch.tensor([[*prompt, *ids]]), state)[0, len(prompt) - 1 :]
        rules = Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, None)
        picked = [int(rules.apply(row, ids[:index]).argmax()) for index, row in enumerate(logits)]
        return picked == [*ids, tokenizer.eot]


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("tiny.en", "base")],
)
def results(request, speech):
    checkpoint = request.getfixturevalue(request.param.replace(".", "_"))
    return Results(request.param, speech, Transcriber(checkpoint))


def margin(results: Results, result: Result) -> float:
    """How far apart the top two logits were where our tokens first left the golden ones."""
    golden, ours = result.golden["ids"], result.tokens
    common = next(
        (i for i, (a, b) in enumerate(zip(golden, ours, strict=False)) if a != b), min(len(golden), len(ours))
    )
    tokenizer, runner = results.transcriber.checkpoint.tokenizer, results.transcriber.runner
    prompt = tokenizer.prompt(result.golden["lang"], "transcribe", timestamps=False)
    samples = load_audio(results.speech / result.golden["file"])
    state = runner.start(runner.encode(log_mel(samples, runner.config.num_mel_bins)[None]))
    logits = runner.prefill(torch.tensor([[*prompt, *golden[:common]]]), state)[0, -1]
    best = logits.topk(2).values
    return float(best[0] - best[1])


@pytest.mark.timeout(900)
def test_every_clip_up_to_30_s_gives_the_golden_tokens(results):
    short = [result for result in results.all() if not result.golden["long"]]
    assert len(short) == {"tiny.en": 140, "base": 175 if EVERYTHING else 44}[results.name]
    wrong = [result for result in short if result.tokens != result.golden["ids"]]
    told = [(result.golden["file"], result.text, result.golden["text"], margin(results, result)) for result in wrong]
    assert not told


def test_long_recordings_give_the_golden_text(results):
    long = [result for result in results.all() if result.golden["long"]]
    assert len(long) == {"tiny.en": 6, "base": 7 if EVERYTHING else BASE_LONG}[results.name]
    decode = results.transcriber.checkpoint.tokenizer.decode
    for result in long:
        assert decode(result.tokens) == decode(result.golden["ids"]), result.golden["file"]


@pytest.mark.parametrize("part", ["utt", "ls-other", "lj", "long"])
def test_corpus_word_error_rate_is_the_published_one(results, part):
    if len(results.chosen()) < len(results.golden):
        pytest.skip("a rate over the corpus takes every clip of it: make golden")

    def belongs(result: Result) -> bool:
        if part in ("utt", "long"):
            return result.golden["kind"] == part
        return result.golden["kind"] == "utt" and result.golden["file"].startswith(f"audio/{part}-")

    normalise = EnglishTextNormalizer()
    chosen = [result for result in results.all() if belongs(result)]
    rate = jiwer.wer([normalise(r.reference) for r in chosen], [normalise(r.text) for r in chosen])
    assert 100 * rate == pytest.approx(PUBLISHED_WER[results.name, part], abs=0.1)
