"""The fetcher against a real HTTP server that misbehaves by script."""

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.fetch import download, patience
from tidegate_runtime.fetch.addresses import refused_as
from tidegate_runtime.fetch.fetcher import fetch_model
from tidegate_runtime.fetch.incoming import Incoming
from tidegate_runtime.fetch.progress import Progress
from tidegate_runtime.fetch.uri import HttpSource

MODEL = bytes(range(256)) * 1024
DIGEST = hashlib.sha256(MODEL).hexdigest()

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Store:
    """A server that gives its answers in order, the last one again and again."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def whole(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(MODEL)))
    handler.end_headers()
    handler.wfile.write(MODEL)


def undeclared(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(MODEL)


def oddly_declared(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "\xb2")
    handler.end_headers()
    handler.wfile.write(MODEL)


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(MODEL)))
    handler.end_headers()
    handler.wfile.write(MODEL[:1000])


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@contextmanager
def running_store() -> Iterator[Store]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.paths.append(self.path)
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            answer(self)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script = Store(f"http://127.0.0.1:{server.server_address[1]}/model.onnx")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def store() -> Iterator[Store]:
    with running_store() as script:
        yield script


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF_SECONDS", (0.0, 0.0))


def fetch(url: str, directory: Path, sha256: str = "", max_bytes: int = 10**9) -> None:
    fetch_model(url, directory, expected_sha256=sha256, pvc_root=Path("/nowhere"), max_bytes=max_bytes)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([whole], id="at once"),
        pytest.param([undeclared], id="without a declared length"),
        pytest.param([oddly_declared], id="with a length that is no number, though a digit"),
        pytest.param([status(503), status(429), whole], id="after refusals"),
        pytest.param([cut_short, whole], id="after a body that was cut short"),
        pytest.param(
            [status(302, Location="/a"), status(307, Location="/b"), status(301, Location="/c"), whole],
            id="behind three redirects",
        ),
    ],
)
def test_the_model_arrives(store: Store, answers: list[Answer], tmp_path: Path) -> None:
    store.answers = answers
    fetch(store.url, tmp_path / "to", sha256=DIGEST.upper())
    assert (tmp_path / "to" / "model.onnx").read_bytes() == MODEL
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("answers", "reason", "message"),
    [
        pytest.param([status(404)], "ModelNotFound", "answered 404; check the path", id="not there"),
        pytest.param([status(403)], "ModelUnreachable", "answered 403; is it public", id="not public"),
        pytest.param([status(500)], "ModelUnreachable", "answered 500, the last of 3 attempts", id="always failing"),
        pytest.param([cut_short], "ModelUnreachable", "1000 of 262144 bytes", id="always cut short"),
        pytest.param([status(302, Location="/again")], "ModelURIForbidden", "more than 3", id="redirected for ever"),
        pytest.param([status(302, Location="ftp://h/m")], "ModelURIForbidden", "from http to ftp", id="sent to ftp"),
        pytest.param([status(302, Location="file:///etc/passwd")], "ModelURIForbidden", "scheme", id="sent to a file"),
    ],
)
def test_it_fails_when_the_model_is(
    store: Store, answers: list[Answer], reason: str, message: str, tmp_path: Path
) -> None:
    store.answers = answers
    with pytest.raises(StartupFailure, match=message) as failure:
        fetch(store.url, tmp_path)
    assert failure.value.reason == reason
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_from_https_to_http_is_refused() -> None:
    import urllib.request

    request = urllib.request.Request("https://h/m")
    with pytest.raises(StartupFailure, match="from https to http"):
        download._Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "http://h/m")


@pytest.mark.parametrize("answer", [whole, undeclared], ids=["from its declared length", "as it comes"])
def test_a_model_over_the_limit_is_refused(store: Store, answer: Answer, tmp_path: Path) -> None:
    store.answers = [answer]
    with pytest.raises(StartupFailure, match="the limit is 1000 bytes") as failure:
        fetch(store.url, tmp_path, max_bytes=1000)
    assert failure.value.reason == "ModelTooLarge"
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_digest_leaves_the_older_model_in_place(store: Store, tmp_path: Path) -> None:
    store.answers = [whole]
    (tmp_path / "model.onnx").write_bytes(b"old")
    with pytest.raises(StartupFailure, match=f"expected {'0' * 64}, got {DIGEST}") as failure:
        fetch(store.url, tmp_path, sha256="0" * 64)
    assert failure.value.reason == "DigestMismatch"
    assert (tmp_path / "model.onnx").read_bytes() == b"old"


def test_what_a_killed_fetch_left_is_replaced_and_never_followed(store: Store, tmp_path: Path) -> None:
    store.answers = [whole]
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / ".model.onnx.partial").symlink_to(outside)
    fetch(store.url, tmp_path / "to")
    assert outside.read_bytes() == b"precious"
    assert (tmp_path / "to" / "model.onnx").read_bytes() == MODEL


def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    with running_store() as gone:
        url = gone.url
    with pytest.raises(StartupFailure, match="refused") as failure:
        fetch(url, tmp_path)
    assert failure.value.reason == "ModelUnreachable"


def test_a_host_whose_attempts_take_long_is_given_up_before_all_of_them(tmp_path: Path) -> None:
    with running_store() as gone:
        url = gone.url
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 7.0  # a failed attempt on a host of two addresses that drop packets
        return now

    with Incoming(tmp_path, 1_000, Progress(clock)) as incoming, pytest.raises(StartupFailure) as failure:
        download.download(HttpSource(url), incoming, lambda _seconds: None, clock)
    assert "the last of 3 attempts" in failure.value.message


class MetadataSocket:
    """A connection whose other end is a cloud's metadata service, whatever its name was."""

    def __init__(self, address: str) -> None:
        self._address = address

    def getpeername(self) -> tuple[str, int]:
        return (self._address, 80)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "224.0.0.1"),
        pytest.param("64:ff9b::a9fe:a9fe", id="by NAT64"),
        pytest.param("64:ff9b:1::a9fe:a9fe", id="by a NAT64 of one's own"),
        pytest.param("fd00:ec2::254", id="AWS's"),
        pytest.param("fd00:ec2::23", id="AWS's for pods"),
        pytest.param("fd20:ce::254", id="Google's"),
        pytest.param("::ffff:100.100.100.200", id="Alibaba's"),
    ],
)
def test_a_metadata_services_address_behind_any_name_is_refused(address: str) -> None:
    connection = download._HttpConnection("models.example")
    connection.sock = MetadataSocket(address)
    with pytest.raises(StartupFailure) as failure:
        download._refuse_metadata(connection)
    assert failure.value.reason == "ModelURIForbidden"


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "8.8.8.8", "127.0.0.1", "::1", "fd00:ec3::254", "64:ff9b::a00:1", "::ffff:10.0.0.1"]
)
def test_other_addresses_of_a_network_of_ones_own_are_asked(address: str) -> None:
    assert refused_as(address) is None


