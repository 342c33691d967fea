"""A model's weights in 8 bits, laid out for ``kernels``, kept in a file that is mapped into memory.

The file is of the format safetensors: its header's length in 8 bytes, the header in JSON, the tensors.
"""

from __future__ import annotations

import json
import logging
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.kernels.building import KEY
from ttscribe.errors import OutputError
from ttscribe.files import cache_folder, replacing
from ttscribe.whisper.config import WhisperConfig

if TYPE_CHECKING:
    from ttscribe.whisper.model import WhisperModel

logger = logging.getLogger("ttscribe.devices.cpu")

Packed = Mapping[str, npt.NDArray[Any]]
"""Arrays by the path of what they are of, such as "encoder.0.attention.into.weight"."""

_DTYPES = {"I8": np.int8, "I32": np.int32, "F16": np.float16, "F32": np.float32}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_LINE = 64  # bytes of a line of the CPU's caches

# What reading a header raises that is not what was written.
_DAMAGE = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError, struct.error)


def packed_weights(build: Callable[[], WhisperModel], path: Path | None) -> Packed:
    """A model's weights in the kernels' layout: from the file that was written of ``path`` before, or to it.

    ``build`` gives the model; it is called where there is no such file. Raises CheckpointInvalid as it does, and where
    weights are no numbers.
    """
    if path is None:
        return _pack(build())
    file = _file(path)
    if (kept := _mapped(file)) is not None:
        return kept
    packed = _pack(build())
    try:
        _write(packed, file)
    except OutputError as error:
        logger.warning("%s; packing the weights again at each start", error)
        return packed
    # Mapped memory is shared by all processes, and the system may take it back.
    return _mapped(file) or packed


def _pack(model: WhisperModel) -> Packed:
    from ttscribe.devices.cpu.packing import pack

    return pack(model)


def _file(path: Path) -> Path:
    """Where the packed weights of ``path`` are kept: another file when what is at ``path`` changes."""
    path = path.resolve()
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    # The hub's snapshots are links to files named by their content; times and sizes are the content's.
    # And another when the kernels, or what packs for them, are others than those that wrote it.
    sources = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("packed.py", "packing.py")]
    known = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files]
    here, now = (sha256(repr(part).encode()).hexdigest()[:16] for part in (str(path), (KEY, sources, known)))
    return cache_folder() / "packed" / f"{here}-{now}.safetensors"


def _mapped(file: Path) -> Packed | None:
    """What is in the file; None where it is not there, or is not whole."""
    try:
        content = np.asarray(np.memmap(file, np.uint8, "r"))
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length].tobytes())
        return {name: _array(content[8 + length :], **entry) for name, entry in header.items()}
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        logger.warning("%s is damaged (%s); packing the weights again", file, error)
        return None


def _array(content: npt.NDArray[np.uint8], dtype: str, shape: list[int], data_offsets: list[int]) -> npt.NDArray[Any]:
    start, stop = data_offsets
    return content[start:stop].view(_DTYPES[dtype]).reshape(shape)


def _write(packed: Packed, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror or error}") from error
    with replacing(file) as new, new.open("xb") as output:
        output.write(_header(packed))
        for array in packed.values():
            output.write(array.data)
        output.flush()
        # Or a power cut could leave zeros for weights.
        os.fsync(output.fileno())
    for old in file.parent.glob(f"{file.name.partition('-')[0]}-*"):
        if old != file:
            old.unlink(missing_ok=True)


def _header(packed: Packed) -> bytes:
    entries, stop = {}, 0
    for name, array in packed.items():
        start, stop = stop, stop + array.nbytes
        entries[name] = {"dtype": _NAMES[array.dtype], "shape": array.shape, "data_offsets": (start, stop)}
    text = json.dumps(entries).encode()
    # Every tensor is of whole lines, as the kernels' widths are: where the first begins with one, all do.
    text += b" " * (-(8 + len(text)) % _LINE)
    return struct.pack("<Q", len(text)) + text


def structure(packed: Packed, config: WhisperConfig) -> kernels.Model:
    """The kernels' model on these arrays, which it does not keep alive."""
    encoder = (kernels.EncoderLayer * config.encoder_layers)()
    decoder = (kernels.DecoderLayer * config.decoder_layers)()
    model = kernels.Model(
        width=config.d_model,
        heads=config.decoder_attention_heads,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        slots=config.max_target_positions,
        vocabulary=config.vocab_size,
        encoder=encoder,
        decoder=decoder,
    )
    for name, array in packed.items():
        _point(model, name.split("."), array)
    shapes = {name.removesuffix(".weight"): packed[name].shape for name in packed if name.endswith(".weight")}
    for name, shape in shapes.items():
        if len(shape) == 4:
            linear = _at(model, name.split("."))
            linear.outputs, linear.inputs = shape[0] * kernels.UNIT, shape[1] * 4
    return model


def _point(model: Any, path: Sequence[str], array: npt.NDArray[Any]) -> None:
    owner = _at(model, path[:-1])
    if owner is not None:
        setattr(owner, path[-1], array.ctypes.data)


def _at(owner: Any, path: Sequence[str]) -> Any:
    for name in path:
        owner = owner[int(name)] if name.isdigit() else getattr(owner, name, None)
        if owner is None:
            return None
    return owner
