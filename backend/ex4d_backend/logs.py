"""The server's own log: lines for people, or one JSON object per line for a collector.

What clients say of themselves stands in it. So one record is one line, whatever is in it, and no kind of line can fill
the disk.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable

from ex4d_ground.texts import one_line

MOST_CHARACTERS = 4000
"""Of one record, without its traceback."""
LINES_AT_ONCE, LINES_PER_S = 5000, 2.0
"""Of one kind of record (the same words with other values) below the level error."""


def _said(record: logging.LogRecord) -> str:
    text = one_line(record.getMessage())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ({len(text)} characters)"


class TextLines(logging.Formatter):
    """One line per record; a traceback follows, set in, so that no line of it looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        began = f"{self.formatTime(record)} {record.levelname} {record.name} {_said(record)}"
        if not record.exc_info:
            return began
        lines = self.formatException(record.exc_info).splitlines()
        return "\n    ".join((began, *map(one_line, lines)))


class JsonLines(logging.Formatter):
    """One JSON object per record: time (UTC), level, logger, message and, if there was one, the exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _said(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class Measured(logging.Filter):
    """Lets only so many records of one kind through; the next one that comes through says how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, float, int]] = {}
        """By logger and words: lines left, since when, and how many were left out."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be written."""
        if record.levelno >= logging.ERROR:
            return True
        kind, now = (record.name, str(record.msg)), self._clock()
        left, since, skipped = self._kinds.get(kind, (LINES_AT_ONCE, now, 0))
        left = min(LINES_AT_ONCE, left + (now - since) * LINES_PER_S)
        if left < 1.0:
            self._kinds[kind] = left, now, skipped + 1
            return False
        if skipped:
            record.msg, record.args = f"{record.getMessage()} ({skipped} lines like it were left out)", None
        self._kinds[kind] = left - 1.0, now, 0
        return True


def start_logging(level: str, style: str) -> None:
    """Send this process's log to standard error; ``style`` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    handler.addFilter(Measured())
    logging.basicConfig(level=level.upper(), handlers=[handler])
