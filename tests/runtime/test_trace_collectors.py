"""What a receiver of traces may answer: its status counts, and nothing else that it sends holds or fills the sender."""

import logging
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from tidegate_runtime import logs
from tidegate_runtime.tracing.collector import MAX_ANSWER_BYTES, CollectorSession
from tidegate_runtime.tracing.request import Asked, Tracer
from tidegate_runtime.tracing.spans import spans_of

ENOUGH = 100_000
"""Pieces that nobody takes to the end."""
SECONDS = 0.5

Answer = Callable[[BaseHTTPRequestHandler], None]


class Collector(ThreadingHTTPServer):
    """Answers as it is told."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, Collector)
        self.server.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Collector)
        with suppress(OSError):
            self.server.answer(self)

    def do_CONNECT(self) -> None:
        assert isinstance(self.server, Collector)
        with suppress(OSError):
            self.server.answer(self)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def collecting(answer: Answer) -> Iterator[Collector]:
    with Collector(answer) as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def head(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def endless(status: int) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head(handler, status, location="/elsewhere")
        for _ in range(1000):
            handler.wfile.write(bytes(65536))

    return answer


def dripping(handler: BaseHTTPRequestHandler) -> None:
    head(handler, 200, content_length="1000")
    for _ in range(ENOUGH):
        handler.wfile.write(b"x")
        time.sleep(0.02)


def dripping_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(ENOUGH):
        handler.wfile.write(b"x")
        time.sleep(0.02)


def ask(collector: Collector) -> tuple[int, float]:
    """The answer's status, and how long it took."""
    with CollectorSession() as session:
        began = time.monotonic()
        answer = session.post(collector.url, data=b"x", timeout=SECONDS, allow_redirects=False)
        return answer.status_code, time.monotonic() - began


def test_an_answer_without_an_end_is_not_kept() -> None:
    with collecting(endless(200)) as collector:
        tracemalloc.start()
        try:
            assert ask(collector)[0] == 200
            assert tracemalloc.get_traced_memory()[1] < 100 * MAX_ANSWER_BYTES
        finally:
            tracemalloc.stop()


def test_an_answer_that_drips_holds_the_sender_no_longer_than_its_time() -> None:
    with collecting(dripping) as collector:
        status, seconds = ask(collector)
    assert status == 200
    assert seconds < 4 * SECONDS


def test_an_answers_head_that_drips_is_given_up_in_time() -> None:
    with collecting(dripping_head) as collector:
        began = time.monotonic()
        with pytest.raises(requests.ReadTimeout):
            ask(collector)
        assert time.monotonic() - began < 4 * SECONDS


def failing(url: str, proxy: Collector, timeout: float = SECONDS) -> float:
    """How long it takes until it is given up to send something there by the proxy."""
    with CollectorSession() as session:
        session.proxies = dict.fromkeys(("http", "https"), f"http://127.0.0.1:{proxy.server_port}")
        began = time.monotonic()
        with pytest.raises((requests.Timeout, requests.ConnectionError), match="timed out"):
            session.post(url, data=b"x", timeout=timeout, allow_redirects=False)
        return time.monotonic() - began


def dripping_head_for_a_while(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(150):
        handler.wfile.write(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_drips_holds_the_sender_no_longer_than_its_time(scheme: str) -> None:
    with collecting(dripping_head_for_a_while) as proxy:
        assert failing(f"{scheme}://collector.invalid/v1/traces", proxy) < 4 * SECONDS


def test_the_ways_through_a_proxy_and_behind_it_have_one_time_together() -> None:
    def slow_and_then_silent(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(1.6)
        head(handler, 200)
        handler.rfile.read()

    with collecting(slow_and_then_silent) as proxy:
        # With 2 s for each way it would be 3.6.
        assert failing("https://collector.invalid/v1/traces", proxy, timeout=2.0) < 3.2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda handler: head(handler, 301, location="https://elsewhere/", content_length="0"), id="301"),
        pytest.param(lambda handler: head(handler, 304), id="304"),
        pytest.param(endless(308), id="308, without an end"),
    ],
)
def test_a_redirect_is_no_success(answer: Answer) -> None:
    with collecting(answer) as collector:
        exporter = OTLPSpanExporter(collector.url, timeout=5.0, session=CollectorSession())
        assert exporter.export([]) is SpanExportResult.FAILURE
        exporter.shutdown()  # type: ignore[no-untyped-call]


def test_answers_that_end_keep_their_connection() -> None:
    with (
        collecting(lambda handler: head(handler, 200, content_length="0")) as collector,
        CollectorSession() as session,
    ):
        for _ in range(5):
            assert session.post(collector.url, data=b"x", timeout=SECONDS, allow_redirects=False).status_code == 200
            time.sleep(0.2 * SECONDS)
        assert collector.connections == 1


@pytest.mark.parametrize("state", ["no pair", "a=1,A=2", "a=1,a=2"])
def test_who_sends_a_tracestate_that_is_none_writes_no_line(state: str, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.set_up()
        tracer = Tracer(1.0, lambda: 0.0)
        trace = tracer.begin(f"00-{'1' * 32}-{'2' * 16}-01", state, Asked("http", "/r", "/p"), "m")
        assert trace is not None
        trace.end("m", "1", 200)
        assert spans_of(trace, 0, Resource({}))
    finally:
        root.handlers, root.level = handlers, level
        logging.getLogger("opentelemetry.trace.span").setLevel(logging.NOTSET)
    assert capfd.readouterr().err == ""
