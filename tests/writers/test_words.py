"""Words in transcripts: laid out and highlighted subtitles, LRC, and JSON by its schema."""

import html
import json
import re
from datetime import timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from json_schema import problems
from ttscribe.errors import OptionError
from ttscribe.types import Segment, TranscriptionInfo, Word
from ttscribe.writers import FORMATS, SubtitleLayout, format_writer

INFO = TranscriptionInfo("base", "cpu", "float32", "transcribe", "en", 1.0, 4000.0)
DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "transcript.schema.json").read_text(encoding="utf-8"))


def segment(number, *words):
    """Words as (start, end, text)."""
    made = tuple(Word(start, end, text, 0.9) for start, end, text in words)
    text = "".join(word.text for word in made).strip()
    return Segment(number, made[0].start, made[-1].end, text, (), -0.2, 0.0, words=made)


@pytest.fixture
def spoken():
    return [
        segment(0, (0.5, 0.8, " It"), (0.8, 1.0, " was"), (1.0, 1.2, " the"), (1.5, 2.0, " best")),
        segment(1, (2.1, 2.5, " of"), (2.5, 3.0, " <times>.")),
        segment(2, (9.0, 9.5, " Then")),
    ]


def written(name, segments, **layout):
    return "".join(format_writer(name, SubtitleLayout(**layout) if layout else None)(segments, INFO))


def cues(segments, **layout):
    """Start, end and text of each subtitle, by another program's parser."""
    return [
        (cue.start.total_seconds(), cue.end.total_seconds(), cue.content)
        for cue in srt.parse(written("srt", segments, **layout), ignore_errors=False)
    ]


def test_lines_are_as_wide_as_they_may_be_within_a_segment(spoken):
    assert cues(spoken, max_line_width=8) == [
        (0.5, 2.0, "It was\nthe best"),
        (2.1, 3.0, "of\n<times>."),
        (9.0, 9.5, "Then"),
    ]


def test_counted_lines_go_on_through_segments_but_not_through_a_pause(spoken):
    assert cues(spoken, max_line_width=11, max_line_count=1) == [
        (0.5, 1.2, "It was the"),
        (1.5, 2.5, "best of"),
        (2.5, 3.0, "<times>."),
        (9.0, 9.5, "Then"),
    ]
    assert cues(spoken, max_line_width=11, max_line_count=9) == [
        (0.5, 3.0, "It was the\nbest of\n<times>."),
        (9.0, 9.5, "Then"),
    ]


def test_words_are_counted_within_a_segment(spoken):
    assert cues(spoken, max_words_per_line=3) == [
        (0.5, 1.2, "It was the"),
        (1.5, 2.0, "best"),
        (2.1, 3.0, "of <times>."),
        (9.0, 9.5, "Then"),
    ]


def test_each_word_is_underlined_while_it_is_said(spoken):
    assert cues(spoken[:1], highlight_words=True) == [
        (0.5, 0.8, "<u>It</u> was the best"),
        (0.8, 1.0, "It <u>was</u> the best"),
        (1.0, 1.2, "It was <u>the</u> best"),
        (1.2, 1.5, "It was the best"),
        (1.5, 2.0, "It was the <u>best</u>"),
    ]
    assert "of <u>&lt;times&gt;.</u>\n" in written("vtt", spoken, highlight_words=True)


def test_lines_and_highlights_go_together(spoken):
    assert cues(spoken[:1], max_line_width=8, highlight_words=True)[2] == (1.0, 1.2, "It was\n<u>the</u> best")


def test_a_subtitle_is_written_before_the_next_segment_is_computed(spoken):
    computed = []
    writer = format_writer("srt", SubtitleLayout(max_words_per_line=2))
    pieces = writer((computed.append(each.id) or each for each in spoken), INFO)
    assert "It was" in next(pieces)
    assert computed == [0]


def test_lrc_has_the_time_of_each_line_and_each_word_and_ends_lines_before_pauses(spoken):
    assert written("lrc", spoken) == (
        "[00:00.50]<00:00.50>It <00:00.80>was <00:01.00>the <00:01.50>best\n"
        "[00:02.00]\n"
        "[00:02.10]<00:02.10>of <00:02.50><times>.\n"
        "[00:03.00]\n"
        "[00:09.00]<00:09.00>Then\n"
        "[00:09.50]\n"
    )


def test_lrc_without_words_has_lines(segments, info):
    assert written("lrc", segments) == (
        "[00:00.00]It was the best of times,\n"
        "[00:02.50]it was the worst of times.\n"
        "[01:01.04]\n"
        "[61:01.50]Çeşme, 東京 & <Bleak House>.\n"
        "[61:02.00]\n"
    )


def test_a_layout_needs_words(segments):
    with pytest.raises(OptionError, match="only where there are word times: transcribe with word_timestamps=True"):
        written("srt", segments, max_line_width=20)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("srt", "vtt")])
def test_only_subtitles_are_laid_out(name):
    with pytest.raises(OptionError, match=f"{name} has no subtitles to lay out: choose srt or vtt"):
        format_writer(name, SubtitleLayout(max_line_width=20))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_line_width": 0}, "max_line_width must be a whole number from 1, not 0"),
        ({"max_line_width": 20, "max_line_count": 1.5}, "max_line_count must be a whole number from 1, not 1.5"),
        ({"max_line_count": 2}, "max_line_count needs max_line_width"),
        ({"max_line_width": 20, "max_words_per_line": 2}, "max_words_per_line and max_line_width exclude each other"),
    ],
)
def test_layouts_that_make_no_sense_are_refused(options, problem):
    with pytest.raises(OptionError, match=problem):
        SubtitleLayout(**options)


