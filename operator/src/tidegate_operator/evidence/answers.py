"""What Prometheus said to a query, from the bytes of its answer. Pure.

Its format is that of `/api/v1/query` (Prometheus, HTTP API, "Instant queries" and "Expression query result formats").
"""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from tidegate_operator.evidence import words

LONGEST_BYTES: Final = 1 << 16
"""Of an answer: one sample with its labels is less by far."""

_WITHOUT_A_RIGHT: Final = frozenset({401, 403})

_LONGEST_REASON: Final = 200
"""Characters of what Prometheus says of an error, as they come into a status."""


@dataclass(frozen=True)
class Number:
    """It gave one."""

    value: float


@dataclass(frozen=True)
class NoData:
    """It understood, and has nothing, or nothing finite."""

    why: str


@dataclass(frozen=True)
class Unanswered:
    """It couldn't be asked, didn't take the query, or said something other than one number."""

    why: str


Answer = Number | NoData | Unanswered


def answer_of(status: int, body: bytes) -> Answer:
    """What an HTTP answer with that status and body says."""
    if status in _WITHOUT_A_RIGHT:
        return Unanswered(
            f"Prometheus answers with HTTP {status}: prometheus.bearerToken or basicAuth of the chart "
            "are the credentials that it is shown"
        )
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or "status" not in document:
        return Unanswered(f"what answers with HTTP {status} is no Prometheus")
    if status != 200 or document["status"] != "success":
        told = f"{document.get('errorType', 'error')}: {document.get('error', f'HTTP {status}')}"
        return Unanswered(f"Prometheus didn't take it: {_short(told)}")
    if document.get("warnings"):
        # Of some data only, or of data that doesn't fit: a number, but not the one that was asked for.
        return Unanswered(f"Prometheus warns: {_short(str(document['warnings']))}")
    try:
        return _result(document["data"])
    except (KeyError, IndexError, TypeError, ValueError):
        return Unanswered("what Prometheus said has another form than its API promises")


def _result(data: Any) -> Answer:
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return _number(result[1])
    if kind != "vector":
        return Unanswered(f"it gives a {_short(str(kind))}, and has to give one number")
    if not result:
        return NoData("it has no sample")
    if len(result) > 1:
        samples = words.count(len(result), "sample")
        return Unanswered(f"it gives {samples}, and has to give one: aggregate them, as by sum or max")
    if "value" not in result[0]:
        return Unanswered("it gives a histogram, and has to give one number, as by histogram_quantile")
    return _number(result[0]["value"][1])


def _number(text: str) -> Answer:
    value = float(text)
    return Number(value) if isfinite(value) else NoData(f"its value is {text}")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"
