"""What a caller says of its trace, and which requests are recorded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tidegate_runtime.tracing.context import Parent, parent
from tidegate_runtime.tracing.request import MAX_WAITING, WAKE_AT, Asked, Tracer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
ASKED = Asked("http", "/v2/models/{name}/infer", "/v2/models/m/infer")


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f" 00-{TRACE}-{SPAN}-01\t", True),
        (f"cc-{TRACE}-{SPAN}-01-of a later version", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_a_caller_is_known_by_its_header(header: str, sampled: bool) -> None:
    assert parent(header, "a=1") == Parent(int(TRACE, 16), int(SPAN, 16), sampled, "a=1")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "-",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.",
        f"00-{TRACE}-{SPAN}-0\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_a_header_against_the_standard_names_no_caller(header: str) -> None:
    assert parent(header, "a=1") is None


def test_no_header_names_no_caller() -> None:
    assert parent(None, "a=1") is None


def test_a_state_that_is_too_long_is_left_out() -> None:
    read = parent(f"00-{TRACE}-{SPAN}-01", "a=" + "x" * 511)
    assert read is not None
    assert read.state == ""


@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"(00|01|fe)-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True),
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{16}-[0-9a-f]{1,3}", fullmatch=True),
    )
)
def test_who_it_knows_opentelemetry_knows_too(header: str) -> None:
    read = parent(header, None)
    context = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": header})).get_span_context()
    if read is not None:
        assert (context.trace_id, context.span_id, context.trace_flags.sampled) == read[:3]


@pytest.mark.parametrize(
    ("ratio", "flag", "recorded"), [(0.0, "01", True), (1.0, "00", False), (0.0, None, False), (1.0, None, True)]
)
def test_the_caller_decides_and_else_the_ratio(ratio: float, flag: str | None, recorded: bool) -> None:
    header = None if flag is None else f"00-{TRACE}-{SPAN}-{flag}"
    trace = Tracer(ratio, lambda: 1.0).begin(header, None, ASKED, "m")
    assert (trace is not None) == recorded
    if trace is not None and header is not None:
        assert (f"{trace.trace_id:032x}", trace.parent_id) == (TRACE, int(SPAN, 16))


def test_a_trace_of_its_own_has_no_parent() -> None:
    trace = Tracer(1.0, lambda: 1.0).begin("broken", "a=1", ASKED, "m")
    assert trace is not None
    assert (trace.parent_id, trace.state) == (None, "")
    assert trace.trace_id > 0


def test_about_the_ratio_is_recorded() -> None:
    tracer = Tracer(0.25, lambda: 1.0)
    recorded = sum(tracer.begin(None, None, ASKED, "m") is not None for _ in range(4000))
    assert 800 < recorded < 1200  # seven standard deviations either way


def test_what_waits_is_bounded_and_what_is_dropped_counted_in_spans() -> None:
    woken: list[int] = []
    tracer = Tracer(1.0, lambda: 1.0)
    tracer.wake = lambda: woken.append(len(tracer.waiting))
    for _ in range(MAX_WAITING + 3):
        trace = tracer.begin(None, None, ASKED, "m")
        assert trace is not None
        trace.ran(1.0, 1.0, 0.0, 0.0, 1.0, 1)
        trace.end("m", "1", 504)
    assert len(tracer.waiting) == MAX_WAITING
    assert tracer.dropped == 3 * 4
    assert woken == [WAKE_AT]


def test_what_waits_does_not_hold_names_of_any_length() -> None:
    tracer = Tracer(1.0, lambda: 1.0)
    trace = tracer.begin(None, None, ASKED, "m" * 5000)
    assert trace is not None
    trace.end("m" * 5000, "7" * 5000, 404, "NOT_FOUND")
    assert (trace.model, trace.version) == ("m" * 1024, "7" * 1024)
