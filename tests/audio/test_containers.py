import logging
import re
import struct

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.audio import load_audio
from ttscribe.audio.track import MonoTrack
from ttscribe.errors import AudioError, AudioUnreadable, InvalidSamples, NoAudioStream

# FFmpeg before libavcodec 63 (PyAV before 19) leaves in what fills the last frame of AAC in an MP4: up to 1023 samples.
MP4_PADDING = 0 if av.library_versions["libavcodec"] >= (63,) else 1023 / 44100

# container, codec, rate, whether the film goes beside it, tolerated extra seconds (encoder padding)
FORMATS = {
    "wav": ("wav", "pcm_s16le", 44100, 0, 0),
    "wav 8 bit": ("wav", "pcm_u8", 8000, 0, 0),
    "wav 24 bit": ("wav", "pcm_s24le", 48000, 0, 0),
    "wav float": ("wav", "pcm_f32le", 22050, 0, 0),
    "wav double": ("wav", "pcm_f64le", 16000, 0, 0),
    "wav mu-law": ("wav", "pcm_mulaw", 8000, 0, 0),
    "aiff": ("aiff", "pcm_s16be", 44100, 0, 0),
    "flac": ("flac", "flac", 44100, 0, 0),
    "mp3": ("mp3", "mp3", 44100, 0, 0),
    "ogg opus": ("ogg", "libopus", 48000, 0, 0),
    "ogg flac": ("ogg", "flac", 16000, 0, 0),
    "m4a": ("ipod", "aac", 44100, 0, MP4_PADDING),
    "m4a alac": ("ipod", "alac", 44100, 0, 0),
    "aac": ("adts", "aac", 44100, 0, 0.05),
    "mkv": ("matroska", "libopus", 48000, 3, 0),
    "webm": ("webm", "libopus", 48000, 0, 0),
    "mp4 film": ("mp4", "aac", 48000, 3, MP4_PADDING),
    "avi film": ("avi", "pcm_s16le", 44100, 3, 0),
    "mpegts": ("mpegts", "aac", 48000, 3, 0.05),
}


def spectrum_peak(samples):
    """Frequency in Hz and amplitude of the strongest tone in the middle second."""
    middle = samples[len(samples) // 2 - 8000 :][:16000] * np.hanning(16000)
    spectrum = np.abs(np.fft.rfft(middle)) / (16000 / 4)
    return int(spectrum.argmax()), float(spectrum.max())


def wav(pcm, rate, *, data_size=None, tag=1):
    """A mono 16-bit WAV; ``data_size`` is what its header says of its length."""
    size = len(pcm) * 2 if data_size is None else data_size
    riff = b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + b"WAVE"
    head = b"fmt " + struct.pack("<IHHIIHH", 16, tag, 1, rate, 2 * rate, 2, 16)
    return riff + head + b"data" + struct.pack("<I", size) + np.asarray(pcm, "<i2").tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_every_container_keeps_length_and_tone(name, encode, tone, caplog):
    container, codec, rate, film, extra = FORMATS[name]
    sound = tone(440, 3, rate)
    samples = load_audio(encode(np.concatenate([sound, sound]), rate, container, codec, video_seconds=film))
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    assert 48000 <= len(samples) <= 48000 + 16000 * extra
    hz, amplitude = spectrum_peak(samples)
    assert hz == 440
    assert amplitude == pytest.approx(0.5, rel=0.06)  # LAME turns down by 5 %
    assert not caplog.records


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("mp4", "aac")])
@pytest.mark.parametrize("count", [1, 2, 6, 8])
def test_channels_are_mixed_to_their_mean(count, container, codec, encode, tone):
    """A tone in every channel but the last (a low-frequency channel keeps no tone) is heard once, at their mean."""
    channels = np.repeat(tone(1000, 2, 48000, 0.4), count, axis=0)
    silent = {6: [3], 8: [3]}.get(count, [])
    channels[silent] = 0
    hz, amplitude = spectrum_peak(load_audio(encode(channels, 48000, container, codec)))
    assert hz == 1000
    assert amplitude == pytest.approx(0.4 * (count - len(silent)) / count, rel=0.03)


