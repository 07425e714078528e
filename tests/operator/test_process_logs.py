"""Log lines as JSON."""

import json
import logging
import sys
from typing import Any

from tidegate_operator.process.logs import JsonFormatter


def a_line(message: str, *arguments: object, error: bool = False, **extra: Any) -> dict[str, Any]:
    found = sys.exc_info() if error else None
    record = logging.getLogger("tidegate").makeRecord(
        "tidegate", logging.WARNING, "f.py", 1, message, arguments, found, extra=extra
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_line_has_a_phrase_and_its_data_as_fields() -> None:
    line = a_line("a pass failed", service="churn", retry_seconds=0.05)
    assert {key: line[key] for key in ("level", "logger", "message", "service", "retry_seconds")} == {
        "level": "warning",
        "logger": "tidegate",
        "message": "a pass failed",
        "service": "churn",
        "retry_seconds": 0.05,
    }
    assert line["time"].endswith("+00:00")


def test_arguments_are_put_into_the_phrase() -> None:
    assert a_line("lease %s", "held")["message"] == "lease held"


def test_what_is_no_json_is_told_as_text() -> None:
    assert (
        a_line(
            "m",
            path={
                1,
            }.__class__,
        )["path"]
        == "<class 'set'>"
    )


def test_untrusted_values_make_no_second_line() -> None:
    assert a_line("m", error_text='a\n{"level": "info"}')["error_text"] == 'a\n{"level": "info"}'


def test_an_exception_is_told_with_its_traceback() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        assert "ValueError: bad" in a_line("m", error=True)["exception"]
