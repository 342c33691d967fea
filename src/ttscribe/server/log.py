"""The log: a line of JSON for each record."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

FIELDS = "fields"
"""Of ``extra``: what else a line has, by name."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def write_log() -> None:
    """Have the server's records on standard error, and of the libraries' those that warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("ttscribe.server").setLevel(logging.INFO)
