"""A microphone, by the optional package sounddevice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ttscribe.errors import DeviceUnavailable, with_extra
from ttscribe.types import InputFormat

_TYPES = {"s16le": "int16", "f32le": "float32"}
_FRAME_BYTES = {"s16le": 2, "f32le": 4}


@contextmanager
def microphone(sample_rate: int, input_format: InputFormat) -> Iterator[Callable[[int], bytes]]:
    """What reads at most so many bytes from the default microphone: mono PCM at ``sample_rate`` Hz.

    DeviceUnavailable where the package is missing, or PortAudio, or a microphone.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceUnavailable(f"the microphone needs sounddevice: {with_extra('microphone')}") from error
    except OSError as error:
        raise DeviceUnavailable(
            f"the microphone needs PortAudio ({error}): install libportaudio2, or give sound to ttscribe listen -"
        ) from error
    try:
        with sounddevice.RawInputStream(samplerate=sample_rate, channels=1, dtype=_TYPES[input_format]) as stream:

            def read(count: int) -> bytes:
                try:
                    return bytes(stream.read(max(1, count // _FRAME_BYTES[input_format]))[0])
                except sounddevice.PortAudioError as error:
                    raise DeviceUnavailable(f"the microphone gives no more sound: {error}") from error

            yield read
    except sounddevice.PortAudioError as error:
        raise DeviceUnavailable(
            f"no microphone can be opened ({error}): connect one, or give sound to ttscribe listen -"
        ) from error
