"""Sound out of any container and codec that FFmpeg's libraries read, by PyAV."""

from __future__ import annotations

import io
import itertools
import logging
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from ttscribe.audio.spool import Spool
from ttscribe.audio.track import MonoTrack
from ttscribe.errors import AudioError, AudioUnreadable, NoAudioStream

logger = logging.getLogger("ttscribe.audio")

FAILURES = (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError, RuntimeError)
"""What PyAV raises on damaged input."""

# A playlist or session description must not make us open other files or the network.
OPTIONS = {"protocol_whitelist": "none"}

# A title in another encoding than UTF-8 must not keep the sound from being read. From 19 on, PyAV sees to that itself.
METADATA: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}

# FFmpeg draws a file named .txt as ANSI art: a "video".
TEXT_FORMATS = {"tty"}

STREAMED_BYTES = 0x7F000000
"""Programs that write to a pipe put a length from here up into the header, for want of the true one."""

ENDLESS = 1 << 50
"""Bytes: a petabyte."""

LONGEST_OGG_PAGE = 65_307

# What FFmpeg makes of a size of a petabyte, by the bit rate, is longer than this.
A_YEAR = 365 * 24 * 3600.0
NOTICEABLE = 0.25
"""Seconds: containers round lengths up by less than this."""


def decode(file: BinaryIO | Spool, track: MonoTrack) -> None:
    """Put the sound of a seekable ``file`` onto ``track``.

    Raises AudioUnreadable (not audio, empty, damaged, cut short), NoAudioStream, InvalidSamples, AudioTooLong.
    """
    label = track.label
    if not file.read(1):
        raise AudioUnreadable(f"{label}: empty, 0 bytes")
    try:
        with _open(_View(file)) as container:
            _read(container, _sound(container, label), file, track)
            ogg = container.format.name == "ogg"
    except FAILURES as error:
        raise AudioUnreadable(f"{label}: not audio or video, or damaged or cut short ({_reason(error)})") from error
    if ogg and not _has_last_page(file):
        logger.warning("%s: perhaps cut short: its end mark is missing", label)


def told_seconds(file: BinaryIO) -> float:
    """How long a seekable file says that its sound is, or its size lets suppose; 0 where nothing is known of it."""
    try:
        with _open(_View(file)) as container:
            return _seconds(container, _sound(container, ""))
    except (AudioError, *FAILURES):
        return 0.0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _open(file: _View) -> InputContainer:
    container: InputContainer = av.open(file, "r", options=OPTIONS, **METADATA)
    return container


def _sound(container: InputContainer, label: str) -> AudioStream:
    """The best audio stream that has a decoder; an error that tells why there is none."""
    best = container.streams.best("audio")
    for stream in (best, *container.streams.audio):
        if isinstance(stream, AudioStream) and stream.codec_context:
            return stream
    if container.streams.audio:
        raise AudioUnreadable(f"{label}: its sound is encrypted or in an unknown format; convert it to WAV or FLAC")
    if container.streams.video and container.format.name not in TEXT_FORMATS:
        raise NoAudioStream(f"{label}: it has pictures but no sound")
    raise AudioUnreadable(f"{label}: not an audio or video file")


def _read(container: InputContainer, stream: AudioStream, file: BinaryIO | Spool, track: MonoTrack) -> None:
    extent, label = _Extent(), track.label
    damaged = False
    try:
        _gather(container, stream, track, extent)
    except FAILURES as error:
        logger.warning("%s: reading stopped at a damaged place (%s)", label, _reason(error))
        damaged = True
    if isinstance(file, Spool):
        file.end()
    extent.declared = _seconds_in_header(file) or _seconds_in_vbr_header(container, stream)
    if damaged:
        # An estimate will do, now that it is certain that something is missing.
        extent.declared = extent.declared or _seconds(container, stream)
    # A cut out of a stream may begin at any time of its clock, to which packets refer.
    start = max(0, container.start_time or 0) / av.time_base
    extent.check(label, heard=start + track.seconds)
    if not track.seconds:
        raise AudioUnreadable(f"{label}: no sound could be decoded; it is damaged or its length is zero")
    track.finish()


def _gather(container: InputContainer, stream: AudioStream, track: MonoTrack, extent: _Extent) -> None:
    """Decode ``stream`` onto ``track``, passing over packets that cannot be decoded."""
    floats = _FloatFrames()
    # Of all streams, though one is decoded: how far the others go tells whether the file is whole.
    for packet in container.demux():
        if packet.stream is not stream:
            extent.saw(packet)
            continue
        # The last packet is empty, and makes the decoder give what it still holds.
        try:
            frames = stream.decode(packet)
        except FAILURES:
            extent.lost(packet)
            continue
        extent.saw(packet)
        extent.sound_end = max(extent.sound_end, _end(packet))
        for frame in itertools.chain.from_iterable(map(floats, frames)):
            track.add(frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T, frame.sample_rate)


