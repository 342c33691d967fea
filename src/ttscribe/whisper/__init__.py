"""Whisper itself: configuration, tokenizer, checkpoints, and the model in plain torch."""