ENOUGH = 100_000
"""Pieces that nobody takes to the end."""


def test_a_redirect_whose_body_has_no_end_is_followed_at_once(store: Store, tmp_path: Path) -> None:
    read_to_the_end = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/a")
        handler.end_headers()
        with suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(bytes(65536))
            read_to_the_end.set()

    store.answers = [endless, whole]
    fetch(store.url, tmp_path, sha256=DIGEST)
    assert store.paths == ["/model.onnx", "/a"]
    assert not read_to_the_end.is_set()


@pytest.mark.parametrize("to", ["http://[x/m", "http://a..b/m", f"http://{'a' * 64}/m"])
def test_a_redirect_to_what_is_no_url_fails_with_its_reason(store: Store, to: str, tmp_path: Path) -> None:
    store.answers = [status(302, Location=to)]
    with pytest.raises(StartupFailure, match="no URL that can be asked, or redirects to one") as failure:
        fetch(store.url, tmp_path)
    assert failure.value.reason == "ModelURIForbidden"


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_hosts_name_that_there_cannot_be_fails_with_its_reason(host: str, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="no URL that can be asked") as failure:
        fetch(f"http://{host}/m", tmp_path)
    assert failure.value.reason == "ModelURIForbidden"


def dripping(pieces: list[bytes], headers: bool = True) -> Answer:
    """Sends the pieces one after the other, each a while after the one before."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if headers:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(MODEL)))
            handler.end_headers()
        with suppress(OSError):
            for piece in pieces:
                handler.wfile.write(piece)
                time.sleep(0.02)

    return answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(dripping([b"x"] * ENOUGH), "the transfer broke off after .* too slowly", id="the body"),
        pytest.param(dripping([b"HTTP/1.1 200 OK\r\n", *[b"x"] * ENOUGH], headers=False), "too slowly", id="the head"),
    ],
)
def test_a_host_that_sends_a_byte_now_and_then_is_given_up(
    store: Store, answer: Answer, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.3)
    store.answers = [answer]
    with pytest.raises(StartupFailure, match=message) as failure:
        fetch(store.url, tmp_path)
    assert failure.value.reason == "ModelUnreachable"


def test_a_slow_host_that_is_fast_enough_is_waited_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.3)
    step = len(MODEL) // 30
    store.answers = [dripping([MODEL[start : start + step] for start in range(0, len(MODEL), step)])]
    fetch(store.url, tmp_path, sha256=DIGEST)
    assert len(store.paths) == 1


@pytest.mark.parametrize(
    ("received", "now", "late"),
    [(0, 0.0, 30.0), (0, 29.0, 30.0), (1024, 1.0, 31.0), (1024, 29.0, 31.0), (10 * 1024, 5.0, 35.0)],
)
def test_an_answer_is_late_after_30_seconds_of_silence_or_below_a_kibibyte_a_second(
    received: int, now: float, late: float
) -> None:
    assert patience.late_at(0.0, received, now) == late


def test_a_transfer_says_how_far_it_is_though_its_pieces_are_small(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(Progress, "advance", lambda _, received: told.append(received))
    store.answers = [dripping([MODEL[:1000], MODEL[1000:]])]
    fetch(store.url, tmp_path, sha256=DIGEST)
    assert told[0] == 1000
