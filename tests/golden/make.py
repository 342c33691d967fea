"""Makes the golden files again, with Hugging Face's transformers and our weights in its model: make golden-files.

float32, greedy, on the CPU. Up to 30 s without timestamps; over 30 s transformers' sequential long-form algorithm with
timestamps, without the text before as a prompt and without fallback to higher temperatures. Samples are as
``load_audio`` reads them, so that reading files is not what the golden tokens prove.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
import transformers
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperTokenizer

from golden.clips import Clip, clips, write_manifest
from golden.errors import word_errors
from golden.tokens import MODELS, Golden, write
from oracle import generation_config, hugging_face
from ttscribe.audio import SAMPLE_RATE
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.checkpoints.bundled import installed

# Clips of which the golden files have the English translation too.
TRANSLATED = (
    "es-pangrama",
    "fr-bonjour_monde",
    "fr-pangrama",
    "ja-konnichiwa_sekai",
    "zh-nihao_shijie",
    "joined-french",
)


class HuggingFace:
    """transformers' Whisper with a checkpoint's weights."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.tokenizer = checkpoint, checkpoint.tokenizer
        self.model = hugging_face(checkpoint.model)
        self.model.generation_config = generation_config(checkpoint, self.model)
        self.features = WhisperFeatureExtractor(feature_size=checkpoint.config.num_mel_bins)

    @cached_property
    def vocabulary(self) -> WhisperTokenizer:
        """transformers' own, of a bundled model."""
        return WhisperTokenizer.from_pretrained(installed(self.checkpoint.name))

    def transcript(self, clip: Clip, task: str = "transcribe") -> Golden:
        times = None
        if clip.kind == "long":
            segments = self._segments(clip, task)
            ids = [token for _, _, tokens in segments for token in tokens]
            times = tuple((start, end, len(tokens)) for start, end, tokens in segments)
        else:
            ids = self._tokens(clip, task)
        text = self.vocabulary.decode(ids, clean_up_tokenization_spaces=False)
        judged = clip.kind in ("read", "long") and clip.language == "en"
        return Golden(
            clip.name,
            task,
            clip.language,
            text,
            tuple(ids),
            times,
            word_errors(clip.text, text) if judged else None,
            self.language(clip) if self.tokenizer.multilingual and clip.kind != "long" else None,
        )

    def _tokens(self, clip: Clip, task: str) -> list[int]:
        return self._texts(self.model.generate(self.window(clip), **self._asked(clip, task))[0])

    def _segments(self, clip: Clip, task: str) -> list[tuple[float, float, list[int]]]:
        listened = self.features(
            clip.samples(),
            sampling_rate=SAMPLE_RATE,
            truncation=False,
            padding="longest",
            return_attention_mask=True,
            return_tensors="pt",
        )
        made = self.model.generate(
            **listened,
            **self._asked(clip, task),
            return_timestamps=True,
            condition_on_prev_tokens=False,
            return_segments=True,
        )
        (segments,) = made["segments"]
        return [
            (round(float(each["start"]), 2), round(float(each["end"]), 2), self._texts(each["tokens"]))
            for each in segments
        ]

    def language(self, clip: Clip) -> tuple[str, float]:
        """The likeliest language and its probability among all."""
        codes = self.checkpoint.languages
        with torch.inference_mode():
            start = torch.tensor([[self.tokenizer.sot]])
            logits = self.model(self.window(clip), decoder_input_ids=start).logits[0, -1]
        shares = logits[[self.tokenizer.language_token(code) for code in codes]].softmax(0)
        return codes[int(shares.argmax())], round(float(shares.max()), 4)

    def window(self, clip: Clip) -> Tensor:
        """Log-mel [1, bins, 3000] of the first 30 s."""
        return self.features(clip.samples(), sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features

    def _asked(self, clip: Clip, task: str) -> dict[str, str]:
        return {"language": clip.language, "task": task} if self.tokenizer.multilingual else {}

    def _texts(self, tokens: Tensor) -> list[int]:
        return [token for token in tokens.tolist() if token < self.tokenizer.eot]


def transcripts(oracle: HuggingFace) -> Iterator[Golden]:
    for clip in clips().values():
        if clip.language in oracle.checkpoint.languages:
            yield oracle.transcript(clip)
            if clip.name in TRANSLATED:
                yield oracle.transcript(clip, "translate")


def main() -> None:
    found = {name: clip.as_found() for name, clip in clips().items()}
    write_manifest(found)
    clips.cache_clear()
    made_with = {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]}
    for model in MODELS:
        write(model, made_with, transcripts(HuggingFace(load_checkpoint(model, offline=True))))


if __name__ == "__main__":
    main()
