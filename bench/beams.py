"""The search with beams beside OpenAI's decoder: ``python bench/beams.py --speech DIR``.

Both decode the first 30 s of every recording from the same features with the same weights; what differs is printed.
"""

import argparse
from pathlib import Path

import torch

from quality_cases import recordings
from quality_systems import openai_model
from ttscribe.audio import log_mel, window
from ttscribe.decoding import Prompt, Rules, TimestampGrammar, read_prompt, search_beams
from ttscribe.devices import make_runner
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint

KINDS = ("utt", "prompt", "cmd", "digits", "tts", "nonen", "noise", "long", "long-nonen")


def rules_of(checkpoint: Checkpoint) -> Rules:
    """OpenAI's: its suppressed tokens, and timestamps in order."""
    tokenizer, latest = checkpoint.tokenizer, checkpoint.max_initial_timestamp_index
    grammar = TimestampGrammar.of(tokenizer, latest)
    return Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, grammar)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--beam-size", type=int, default=5)
    arguments = parser.parse_args()

    from whisper import DecodingOptions, decode  # type: ignore[import-untyped]

    checkpoint = load_checkpoint(arguments.model, offline=True)
    theirs, runner, rules = openai_model(checkpoint), make_runner("cpu", checkpoint.model), rules_of(checkpoint)
    tokenizer, same, count = checkpoint.tokenizer, 0, 0
    for case in recordings(arguments.speech, KINDS, arguments.model):
        mel = window(log_mel(case.samples, checkpoint.config.num_mel_bins), 0)
        tokens = tokenizer.prompt(case.language, "transcribe", timestamps=True)
        prompt = Prompt(tokens, tokens.index(tokenizer.sot), tokenizer.eot, tokenizer.no_speech)
        reading = read_prompt(runner, runner.start(runner.encode(mel[None])), prompt)
        ours = search_beams(runner, reading, prompt, rules, beam_size=arguments.beam_size)[0].tokens
        asked = DecodingOptions(language=case.language, beam_size=arguments.beam_size, fp16=False)
        wanted = tuple(decode(theirs, torch.from_numpy(mel), asked).tokens)
        count += 1
        same += ours == wanted
        if ours != wanted:
            print(
                f"{case.name}\n  ours:     {tokenizer.decode(ours)}\n  OpenAI's: {tokenizer.decode(wanted)}", flush=True
            )
    print(f"{same} of {count} recordings have the same tokens ({arguments.model}, beam size {arguments.beam_size})")


if __name__ == "__main__":
    main()
