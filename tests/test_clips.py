"""Parts of a recording that are transcribed alone, with the recording's times."""

import warnings

import pytest

from quality_systems import openai_model
from ttscribe import AudioError, OptionError, Transcriber
from ttscribe.audio import load_audio
from ttscribe.windows import clips_of

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")
CLIPS = (3.0, 12.5, 20.0, 31.0)
PAIRS = clips_of(CLIPS)


@pytest.fixture(scope="module")
def transcriber(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def within(transcriber, two_cities):
    """The segments of both clips, likeliest token by token."""
    segments, info = transcriber.transcribe(two_cities, clip_timestamps=CLIPS, vad_filter=False, temperature=0.0)
    return list(segments), info


def test_segments_lie_within_the_clips_and_have_the_recordings_times(within):
    segments, info = within
    assert info.duration > 44
    starts = [[segment for segment in segments if start <= segment.start <= segment.end <= end] for start, end in PAIRS]
    assert all(starts)
    assert sum(map(len, starts)) == len(segments)


def test_the_text_is_openais_for_the_same_clips(within, tiny_en, two_cities):
    whisper = pytest.importorskip("whisper", reason="OpenAI's package (openai-whisper) is not installed: make env")
    with warnings.catch_warnings():
        # Its vocabulary is read from a file that it does not close.
        warnings.simplefilter("ignore", ResourceWarning)
        theirs = whisper.transcribe(
            openai_model(tiny_en),
            load_audio(two_cities),
            language="en",
            fp16=False,
            temperature=0.0,
            condition_on_previous_text=False,
            clip_timestamps=[*CLIPS],
        )["segments"]
    assert [(each.start, each.text) for each in within[0]] == [
        (pytest.approx(each["start"]), each["text"].strip()) for each in theirs
    ]
    # Theirs may end beyond the clip.
    ends = [min(end for end in CLIPS[1::2] if end > each["start"]) for each in theirs]
    assert [each.end for each in within[0]] == [
        pytest.approx(min(each["end"], end)) for each, end in zip(theirs, ends, strict=True)
    ]


def test_a_last_clip_without_an_end_goes_on_to_the_recordings(transcriber, two_cities, within):
    segments, info = transcriber.transcribe(two_cities, clip_timestamps=[35])
    heard = list(segments)
    assert all(segment.start >= 35 for segment in heard)
    assert heard[-1].end > info.duration - 3


@pytest.mark.parametrize("clips", [[0], [0, 20], [0, 5, 5, 29.9]])
def test_nothing_is_later_than_the_recordings_end(transcriber, beckett, clips):
    segments, info = transcriber.transcribe(beckett, clip_timestamps=clips)
    ends = [segment.end for segment in segments]
    assert ends
    assert max(ends) <= round(info.duration, 3) < 20


@pytest.mark.parametrize("options", [{"vad_filter": True}, {"batch_size": 2}], ids=["vad", "batch"])
def test_clips_hold_where_a_detector_cuts(transcriber, two_cities, options):
    segments, _ = transcriber.transcribe(two_cities, clip_timestamps=CLIPS, **options)
    heard = list(segments)
    assert heard
    assert all(any(start <= each.start <= each.end <= end for start, end in PAIRS) for each in heard)


@pytest.mark.parametrize("times", [[], [5, 3], [1, 1], [-1, 4], [0, float("nan")], ["0", "5"]])
def test_times_that_are_no_clips_are_refused(transcriber, two_cities, times):
    with pytest.raises(OptionError, match="clip_timestamps are seconds that rise"):
        transcriber.transcribe(two_cities, clip_timestamps=times)


def test_a_recording_that_ends_before_the_first_clip_is_refused(transcriber, beckett):
    with pytest.raises(AudioError, match=r"ends at \d+.\d s, and clip_timestamps begin at 60 s"):
        transcriber.transcribe(beckett, clip_timestamps=[60, 70])


def test_the_command_takes_them_with_commas(ttscribe, two_cities):
    base = ("transcribe", "--model", "tiny.en", "--offline", "--quiet", "-f", "tsv", two_cities)
    found = ttscribe(*base, "--clip_timestamps", "3,12.5")
    assert (found.exit_code, found.stderr) == (0, "")
    times = [line.split("\t")[:2] for line in found.stdout.splitlines()[1:]]
    assert times
    assert all(3000 <= int(start) <= int(end) <= 12_500 for start, end in times)
    refused = ttscribe(*base, "--clip_timestamps", "3-12")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.endswith("--clip-timestamps takes seconds with commas, such as 0,10,60, not '3-12'\n")
