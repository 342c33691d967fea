"""Transcripts as text: the formats, and files written whole or not at all."""

from ttscribe.files import make_folder, write_text
from ttscribe.writers.files import check_writable, write_transcript
from ttscribe.writers.formats import FORMATS, FormatName, Writer, format_writer

__all__ = [
    "FORMATS",
    "FormatName",
    "Writer",
    "check_writable",
    "format_writer",
    "make_folder",
    "write_text",
    "write_transcript",
]
