"""Bad input in a request's head: paths, methods, types, encodings, lengths, and HTTP that isn't."""

import json
import zlib
from typing import Any

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.checks.bad_body import good
from tidegate_conformance.expect import Mismatch, fail, true
from tidegate_conformance.rest.client import head
from tidegate_conformance.subject import Subject


def _path(name: str, row: int, path: str, title: str, *statuses: int) -> None:
    def run(subject: Subject) -> None:
        body = json.dumps(good(subject)).encode()
        subject.rest.request("POST", path, body).refusal(*(statuses or (404,)))

    check(f"rest.bad.path.{name}", sources.bad_input(row), level=Level.ROBUSTNESS, model="rows", title=title)(run)


_path("unknown-model", 8, "/v2/models/no-such-model/infer", "An unknown model is 404.")
_path("encoded-slashes", 9, "/v2/models/..%2F..%2Fx/infer", "A name with encoded slashes is 404.")
_path("encoded-dots", 9, "/v2/models/%2e%2e/infer", "A name of encoded dots is 404.")
_path("dots", 9, "/v2/models/../../etc/passwd", "A path with dots is 404.")
_path("4-kb-name", 9, f"/v2/models/{'m' * 4096}/infer", "A name of 4 kB is 404 or 414.", 404, 414)
_path("nul", 9, "/v2/models/rows%00/infer", "A name with NUL is 404.")
_path("look-alike", 9, "/v2/models/r%D0%BEws/infer", "A name with a look-alike letter is 404.")
_path("other-case", 9, "/v2/models/ROWS/infer", "A name in another case is 404.")
_path("parameter", 37, "/v2/models/rows;a=b/infer", "A name with a path parameter is 404.")
_path("doubled-slash", 37, "//v2/models/rows/infer", "A doubled slash is 404.")
_path("inner-doubled-slash", 37, "/v2/models//rows/infer", "A doubled slash within is 404.")
_path("trailing-slash", 37, "/v2/models/rows/infer/", "A slash behind is 404.")
_path("unknown-verb", 37, "/v2/models/rows/unheard_of", "An unknown verb is 404.")
_path("64-kb-url", 21, f"/v2/models/rows/infer?a={'b' * 65536}", "A URL of 64 kB is 414 or 431.", 414, 431)


def _method(method: str, path: str) -> None:
    def run(subject: Subject) -> None:
        subject.rest.request(method, path).refusal(405)

    name = f"rest.bad.method.{method.lower()}-{path.rpartition('/')[2]}"
    title = f"{method} {path} is 405."
    check(name, sources.bad_input(37), level=Level.ROBUSTNESS, model="rows", title=title)(run)


for _verb, _target in (
    ("GET", "/v2/models/rows/infer"),
    ("PUT", "/v2/models/rows/infer"),
    ("DELETE", "/v2/models/rows"),
    ("POST", "/v2/health/ready"),
    ("PATCH", "/v2"),
    ("TRACE", "/v2"),
):
    _method(_verb, _target)


def _media(name: str, row: int, headers: dict[str, str], title: str, *statuses: int) -> None:
    def run(subject: Subject) -> None:
        subject.post(good(subject), headers).refusal(*statuses)

    check(f"rest.bad.media.{name}", sources.bad_input(row), level=Level.ROBUSTNESS, model="rows", title=title)(run)


_media("text", 2, {"Content-Type": "text/plain"}, "Content-Type text/plain is 415.", 415)
_media("form", 2, {"Content-Type": "application/x-www-form-urlencoded"}, "A form's Content-Type is 415.", 415)
_media("charset", 2, {"Content-Type": "application/json; charset=utf-16"}, "Another charset is 415.", 415)
_media("encoding", 19, {"Content-Encoding": "br, unheard-of"}, "An unknown Content-Encoding is 415.", 415)
_media(
    "false-gzip", 19, {"Content-Encoding": "gzip"}, "A body that isn't gzip, though it says so, is refused.", 400, 415
)


