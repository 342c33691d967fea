"""From named tensors to a model, checked one by one; every format ends here."""

from pathlib import Path

import torch
from torch import Tensor

from ttscribe.errors import CheckpointInvalid
from ttscribe.whisper.checkpoints.parts import Parts
from ttscribe.whisper.model import WhisperModel

_STORED_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


# Whoever asks first may be in inference mode, whose tensors are of no use outside.
@torch.inference_mode(False)
def build_model(parts: Parts, dtype: str | None) -> WhisperModel:
    """The model for inference, each weight converted on its own, or left in the mapped file where its dtype fits.

    ``dtype`` is a name of PyTorch's such as "float32"; None fits all.

    Raises:
        CheckpointInvalid: a file of weights is damaged, or a tensor is missing, unknown, of the wrong shape or not
            floating point; it is named.
    """
    wanted = None if dtype is None else getattr(torch, dtype)
    # A model on the meta device has names and shapes but no memory; assign=True then gives it the tensors themselves.
    with torch.device("meta"):
        model = WhisperModel(parts.config)
    expected = model.state_dict()
    state: dict[str, Tensor] = {}
    for name, tensor in parts.tensors():
        _check(name, tensor, expected.get(name), parts.origin)
        # The same tensor where the dtype is its own: it is then still the file's pages, which the system reads when
        # they are used.
        state[name] = tensor if wanted is None else tensor.to(wanted)
    missing = [name for name in expected if name not in state]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointInvalid(f"{parts.origin} is incomplete: it has no {missing[0]}{others}")
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def _check(name: str, tensor: Tensor, expected: Tensor | None, origin: Path) -> None:
    if expected is None:
        raise CheckpointInvalid(f"{origin} has {name}, which a Whisper of this configuration has no use for")
    if tensor.shape != expected.shape:
        raise CheckpointInvalid(
            f"{origin}: {name} should have the shape {list(expected.shape)} but has {list(tensor.shape)}"
        )
    if tensor.dtype not in _STORED_DTYPES:
        raise CheckpointInvalid(f"{origin}: {name} is {tensor.dtype}; float32, float16 or bfloat16 is needed")