class _FloatFrames:
    """Turns frames of any sample format into packed float32 ones, rate and channels untouched."""

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._convert: AudioResampler | None = None

    def __call__(self, frame: AudioFrame) -> list[AudioFrame]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._convert is None or kind != self._kind:
            # Packed, because PyAV 19 refuses the planes of 8 and more planar channels.
            self._convert = AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
            self._kind = kind
        return self._convert.resample(frame)


@dataclass
class _Extent:
    """How far a recording was read, in seconds, beside what its header declares (0 where it declares nothing).

    All streams count: a film whose sound ends before its pictures is not cut short.
    """

    declared: float = 0.0
    reached: float = 0.0
    sound_end: float = 0.0
    lost_packets: int = 0
    lost_seconds: float = 0.0

    def saw(self, packet: Packet[Any]) -> None:
        self.reached = max(self.reached, _end(packet))

    def lost(self, packet: Packet[Any]) -> None:
        self.lost_packets += 1
        self.lost_seconds += float((packet.duration or 0) * packet.time_base)

    def check(self, label: str, heard: float) -> None:
        """AudioUnreadable if more than 1 s and 2 % are missing; a warning if less is, or if sound has gaps.

        ``heard`` is where the sound ends by what was decoded of it, in seconds.
        """
        reached = max(self.reached, heard)
        whole = max(self.declared, reached)
        missing = max(whole - reached, self.lost_seconds)
        if missing > max(1.0, 0.02 * whole):
            raise AudioUnreadable(
                f"{label}: cut short or damaged: {whole - missing:.1f} s of {whole:.1f} s could be read; "
                "get a complete copy, or convert it first to keep what is left"
            )
        if self.lost_packets or missing > NOTICEABLE:
            logger.warning("%s: damaged: %.2f s of %.2f s could not be read", label, missing, whole)
        elif (gap := self.sound_end - heard) > NOTICEABLE:
            logger.warning("%s: %.2f s without sound were left out: times after them are that much early", label, gap)


def _end(packet: Packet[Any]) -> float:
    """Where a packet ends in its container's time, in seconds; 0 if that is unknown."""
    return 0.0 if packet.pts is None else float((packet.pts + (packet.duration or 0)) * packet.time_base)


class _View:
    """A seekable file as FFmpeg sees it: with a position of its own, and perhaps a pretended ``size`` in bytes.

    FFmpeg of a damaged file asks for impossible places; PyAV would print what the file then raises. To ask for the end
    of a stream that is still read would be to wait for it: FFmpeg is told that it is not known, nor is 2**63 - 1, which
    it takes for the end of WAV without a length.
    """

    def __init__(self, file: BinaryIO | Spool, size: int | None = None) -> None:
        self._file = file
        self._end = file.length if isinstance(file, Spool) else file.seek(0, io.SEEK_END)
        self._size = size or self._end
        self._position = 0
        self.name = getattr(file, "name", "")  # by which FFmpeg knows headerless formats

    def read(self, count: int) -> bytes:
        if self._end is not None and self._position >= self._end:
            return b""
        self._file.seek(self._position)
        data = self._file.read(count)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start is None or start + offset < 0 or (self._end is None and start + offset > ENDLESS):
            return -1
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _seconds_in_header(file: BinaryIO | Spool) -> float:
    """The length that the file itself declares, in seconds; 0 where it declares none, or only a placeholder.

    FFmpeg clips a declared length to the file's size, or estimates one from it. So it is told an enormous size, which
    leaves what is declared and makes an estimate absurd.
    """
    try:
        with _open(_View(file, ENDLESS)) as container:
            stream = container.streams.best("audio")
            if not isinstance(stream, AudioStream) or not stream.codec_context:
                return 0.0
            seconds = _seconds(container, stream)
            size = seconds * (stream.codec_context.bit_rate or 0) / 8
    except FAILURES:
        return 0.0
    return seconds if size < STREAMED_BYTES and seconds < A_YEAR else 0.0


def _seconds_in_vbr_header(container: InputContainer, stream: AudioStream) -> float:
    """An MP3's length where its first frame declares it (the same header gives the encoder's delay)."""
    return _seconds(container, stream) if container.format.name == "mp3" and stream.start_time else 0.0


def _has_last_page(file: BinaryIO | Spool) -> bool:
    """Whether an Ogg file's last page is marked as such (RFC 3533, section 6)."""
    file.seek(-min(LONGEST_OGG_PAGE, file.seek(0, io.SEEK_END)), io.SEEK_END)
    page = file.read(LONGEST_OGG_PAGE)
    flags = page[page.rfind(b"OggS") + 5 :][:1]
    return flags != b"" and bool(flags[0] & 4)


def _seconds(container: InputContainer, stream: AudioStream) -> float:
    # A stream counts in a unit of its own, a container in av.time_base-ths of a second: microseconds.
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base