@check("rest.bad.media.gzip-bomb", sources.bad_input(19), level=Level.ROBUSTNESS, model="rows")
def gzip_bomb(subject: Subject) -> None:
    """A gzip body of 200 kB that unpacks to 200 MB is refused with 413 (or 415 where gzip isn't taken)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(b" " * 2**20) for _ in range(200)) + packer.flush()
    subject.post(body, {"Content-Encoding": "gzip"}).refusal(413, 415)


@check("rest.bad.body-too-large", sources.bad_input(18), level=Level.ROBUSTNESS, model="rows")
def body_too_large(subject: Subject) -> None:
    """A body that is declared as 1 TB is 413 at once."""
    with subject.rest.connect() as connection:
        fields = {"Host": connection.host, "Content-Type": "application/json", "Content-Length": str(10**12)}
        request = head("POST", connection.prefix + subject.infer_path, fields) + b"{"
        subject.rest.raw(request, "POST", connection).refusal(413)


def _raw(name: str, row: int, title: str, lines: list[str], body: bytes = b"", *statuses: int) -> None:
    """A request of exactly these lines; "{host}" and "{path}" in them are filled. The server may also just close."""

    def run(subject: Subject) -> None:
        with subject.rest.connect() as connection:
            text = "\r\n".join(lines).format(host=connection.host, path=connection.prefix + subject.infer_path)
            answer = subject.rest.raw(text.encode("latin-1") + b"\r\n\r\n" + body, "POST", connection)
            answer.refusal(*(statuses or (400,)))
            true("the connection ends after a request that isn't HTTP", answer.closes or connection.is_closed(), answer)

    check(f"http.bad.{name}", sources.bad_input(row), level=Level.ROBUSTNESS, model="rows", title=title)(run)


_POST = ["POST {path} HTTP/1.1", "Host: {host}", "Content-Type: application/json"]
_raw("no-host", 22, "HTTP/1.1 without Host is 400.", ["POST {path} HTTP/1.1", "Content-Length: 2"], b"{}")
_raw("two-hosts", 22, "Two Host headers are 400.", [*_POST, "Host: other", "Content-Length: 2"], b"{}")
_raw(
    "two-lengths", 22, "Two unlike Content-Lengths are 400.", [*_POST, "Content-Length: 2", "Content-Length: 3"], b"{}"
)
_raw("length-list", 22, "A Content-Length of two numbers is 400.", [*_POST, "Content-Length: 2, 3"], b"{}")
_raw("length-negative", 22, "A negative Content-Length is 400.", [*_POST, "Content-Length: -1"])
_raw("length-plus", 22, 'A Content-Length "+2" is 400.', [*_POST, "Content-Length: +2"], b"{}")
_raw("length-word", 22, "A Content-Length that is no number is 400.", [*_POST, "Content-Length: two"], b"{}")
_raw("length-hex", 22, 'A Content-Length "0x2" is 400.', [*_POST, "Content-Length: 0x2"], b"{}")
_raw(
    "length-huge",
    22,
    "A Content-Length beyond 64 bits is 400 or 413.",
    [*_POST, f"Content-Length: {10**30}"],
    b"{}",
    400,
    413,
)
_raw(
    "length-and-chunked",
    22,
    "Content-Length beside Transfer-Encoding is 400.",
    [*_POST, "Content-Length: 2", "Transfer-Encoding: chunked"],
    b"2\r\n{}\r\n0\r\n\r\n",
)
_raw(
    "chunk-size",
    22,
    "A chunk size that is no number is 400.",
    [*_POST, "Transfer-Encoding: chunked"],
    b"zz\r\n{}\r\n0\r\n\r\n",
)
_raw(
    "chunk-negative",
    22,
    "A negative chunk size is 400.",
    [*_POST, "Transfer-Encoding: chunked"],
    b"-1\r\n{}\r\n0\r\n\r\n",
)
_raw(
    "chunk-too-long",
    22,
    "A chunk that is longer than its size is 400.",
    [*_POST, "Transfer-Encoding: chunked"],
    b"2\r\n{}{}\r\n0\r\n\r\n",
)
_raw(
    "coding-unknown",
    22,
    "An unknown Transfer-Encoding is 400 or 501.",
    [*_POST, "Transfer-Encoding: rot13"],
    b"{}",
    400,
    501,
)
_raw("space-before-colon", 22, "A space before a header's colon is 400.", [*_POST, "Content-Length : 2"], b"{}")
_raw("header-no-colon", 22, "A header without a colon is 400.", [*_POST, "Content-Length 2"], b"{}")
_raw("header-nul", 22, "NUL in a header is 400.", [*_POST, "X-A: a\x00b", "Content-Length: 2"], b"{}")
_raw("no-http", 22, "A line that isn't HTTP is 400.", ["HELO there"])
_raw("version-3", 22, "HTTP/3.0 in clear text is 400 or 505.", ["POST {path} HTTP/3.0", "Host: {host}"], b"", 400, 505)
_raw(
    "space-in-url",
    22,
    "A space in the URL is 400.",
    ["POST {path} x HTTP/1.1", "Host: {host}", "Content-Length: 2"],
    b"{}",
)
_raw(
    "head-100-kb", 21, "A header of 100 kB is 431.", [*_POST, f"X-A: {'a' * 100_000}", "Content-Length: 2"], b"{}", 431
)
_raw(
    "headers-5000",
    21,
    "5,000 headers are 431.",
    [*_POST, *(f"X-{i}: a" for i in range(5000)), "Content-Length: 2"],
    b"{}",
    431,
)
_raw("connect", 37, "CONNECT is 405.", ["CONNECT {host} HTTP/1.1", "Host: {host}"], b"", 405)


@check("http.bad.tiny-chunks", sources.bad_input(20), level=Level.ROBUSTNESS, model="rows")
def tiny_chunks(subject: Subject) -> None:
    """300,000 chunks of one byte are read to their end and refused as JSON, or refused before."""
    with subject.rest.connect() as connection:
        fields = {"Host": connection.host, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        request = head("POST", connection.prefix + subject.infer_path, fields)
        subject.rest.raw(request + b"1\r\n[\r\n" * 300_000 + b"0\r\n\r\n", "POST", connection).refusal(400, 413)


@check("http.bad.upgrade", sources.bad_input(42), level=Level.ROBUSTNESS, model="rows")
def upgrade(subject: Subject) -> None:
    """An upgrade to WebSocket or h2c that isn't offered is passed over or refused, never switched to."""
    for protocol in ("websocket", "h2c"):
        fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AAMAAABkAAQAAP__"}
        try:
            status = subject.rest.request("GET", "/v2/health/live", headers=fields).status
        except Mismatch as mismatch:
            raise Mismatch(f"Upgrade: {protocol}: {mismatch}") from None
        true(f"Upgrade: {protocol} gets 200 or 400", status in (200, 400), status)


