"""Log lines as JSON, one object each: a constant phrase as `message`, everything else as fields of their own."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from tidegate_runtime.errors import InvalidRequest

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_LEVELS: Final = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class JsonFormatter(logging.Formatter):
    """Renders a record; control characters, from whoever sent them, are escaped by JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def set_up() -> None:
    """Sends everything from level info to stderr.

    Of uvicorn's own lines only errors: its warnings tell of every request that isn't HTTP, which anybody can send. So
    with OpenTelemetry's of each `tracestate` that is none.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "opentelemetry.trace.span"):
        logging.getLogger(name).setLevel(logging.ERROR)


def levels() -> dict[str, bool | int]:
    """What is logged, in the words of the protocol's logging extension."""
    level = logging.getLogger().level
    return {
        "log_info": level <= logging.INFO,
        "log_warning": level <= logging.WARNING,
        "log_error": level <= logging.ERROR,
        "log_verbose_level": 1 if level <= logging.DEBUG else 0,
    }


def set_levels(wanted: Mapping[str, object]) -> None:
    """Changes what is logged, at once. Whoever logs one severity logs all graver ones.

    Raises `InvalidRequest` for anything but what `levels` says, and then changes nothing.
    """
    settings = levels()
    for name, value in wanted.items():
        if name not in settings:
            raise InvalidRequest(f'log setting "{name[:64]}" can\'t be set here; {", ".join(settings)} can')
        kind = type(settings[name])
        if type(value) is not kind:
            raise InvalidRequest(f'log setting "{name}" must be {"a boolean" if kind is bool else "a whole number"}')
        settings[name] = value
    chosen = (bool(settings["log_verbose_level"]), settings["log_info"], settings["log_warning"], settings["log_error"])
    if list(chosen) != sorted(chosen):
        raise InvalidRequest("whoever logs one severity logs all graver ones: error, then warning, then info, verbose")
    logging.getLogger().setLevel((*_LEVELS, logging.CRITICAL)[(*chosen, True).index(True)])
