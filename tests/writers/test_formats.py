"""The text of each format, against what OpenAI's whisper writes and against independent parsers."""

import html
import json
from dataclasses import asdict
from datetime import timedelta
from io import StringIO

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.errors import OptionError
from ttscribe.types import Segment, TranscriptionInfo
from ttscribe.writers import FORMATS, format_writer

INFO = TranscriptionInfo("base", "cpu", "float32", "transcribe", "en", 1.0, 4000.0)

SRT = """\
1
00:00:00,000 --> 00:00:02,500
It was the best of times,

2
00:00:02,500 --> 00:01:01,040
it was the worst of times.

3
01:01:01,500 --> 01:01:02,000
Çeşme, 東京 & <Bleak House>.

"""

VTT = """\
WEBVTT

00:00.000 --> 00:02.500
It was the best of times,

00:02.500 --> 01:01.040
it was the worst of times.

01:01:01.500 --> 01:01:02.000
Çeşme, 東京 &amp; &lt;Bleak House&gt;.

"""

TXT = "It was the best of times,\nit was the worst of times.\nÇeşme, 東京 & <Bleak House>.\n"

TSV = """\
start\tend\ttext
0\t2500\tIt was the best of times,
2500\t61040\tit was the worst of times.
3661500\t3662000\tÇeşme, 東京 & <Bleak House>.
"""


@pytest.mark.parametrize(("name", "expected"), [("txt", TXT), ("srt", SRT), ("vtt", VTT), ("tsv", TSV)])
def test_a_transcript(name, expected, segments, info):
    assert "".join(format_writer(name)(segments, info)) == expected


def test_a_json_transcript(segments, info):
    document = json.loads("".join(format_writer("json")(segments, info)))
    assert document["text"] == " ".join(segment.text for segment in segments)
    assert document["segments"] == [{**asdict(s), "tokens": list(s.tokens), "words": []} for s in segments]
    assert {key: document[key] for key in asdict(info)} == asdict(info)


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "lrc", "tsv"])
def test_each_segment_is_written_before_the_next_is_computed(name, segments, info):
    computed = []
    pieces = format_writer(name)((computed.append(s.id) or s for s in segments), info)
    ids = [list(computed) for piece in pieces if "times" in piece]
    assert ids == [[0], [0, 1]]


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="'docx'; there is txt, srt, vtt, lrc, tsv, json"):
        format_writer("docx")


def test_no_segments_give_an_empty_transcript(info):
    written = {name: "".join(writer([], info)) for name, writer in FORMATS.items()}
    assert (written["txt"], written["srt"], written["vtt"]) == ("", "", "WEBVTT\n\n")
    assert json.loads(written["json"])["segments"] == []


unhurried = settings(deadline=None)  # how long an example takes is a matter of what else the machine does

# Text that is nothing but hostile: line ends of every kind, the formats' own syntax, and ordinary letters.
hostile_text = st.lists(
    st.sampled_from(["\n", "\r\n", "\u2028", "\x85", "\x0b", "\t", "-->", "<b>", "&amp;", "1", " ", "a", "é", "NOTE"]),
    max_size=12,
).map("".join)
segment_lists = st.lists(
    st.builds(
        Segment,
        id=st.integers(0, 9),
        start=st.floats(-1, 400_000),
        end=st.floats(-1, 400_000),
        text=hostile_text.map("x{}x".format),
        tokens=st.just(()),
        avg_logprob=st.just(-0.5),
        no_speech_prob=st.just(0.0),
    ),
    max_size=5,
)


def expected_times(segment):
    start = max(0, round(segment.start * 1000))
    return start, max(start, round(segment.end * 1000))


def one_line(text):
    return " ".join(line.strip() for line in text.splitlines())


@unhurried
@given(segment_lists)
def test_srt_says_the_same_to_another_parser(segments):
    cues = list(srt.parse("".join(format_writer("srt")(segments, INFO)), ignore_errors=False))
    assert [cue.index for cue in cues] == list(range(1, len(segments) + 1))
    for cue, segment in zip(cues, segments, strict=True):
        millisecond = timedelta(milliseconds=1)
        assert (cue.start // millisecond, cue.end // millisecond) == expected_times(segment)
        assert cue.content == one_line(segment.text).replace("-->", "->")


@unhurried
@given(segment_lists)
def test_vtt_says_the_same_to_another_parser(segments):
    captions = list(webvtt.from_buffer(StringIO("".join(format_writer("vtt")(segments, INFO)))))
    for caption, segment in zip(captions, segments, strict=True):
        times = [
            ((t.hours * 60 + t.minutes) * 60 + t.seconds) * 1000 + t.milliseconds
            for t in (caption.start_time, caption.end_time)
        ]
        assert tuple(times) == expected_times(segment)
        assert html.unescape("\n".join(caption.lines)) == one_line(segment.text)


@unhurried
@given(segment_lists)
def test_tsv_has_three_columns_and_a_line_for_each_segment(segments):
    header, *rows = "".join(format_writer("tsv")(segments, INFO)).splitlines()
    assert header == "start\tend\ttext"
    for row, segment in zip(rows, segments, strict=True):
        start, end, text = row.split("\t")
        assert (int(start), int(end)) == expected_times(segment)
        assert text == one_line(segment.text).replace("\t", " ")
