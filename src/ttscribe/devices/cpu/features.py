"""The transform of sound by the kernels in C++."""

from __future__ import annotations

import numpy as np

from ttscribe import threads
from ttscribe.audio.features import HOP, mel_filters
from ttscribe.devices.cpu import kernels
from ttscribe.types import Features, Samples


def log_power(signal: Samples, first: int, last: int, num_mel_bins: int) -> Features:
    """As ``LogPower``, of a contiguous signal; as near to features computed in 64 bits as PyTorch's are."""
    filters = mel_filters(num_mel_bins)
    power = np.empty(((last - first) // HOP + 1, num_mel_bins), np.float32)
    kernels.library().ttscribe_log_power(
        signal.ctypes.data,
        len(signal),
        first,
        len(power),
        filters.ctypes.data,
        num_mel_bins,
        power.ctypes.data,
        threads.count(),
    )
    return power
