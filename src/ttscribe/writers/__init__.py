"""Transcripts as text: the formats, and files written whole or not at all."""

from ttscribe.files import make_folder, write_text
from ttscribe.writers.files import check_writable, write_transcript
from ttscribe.writers.formats import FORMATS, SUBTITLES, FormatName, Writer, format_writer
from ttscribe.writers.subtitles import SubtitleLayout

__all__ = [
    "FORMATS",
    "SUBTITLES",
    "FormatName",
    "SubtitleLayout",
    "Writer",
    "check_writable",
    "format_writer",
    "make_folder",
    "write_text",
    "write_transcript",
]
