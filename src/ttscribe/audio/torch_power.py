"""The transform of sound by PyTorch: Hugging Face's features to the bit."""

import numpy as np
import torch

from ttscribe.audio.features import HOP, N_FFT, mel_filters
from ttscribe.types import Features, Samples


def log_power(signal: Samples, first: int, last: int, num_mel_bins: int) -> Features:
    """As ``LogPower``."""
    start, stop = first - N_FFT // 2, last + N_FFT // 2
    left, right = max(0, -start), max(0, stop - len(signal))
    block = torch.from_numpy(np.pad(signal[start + left : stop - right], (left, right), mode="reflect"))
    # The periodic window, as OpenAI and Hugging Face have it; numpy.hanning is the symmetric one.
    spectrum = torch.stft(block, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    # To square the parts and add them takes a third of the time, and is not Hugging Face's to the last bit: with
    # bfloat16 that is another word now and then.
    power = torch.from_numpy(mel_filters(num_mel_bins)) @ spectrum.abs().square()
    # Digital silence has no logarithm: 1e-10 stands for it.
    return power.clamp_(min=1e-10).log10_().T.contiguous().numpy()