def test_opposite_channels_cancel(encode, tone):
    sound = tone(440, 1, 16000)
    samples = load_audio(encode(np.concatenate([sound, -sound]), 16000, "wav", "pcm_f32le"))
    assert not samples.any()


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_resampling_gives_the_exact_length_and_soxrs_samples(rate):
    sound = np.random.default_rng(rate).normal(0, 3000, 2 * rate + 7).astype(np.int16)
    samples = load_audio(wav(sound, rate))
    expected = soxr.resample(sound.astype(np.float32) / 32768, rate, 16000, "HQ")
    assert abs(len(samples) - len(sound) * 16000 / rate) <= 0.5
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_16_khz_is_not_touched():
    sound = np.arange(-32768, 32767, 7, dtype=np.int16)
    assert np.array_equal(load_audio(wav(sound, 16000)) * 32768, sound)


def test_what_is_above_8_khz_does_not_fold_back(encode, tone):
    samples = load_audio(encode(tone(9000, 2, 48000), 48000, "wav", "pcm_f32le"))
    assert spectrum_peak(samples)[1] < 1e-4


def test_a_rate_that_changes_midway_is_followed(encode, tone):
    """ADTS frames of two rates, one after the other."""
    data = encode(tone(440, 2, 44100), 44100, "adts", "aac") + encode(tone(440, 2, 22050), 22050, "adts", "aac")
    samples = load_audio(data)
    assert len(samples) / 16000 == pytest.approx(4, abs=0.2)
    assert spectrum_peak(samples[:32000])[0] == spectrum_peak(samples[-32000:])[0] == 440


def test_a_track_takes_pieces_of_several_rates_and_channel_counts():
    pieces = []
    track = MonoTrack("x", pieces.append)
    track.add(np.zeros((2, 8000)), 8000)
    track.add(np.ones((1, 16000)), 16000)
    track.add(np.zeros((6, 48000)), 48000)
    track.finish()
    samples = np.concatenate(pieces)
    assert len(samples) == 48000
    assert track.seconds == 3
    assert samples[16000:32000].tolist() == [1] * 16000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_of_unknown_length_from_a_pipe_is_read_to_its_end(size, caplog):
    assert len(load_audio(wav(np.ones(160000), 16000, data_size=size))) == 160000
    assert not caplog.records


CUT = ["wav", "aiff", "flac", "mp3", "mkv", "webm", "avi film"]


