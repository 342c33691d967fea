"""Probabilities of logits: where the largest is taken off first, no exponential is too large."""

import math

import numpy as np

from ttscribe.types import FloatArray


def log_sum_exp(logits: FloatArray) -> float:
    """The natural logarithm of the sum of the exponentials of ``logits`` [V].

    Minus infinity where all are; no number, or infinity, where one of them is.
    """
    most = logits.max().item()
    if not math.isfinite(most):
        return float(most)
    return float(most + math.log(np.exp(logits - np.float32(most)).sum()))


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities along the last dimension of ``logits``: no numbers where one of them is none, or infinite."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: FloatArray = powers / powers.sum(-1, keepdims=True)
    return shares
