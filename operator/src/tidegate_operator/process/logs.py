"""Logs as JSON, one object a line: a constant phrase and its data as fields."""

import json
import logging
import sys
from datetime import UTC, datetime

_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Renders a record's phrase, its `extra` fields and its exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON; control characters of untrusted values are escaped by it."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in record.__dict__.items() if key not in _OWN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str = "INFO") -> None:
    """Send every logger's records from `level` up to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # kopf logs a line for each event of each object.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