@check("http.bad.cut-body", sources.bad_input(23), level=Level.ROBUSTNESS, model="rows")
def cut_body(subject: Subject) -> None:
    """A client that goes away in the middle of a body leaves nothing behind."""
    for _ in range(5):
        with subject.rest.connect() as connection:
            fields = {"Host": connection.host, "Content-Type": "application/json", "Content-Length": "1000"}
            connection.send(head("POST", connection.prefix + subject.infer_path, fields) + b'{"inputs":')
    subject.check_infer(subject.model.example(3))


_ADMINISTRATION = [
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/debug"),
    ("POST", "/v2/repository/models/rows/load"),
    ("POST", "/v2/repository/models/rows/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("GET", "/v2/trace/setting"),
    ("GET", "/v2/logging"),
]


def _closed(method: str, path: str) -> None:
    def run(subject: Subject) -> None:
        if subject.endpoint.admin == subject.endpoint.rest:
            return
        answer: Any = subject.rest.request(method, path, b"{}" if method == "POST" else None)
        if answer.status != 404:
            fail("HTTP status", 404, answer.status)
        answer.refusal(404)

    name = path.strip("/").replace("/", "-").replace(".", "-")
    check(
        f"rest.bad.data-port.{name}",
        sources.bad_input(36),
        level=Level.ROBUSTNESS,
        model="rows",
        title=f"{path} isn't served on the data port, unless that administers, too.",
    )(run)


for _verb, _target in _ADMINISTRATION:
    _closed(_verb, _target)