@pytest.mark.parametrize("what", ["spoken", "segments"])
def test_json_is_as_its_schema_says(request, what):
    document = json.loads(written("json", request.getfixturevalue(what)))
    assert problems(document, SCHEMA) == []
    assert document["schema"] == "ttscribe.transcript/2"


@pytest.mark.parametrize(
    "change",
    [{"schema": "ttscribe.transcript/1"}, {"language": None}, {"duration": "4"}, {"segments": [{}]}, {"more": 1}],
    ids=str,
)
def test_the_schema_refuses_other_documents(spoken, change):
    assert problems({**json.loads(written("json", spoken)), **change}, SCHEMA)


@pytest.mark.parametrize("kind", [SCHEMA, *SCHEMA["$defs"].values()], ids=["transcript", *SCHEMA["$defs"]])
def test_the_page_of_formats_has_every_field(kind):
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| field \| \|\n(.+?)\n\n", page, re.MULTILINE | re.DOTALL)
    listed = [
        set(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()))) for table in tables
    ]
    assert set(kind["properties"]) in listed


def test_json_has_the_words(spoken):
    document = json.loads(written("json", spoken))
    assert document["segments"][1]["words"] == [
        {"start": 2.1, "end": 2.5, "text": " of", "probability": 0.9},
        {"start": 2.5, "end": 3.0, "text": " <times>.", "probability": 0.9},
    ]


unhurried = settings(deadline=None)

letters = st.text(st.sampled_from("aé東-<>&[01:."), min_size=1, max_size=6)


@st.composite
def transcripts(draw):
    """Segments of words in order, on a grid of 10 ms, which every format can hold."""
    segments, now = [], 0
    for number in range(draw(st.integers(0, 4))):
        words = []
        for _ in range(draw(st.integers(1, 5))):
            start = now + draw(st.integers(0, 400))
            now = start + draw(st.integers(1, 90))
            words.append((start / 100, now / 100, f" {draw(letters)}"))
        segments.append(segment(number, *words))
    return segments


layouts = st.one_of(
    st.builds(SubtitleLayout, max_line_width=st.integers(1, 30) | st.none(), highlight_words=st.booleans()),
    st.builds(SubtitleLayout, max_line_width=st.integers(1, 30), max_line_count=st.integers(1, 3)),
    st.builds(SubtitleLayout, max_words_per_line=st.integers(1, 4), highlight_words=st.booleans()),
)


def said(segments):
    return [word for each in segments for word in each.words]


def parsed(name, text):
    """Start, end and text of the cues of a subtitle file, in milliseconds."""
    if name == "srt":
        millisecond = timedelta(milliseconds=1)
        return [(cue.start // millisecond, cue.end // millisecond, cue.content) for cue in srt.parse(text, False)]
    found = webvtt.from_buffer(StringIO(text))
    return [
        (in_milliseconds(cue.start_time), in_milliseconds(cue.end_time), html.unescape(cue.raw_text)) for cue in found
    ]


def in_milliseconds(time):
    return ((time.hours * 60 + time.minutes) * 60 + time.seconds) * 1000 + time.milliseconds


@unhurried
@given(transcripts(), layouts, st.sampled_from(["srt", "vtt"]))
def test_laid_out_subtitles_say_every_word_when_it_is_said(segments, layout, name):
    found = parsed(name, "".join(format_writer(name, layout)(segments, INFO)))
    assert all(start <= end for start, end, _ in found)
    assert all(end <= after for (_, end, _), (after, _, _) in pairwise(found))
    words = said(segments)
    if layout.highlight_words:
        underlined = [cue for cue in found if "<u>" in cue[2]]
        assert [re.search("<u>(.*)</u>", text, re.DOTALL)[1] for _, _, text in underlined] == [
            word.text.strip().replace("-->", "->" if name == "srt" else "-->") for word in words
        ]
        assert [(start, end) for start, end, _ in underlined] == [
            (round(word.start * 1000), round(word.end * 1000)) for word in words
        ]
        return
    arrow = "->" if name == "srt" else "-->"
    shown = [word for _, _, text in found for word in text.split()]
    assert shown == [word.text.strip().replace("-->", arrow) for word in words]
    starts = {round(word.start * 1000) for word in words}
    ends = {round(word.end * 1000) for word in words}
    assert all(start in starts and end in ends for start, end, _ in found)
    for _, _, text in found:
        lines = text.split("\n")
        assert all(len(line) <= (layout.max_line_width or 1000) or " " not in line for line in lines)
        assert layout.max_line_count is None or len(lines) <= layout.max_line_count
        assert layout.max_words_per_line is None or len(text.split()) <= layout.max_words_per_line


@unhurried
@given(transcripts())
def test_lrc_has_every_word_at_its_time(segments):
    found = []
    for line in written("lrc", segments).splitlines():
        begins, text = re.fullmatch(r"\[(\d\d+:\d\d\.\d\d)\](.*)", line).groups()
        times = re.findall(r"<(\d\d+):(\d\d\.\d\d)>", text)
        assert not times or f"<{begins}>" == text[: len(begins) + 2]
        found += [round(int(minutes) * 6000 + float(seconds) * 100) for minutes, seconds in times]
    assert found == [round(word.start * 100) for word in said(segments)]


@unhurried
@given(transcripts())
def test_json_round_trips_and_keeps_to_its_schema(segments):
    document = json.loads(written("json", segments))
    assert problems(document, SCHEMA) == []
    for found, original in zip(document["segments"], segments, strict=True):
        words = [Word(**word) for word in found.pop("words")]
        tokens = tuple(found.pop("tokens"))
        assert Segment(**found, tokens=tokens, words=tuple(words)) == original
        assert found["start"] <= words[0].start
        assert words[-1].end <= found["end"]
