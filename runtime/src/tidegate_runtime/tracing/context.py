"""W3C trace context, level 1: who asks, and whether they record. Pure.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
from typing import Final, NamedTuple

MAX_STATE_CHARACTERS: Final = 512
"""A longer `tracestate` is left out, as the standard allows."""

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED: Final = 1


class Parent(NamedTuple):
    """The caller's span, and whether its trace is recorded."""

    trace_id: int
    span_id: int
    sampled: bool
    state: str


def parent(traceparent: str | None, tracestate: str | None) -> Parent | None:
    """The caller's span; None if none is named or, by the standard, what names it has to be ignored."""
    if traceparent is None:
        return None
    match = _TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "ff" or (version == "00" and more):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None
    state = tracestate if tracestate is not None and len(tracestate) <= MAX_STATE_CHARACTERS else ""
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), state)
