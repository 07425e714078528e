"""HTTP/1.1 as clients and proxies use it: connections that are kept, pipelined, chunked, split and ended."""

import json

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.expect import equal, true
from tidegate_conformance.models.known import Feeds
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.client import head
from tidegate_conformance.rest.connection import Connection
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.subject import Subject


def _request(subject: Subject, connection: Connection, feeds: Feeds, **headers: str) -> bytes:
    body = json.dumps(document(subject.model, feeds)).encode()
    fields = {"Host": connection.host, "Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return head("POST", connection.prefix + subject.infer_path, fields) + body


def _holds(subject: Subject, answer: Answer, feeds: Feeds) -> None:
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("http.keep-alive", sources.HTTP, model="rows")
def keep_alive(subject: Subject) -> None:
    """One connection carries many requests, with bodies of different sizes."""
    with subject.rest.connect() as connection:
        for seed in range(10):
            feeds = subject.model.example(seed, free=1 + seed)
            _holds(subject, subject.rest.raw(_request(subject, connection, feeds), "POST", connection), feeds)


@check("http.keep-alive-mixed", sources.HTTP, model="rows")
def keep_alive_mixed(subject: Subject) -> None:
    """Inference, metadata and health may follow each other on one connection."""
    with subject.rest.connect() as connection:
        for path in ("/v2", "/v2/health/live", f"/v2/models/{subject.model.name}"):
            subject.rest.request("GET", path, connection=connection).must_be(200)
            feeds = subject.model.example(len(path))
            _holds(subject, subject.rest.raw(_request(subject, connection, feeds), "POST", connection), feeds)


@check("http.keep-alive-after-error", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def keep_alive_after_error(subject: Subject) -> None:
    """A refused request leaves its connection usable, in step."""
    with subject.rest.connect() as connection:
        for body in (b"{", b'{"inputs":[]}', b"[1,2,3]"):
            subject.rest.request("POST", subject.infer_path, body, connection=connection).refusal(400)
            feeds = subject.model.example(len(body))
            _holds(subject, subject.rest.raw(_request(subject, connection, feeds), "POST", connection), feeds)


@check("http.keep-alive-after-404", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def keep_alive_after_404(subject: Subject) -> None:
    """A body sent to an unknown path isn't taken for the next request."""
    with subject.rest.connect() as connection:
        body = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = subject.rest.request("POST", "/v2/models/no-such-model/infer", body, connection=connection)
        answer.refusal(404)
        if not answer.closes:
            feeds = subject.model.example()
            _holds(subject, subject.rest.raw(_request(subject, connection, feeds), "POST", connection), feeds)


@check("http.pipelining", sources.HTTP, model="rows")
def pipelining(subject: Subject) -> None:
    """Eight requests sent at once on one connection are answered in their order."""
    with subject.rest.connect() as connection:
        many = [subject.model.example(seed, free=1 + seed % 3) for seed in range(8)]
        connection.send(b"".join(_request(subject, connection, feeds) for feeds in many))
        for feeds in many:
            _holds(subject, connection.receive(), feeds)


@check("http.pipelining-mixed", sources.HTTP, model="rows")
def pipelining_mixed(subject: Subject) -> None:
    """Good and bad requests sent at once on one connection are each answered in turn."""
    with subject.rest.connect() as connection:
        feeds = subject.model.example()
        good = _request(subject, connection, feeds)
        bad = good.replace(b'"FP32"', b'"FP64"')
        connection.send(good + bad + good)
        _holds(subject, connection.receive(), feeds)
        connection.receive().refusal()
        _holds(subject, connection.receive(), feeds)


@check("http.connection-close", sources.HTTP, model="rows")
def connection_close(subject: Subject) -> None:
    """After `Connection: close` the answer comes and the connection ends."""
    with subject.rest.connect() as connection:
        feeds = subject.model.example()
        answer = subject.rest.raw(_request(subject, connection, feeds, Connection="close"), "POST", connection)
        _holds(subject, answer, feeds)
        true("the connection is closed", connection.is_closed(), "an open one")


@check("http.version-1-0", sources.HTTP, model="rows")
def version_1_0(subject: Subject) -> None:
    """HTTP/1.0 is answered, and the connection ends."""
    with subject.rest.connect() as connection:
        connection.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
        connection.receive("GET").must_be(200)
        true("the connection is closed", connection.is_closed(), "an open one")


@check("http.chunked", sources.HTTP, model="rows")
def chunked(subject: Subject) -> None:
    """A chunked body is read as one with a length, with extensions and trailers."""
    feeds = subject.model.example(4, free=8)
    body = json.dumps(document(subject.model, feeds)).encode()
    chunks = [body[at : at + 37] for at in range(0, len(body), 37)]
    text = b"".join(b"%x;name=value\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nX-A: b\r\n\r\n"
    with subject.rest.connect() as connection:
        fields = {"Host": connection.host, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        request = head("POST", connection.prefix + subject.infer_path, fields) + text
        _holds(subject, subject.rest.raw(request, "POST", connection), feeds)
        again = subject.model.example(5)
        _holds(subject, subject.rest.raw(_request(subject, connection, again), "POST", connection), again)


@check("http.expect-continue", sources.HTTP, model="rows")
def expect_continue(subject: Subject) -> None:
    """`Expect: 100-continue` is answered by 100 before the body is sent, or by the answer once it is."""
    with subject.rest.connect() as connection:
        feeds = subject.model.example()
        request = _request(subject, connection, feeds, Expect="100-continue")
        top, _, body = request.partition(b"\r\n\r\n")
        connection.send(top + b"\r\n\r\n")
        interim = connection.interim()
        equal("interim status", 100, interim)
        connection.send(body, fresh=False)
        _holds(subject, connection.receive(), feeds)


@check("http.expect-continue-refused", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def expect_refused(subject: Subject) -> None:
    """With `Expect: 100-continue` a request to an unknown model is refused without asking for its body."""
    with subject.rest.connect() as connection:
        fields = {"Host": connection.host, "Content-Length": "1000", "Expect": "100-continue"}
        connection.send(head("POST", connection.prefix + "/v2/models/no-such-model/infer", fields))
        answer = connection.receive()
        answer.refusal(404)
        equal("interim answers", (), answer.interim)


@check("http.split-segments", sources.HTTP, model="rows")
def split(subject: Subject) -> None:
    """A request that comes in many small pieces is answered as one that comes at once."""
    with subject.rest.connect() as connection:
        feeds = subject.model.example()
        request = _request(subject, connection, feeds)
        for at in range(0, len(request), 11):
            connection.send(request[at : at + 11], fresh=at == 0)
        _holds(subject, connection.receive(), feeds)


@check("http.half-close", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def half_close(subject: Subject) -> None:
    """A client that has sent all and closed its sending side gets its answer, or a clean end."""
    with subject.rest.connect() as connection:
        feeds = subject.model.example()
        connection.send(_request(subject, connection, feeds, Connection="close"))
        connection.half_close()
        data = connection.read_all()
        true("an answer or nothing at all", data == b"" or data.startswith(b"HTTP/1.1 200"), data)


@check("http.header-case", sources.HTTP, model="rows")
def header_case(subject: Subject) -> None:
    """Header names in any case mean the same, white space around values nothing."""
    feeds = subject.model.example()
    body = json.dumps(document(subject.model, feeds)).encode()
    with subject.rest.connect() as connection:
        lines = [
            f"POST {connection.prefix}{subject.infer_path} HTTP/1.1",
            f"hOST:{connection.host}",
            "content-TYPE: \t application/json \t",
            f"CONTENT-length:   {len(body)}",
        ]
        _holds(subject, subject.rest.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body, "POST", connection), feeds)


@check("http.large-headers", sources.HTTP, model="rows")
def large_headers(subject: Subject) -> None:
    """7 kB of headers, as proxies and tokens make them, are taken."""
    feeds = subject.model.example()
    headers = {f"X-Trace-{index}": "t" * 1000 for index in range(7)}
    _holds(subject, subject.post(document(subject.model, feeds), headers), feeds)


@check("http.escaped-path", "RFC 3986, 2.3", level=Level.ROBUSTNESS, model="rows")
def escaped_path(subject: Subject) -> None:
    """A letter of the model's name may be percent-encoded."""
    feeds = subject.model.example()
    answer = subject.rest.post("/v2/models/%72ows/infer", document(subject.model, feeds))
    _holds(subject, answer, feeds)


@check("http.query", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def query(subject: Subject) -> None:
    """A query string behind the path changes nothing."""
    feeds = subject.model.example()
    _holds(subject, subject.rest.post(f"{subject.infer_path}?a=b&c", document(subject.model, feeds)), feeds)


@check("http.absolute-form", "RFC 9112, 3.2.2", level=Level.ROBUSTNESS, model="rows")
def absolute_form(subject: Subject) -> None:
    """A target in absolute form, as sent to proxies, is answered."""
    with subject.rest.connect() as connection:
        target = f"http://{connection.host}{connection.prefix}/v2/health/live"
        connection.send(head("GET", target, {"Host": connection.host}))
        connection.receive("GET").must_be(200)


@check("http.head", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def head_method(subject: Subject) -> None:
    """HEAD has no body, whatever its status, and leaves the connection in step."""
    with subject.rest.connect() as connection:
        answer = subject.rest.request("HEAD", "/v2/health/live", connection=connection)
        true("HEAD gets 200 or 405", answer.status in (200, 405), answer.status)
        if not answer.closes:
            subject.rest.request("GET", "/v2/health/live", connection=connection).must_be(200)


@check("http.allow", "RFC 9110, 15.5.6", level=Level.ROBUSTNESS, model="rows")
def allow(subject: Subject) -> None:
    """405 says in `Allow` what is allowed."""
    answer = subject.rest.request("GET", subject.infer_path)
    answer.must_be(405)
    equal("Allow", "POST", answer.header("allow") or "")


@check("http.get-with-body", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def get_with_body(subject: Subject) -> None:
    """A body with GET is read over, and not taken for the next request."""
    with subject.rest.connect() as connection:
        fields = {"Host": connection.host, "Content-Length": "7"}
        target = connection.prefix + "/v2/health/live"
        connection.send(head("GET", target, fields) + b"GET / H" + head("GET", target, {"Host": connection.host}))
        first = connection.receive("GET")
        if first.status == 200 and not first.closes:
            connection.receive("GET").must_be(200)


@check("http.blank-line-first", "RFC 9112, 2.2", level=Level.ROBUSTNESS, model="rows")
def blank_line(subject: Subject) -> None:
    """An empty line before a request is passed over."""
    with subject.rest.connect() as connection:
        connection.send(b"\r\n" + head("GET", connection.prefix + "/v2/health/live", {"Host": connection.host}))
        connection.receive("GET").must_be(200)


@check("http.no-server-version", "RFC 9110, 10.2.4", level=Level.ROBUSTNESS, model="rows")
def no_server_version(subject: Subject) -> None:
    """The Server header, where there is one, has no version in it."""
    server = subject.rest.get("/v2/health/live").header("server") or ""
    true("no version in Server", not any(char.isdigit() for char in server), server)