@pytest.mark.parametrize("name", CUT)
def test_half_a_file_that_declares_its_length_is_refused(name, encode, tone):
    container, codec, rate, film, _ = FORMATS[name]
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 10 * rate)).astype(np.float32)
    data = encode(noise, rate, container, codec, video_seconds=film and 10)
    with pytest.raises(
        AudioUnreadable, match=r"cut short or damaged: (4\.[5-9]|5\.\d) s of 10\.0 s could be read; get a"
    ):
        load_audio(data[: len(data) // 2])


def test_half_an_m4a_cannot_be_opened(encode, tone):
    data = encode(tone(440, 5, 44100), 44100, "ipod", "aac")
    with pytest.raises(AudioUnreadable, match="not audio or video, or damaged or cut short"):
        load_audio(data[: len(data) // 2])


def test_half_an_ogg_is_read_with_a_warning(encode, caplog):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 480000)).astype(np.float32)
    data = encode(noise, 48000, "ogg", "libopus")
    assert 3 < len(load_audio(data[: len(data) // 2])) / 16000 < 6
    assert caplog.messages == ["the given bytes: perhaps cut short: its end mark is missing"]


def test_a_few_seconds_of_an_hour_may_be_missing():
    sound = np.ones(100 * 1000)
    with pytest.raises(AudioUnreadable, match=r"97\.0 s of 100\.0 s"):
        load_audio(wav(sound[:97000], 1000, data_size=200_000))
    assert len(load_audio(wav(sound[:99000], 1000, data_size=200_000))) == 99 * 16000


def test_a_film_longer_than_its_sound_is_not_cut_short(encode, tone, caplog):
    data = encode(tone(440, 2, 48000), 48000, "matroska", "libopus", video_seconds=10)
    assert len(load_audio(data)) == 32000
    assert not caplog.records


@pytest.mark.parametrize("sound_first", [False, True])
@pytest.mark.parametrize(
    ("container", "codec", "rate", "length"),
    # Windows Media's decoder, unlike the other, holds a last frame back until it is told that no packet follows.
    [("matroska", "libopus", 48000, 32000), ("asf", "wmav2", 44100, 31951)],
)
def test_a_films_sound_is_read_to_its_end_whichever_stream_is_first(
    container, codec, rate, length, sound_first, encode, tone, caplog
):
    data = encode(tone(440, 2, rate), rate, container, codec, video_seconds=2, sound_first=sound_first)
    assert len(load_audio(data)) == length
    assert not caplog.records


def damaged(data, count):
    """``data`` with ``count`` bytes in its middle replaced by noise."""
    middle = len(data) // 2
    return data[:middle] + np.random.default_rng(0).bytes(count) + data[middle + count :]


def test_undecodable_packets_are_passed_over_with_a_warning(encode, caplog):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 441000)).astype(np.float32)
    samples = load_audio(damaged(encode(noise, 44100, "ipod", "aac"), 3000))
    assert 9.5 < len(samples) / 16000 < 10
    [record] = caplog.records
    assert re.fullmatch(r"the given bytes: damaged: 0\.\d\d s of 10\.00 s could not be read", record.getMessage())
    assert (record.name, record.levelno) == ("ttscribe.audio", logging.WARNING)


@pytest.mark.parametrize(("container", "codec", "count"), [("ipod", "aac", 30_000), ("ogg", "flac", 60_000)])
def test_a_file_damaged_over_a_large_part_is_refused(container, codec, count, encode):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 441000)).astype(np.float32)
    with pytest.raises(AudioUnreadable, match=r"cut short or damaged: [4-8]\.\d s of 10\.0 s could be read"):
        load_audio(damaged(encode(noise, 44100, container, codec), count))


def test_a_gap_in_the_sound_is_told(encode, caplog):
    """Ogg's pages are found again after damaged ones."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 480000)).astype(np.float32)
    samples = load_audio(damaged(encode(noise, 48000, "ogg", "libopus"), 3000))
    [message] = caplog.messages
    gap = re.fullmatch(
        r"the given bytes: (\d\.\d\d) s without sound were left out: times after them are that much early", message
    )
    assert gap
    assert float(gap[1]) == pytest.approx(10 - len(samples) / 16000, abs=0.02)


def test_pictures_without_sound(encode, tmp_path):
    for container in ("mp4", "matroska"):
        with pytest.raises(NoAudioStream, match=r"^the given bytes: it has pictures but no sound$"):
            load_audio(encode(None, 0, container, video_seconds=1))
    image = tmp_path / "dot.gif"
    image.write_bytes(
        bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
    )
    with pytest.raises(NoAudioStream, match=r"dot\.gif: it has pictures but no sound$"):
        load_audio(image)


TEXTS = {
    "notes.txt": "Nothing to hear here.\n" * 40,
    "notes.md": "# Nothing to hear here\n",
    "film.srt": "1\n00:00:01,000 --> 00:00:02,000\nhello\n\n",
    "table.json": '{"a": 1}',
    "talk.mp3": "Nothing to hear here.\n",
    "talk.wav": "RIFF",
    "talk": "x",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_not_audio(name, tmp_path):
    path = tmp_path / name
    path.write_text(TEXTS[name])
    with pytest.raises(AudioUnreadable, match=f"{name}: not (an )?audio or video"):
        load_audio(path)


def test_playlists_do_not_open_other_files(tmp_path, beckett):
    (tmp_path / "talk.wav").write_bytes(beckett.read_bytes())
    playlist = tmp_path / "list.ffconcat"
    playlist.write_text("ffconcat version 1.0\nfile talk.wav\n")
    with pytest.raises(AudioUnreadable, match="not audio or video"):
        load_audio(playlist)


def test_empty_files_and_recordings(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    with pytest.raises(AudioUnreadable, match=r"empty\.wav: empty, 0 bytes$"):
        load_audio(path)
    with pytest.raises(AudioUnreadable, match=r"^the given bytes: empty, 0 bytes$"):
        load_audio(b"")
    with pytest.raises(AudioUnreadable, match=r"no sound could be decoded; it is damaged or its length is zero$"):
        load_audio(wav([], 16000))


def test_one_sample():
    assert len(load_audio(wav([1000], 16000))) == 1
    with pytest.raises(InvalidSamples, match="its length is zero"):
        load_audio(wav([1000], 48000))


@pytest.mark.parametrize("rate", [1, 999, 2_000_000])
def test_absurd_rates_in_a_header(rate):
    with pytest.raises(InvalidSamples, match=r"Hz is impossible; it must be 1000 to 1000000 Hz$"):
        load_audio(wav(np.ones(100), rate))


def test_samples_in_a_file_that_are_no_numbers(encode, tone):
    sound = tone(440, 2, 44100)
    sound[0, 22050:22060] = np.nan
    with pytest.raises(InvalidSamples, match=r"10 of 88200 samples are NaN, .* the first at 0\.500 s"):
        load_audio(encode(sound, 44100, "wav", "pcm_f32le"))


def test_an_unknown_codec():
    with pytest.raises(AudioUnreadable, match="its sound is encrypted or in an unknown format"):
        load_audio(wav(np.ones(100), 16000, tag=0x1234))


def test_tags_in_another_encoding_do_no_harm():
    tag = b"INAM" + struct.pack("<I", 4) + "Zoë ".encode("latin-1")
    extra = b"LIST" + struct.pack("<I", 4 + len(tag)) + b"INFO" + tag
    assert len(load_audio(wav(np.ones(1600), 16000) + extra)) == 1600


def test_random_bytes_are_not_audio():
    for seed in range(5):
        with pytest.raises(AudioError):
            load_audio(np.random.default_rng(seed).bytes(100_000))


def loads_or_says_why(data):
    try:
        samples = load_audio(data)
    except AudioError as error:
        message = str(error)
        assert message.startswith("the given bytes: ")
        assert "\n" not in message
    else:
        assert samples.size
        assert np.isfinite(samples).all()


HEADS = [
    b"",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"fLaC",
    b"OggS\0",
    b"ID3\4",
    b"\xff\xfb\x90",
    b"\x1aE\xdf\xa3",
    b"\0\0\0\x20ftyp",
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=2000))
def test_any_bytes_give_sound_or_an_audio_error(head, body):
    loads_or_says_why(head + body)


@pytest.fixture(scope="module")
def small_files(encode, tone):
    formats = (FORMATS[name] for name in ("wav", "flac", "mp3", "ogg opus", "m4a", "mkv", "avi film"))
    return [
        encode(tone(440, 0.5, rate), rate, container, codec, video_seconds=film and 0.5)
        for container, codec, rate, film, _ in formats
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_sound_or_an_audio_error(small_files, data):
    broken = bytearray(data.draw(st.sampled_from(small_files)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, min(len(broken) - 1, 4000)))
        patch = data.draw(st.binary(min_size=1, max_size=16))
        broken[start : start + len(patch)] = patch
    loads_or_says_why(bytes(broken[: data.draw(st.integers(1, len(broken)))]))
