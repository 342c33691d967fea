"""Recordings made on the spot, in any container that PyAV writes."""

import io
from collections.abc import Callable

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler


def tone(hz: float, seconds: float, rate: int, amplitude: float = 0.5) -> np.ndarray:
    """A sine, float32 [1, samples]."""
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[np.newaxis]


def encode(
    channels: np.ndarray | None,
    rate: int,
    container: str,
    codec: str = "",
    *,
    video_seconds: float = 0,
    sound_first: bool = False,
) -> bytes:
    """A file of float32 ``channels`` [channels, samples], with a film of that length beside it, or only the film."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        video = audio = None
        for kind in ("sound", "pictures") if sound_first else ("pictures", "sound"):
            if kind == "pictures" and video_seconds:
                video = output.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
            elif kind == "sound" and channels is not None:
                layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(channels)]
                audio = output.add_stream(codec, rate=rate, layout=layout)
                if codec == "wmav2":  # opens at no other rate than it is told
                    audio.bit_rate = 128_000
        packets = []
        if video:
            for index in range(round(25 * video_seconds)):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index % 256, np.uint8), format="rgb24")
                frame.pts = index
                packets += video.encode(frame)
            packets += video.encode(None)
        if audio:
            frame_size = audio.codec_context.frame_size or 1024
            to_codec = AudioResampler(format=audio.format.name, layout=layout, rate=rate, frame_size=frame_size)
            packed = np.ascontiguousarray(channels.T, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            for piece in [*to_codec.resample(frame), *to_codec.resample(None)]:
                packets += audio.encode(piece)
            packets += audio.encode(None)
        packets = [packet for packet in packets if packet.dts is not None]
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            output.mux(packet)
    return buffer.getvalue()


@pytest.fixture(scope="session", name="tone")
def tone_fixture() -> Callable[..., np.ndarray]:
    return tone


@pytest.fixture(scope="session", name="encode")
def encode_fixture() -> Callable[..., bytes]:
    return encode
