"""Prometheus asked over TLS, with what it takes to be let in, by a server that holds callers to it."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from tidegate_operator.adapter.certificates import Identity, issue
from tidegate_operator.evidence.answers import Answer, Number, Unanswered
from tidegate_operator.evidence.queries import Names
from tidegate_operator.install import Install
from tidegate_operator.process.prometheus import Prometheus

from .builders import A, B

NAMES = Names("ml", "churn", A, B)
ONE = {"status": "success", "data": {"resultType": "scalar", "result": [1764412345.678, "1"]}}


class Server:
    """It answers `1` to who shows what it wants, which is remembered, and 401 to others."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.wanted: str | None = None
        self.shown: list[str | None] = []
        self.url = ""
        self.authority = folder / "ca.crt"
        self.authority.write_bytes(identity.authorities)
        chain = folder / "server.pem"
        chain.write_bytes(identity.certificate + identity.key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.shown.append(request.headers.get("Authorization"))
        return web.json_response(ONE) if self.shown[-1] == self.wanted else web.Response(status=401, text="who?")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    found, app = Server(tmp_path, issue(["localhost"], datetime.now(UTC))), web.Application()
    app.router.add_post("/api/v1/query", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=found.context).start()
    found.url = f"https://localhost:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


class Asking:
    """One Prometheus, asked about a window after the other."""

    def __init__(self, session: aiohttp.ClientSession, server: Server, **settings: Any) -> None:
        known: dict[str, Any] = {"prometheus_url": server.url, "prometheus_ca_file": str(server.authority), **settings}
        self._prometheus = Prometheus(session, Install(**known))
        self._window = 0

    async def told(self) -> Answer:
        self._window += 1
        async with asyncio.timeout(30):
            while (found := self._prometheus.answers(NAMES, self._window, ["up"])) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return found[0]


def reason(answer: Answer) -> str:
    assert isinstance(answer, Unanswered)
    return answer.why


async def test_a_token_is_shown_and_a_renewed_one_from_the_next_look_on(
    server: Server, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("abc.def-123_~+/==\n")
    asking = Asking(session, server, prometheus_token_file=str(token))
    server.wanted = "Bearer abc.def-123_~+/=="
    assert await asking.told() == Number(1.0)
    token.write_text("renewed")
    assert "HTTP 401" in reason(await asking.told())
    server.wanted = "Bearer renewed"
    assert await asking.told() == Number(1.0)


async def test_a_login_is_shown_as_basic_authentication_has_it(
    server: Server, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "username").write_text("tidegate")
    (tmp_path / "password").write_text("geh:heim ü\n")
    server.wanted = "Basic " + base64.b64encode("tidegate:geh:heim ü".encode()).decode()
    assert await Asking(session, server, prometheus_login_folder=str(tmp_path)).told() == Number(1.0)


async def test_without_credentials_none_are_shown(server: Server, session: aiohttp.ClientSession) -> None:
    assert await Asking(session, server).told() == Number(1.0)
    assert server.shown == [None]


async def test_who_is_not_let_in_reads_which_value_is_about_that(
    server: Server, session: aiohttp.ClientSession
) -> None:
    server.wanted = "Bearer other"
    why = reason(await Asking(session, server).told())
    assert "HTTP 401" in why
    assert "prometheus.bearerToken" in why


async def test_nothing_is_shown_to_who_can_not_prove_who_it_is(
    server: Server, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    token, other = tmp_path / "token", tmp_path / "other.crt"
    token.write_text("abc")
    other.write_bytes(issue(["localhost"], datetime.now(UTC)).authorities)
    for trusted in (str(other), ""):
        why = reason(await Asking(session, server, prometheus_token_file=str(token), prometheus_ca_file=trusted).told())
        assert "certificate isn't trusted" in why
        assert "prometheus.ca" in why
    assert server.shown == []


async def test_another_name_than_the_certificates_is_not_trusted(
    server: Server, session: aiohttp.ClientSession
) -> None:
    url = server.url.replace("localhost", "127.0.0.1")
    why = reason(await Asking(session, server, prometheus_url=url).told())
    assert "certificate isn't trusted" in why
    assert server.shown == []


async def test_a_renewed_authority_is_trusted_from_the_next_look_on(
    server: Server, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    right = server.authority.read_bytes()
    server.authority.write_bytes(issue(["localhost"], datetime.now(UTC)).authorities)
    asking = Asking(session, server)
    assert "isn't trusted" in reason(await asking.told())
    server.authority.write_bytes(right)
    assert await asking.told() == Number(1.0)


UNUSABLE: list[tuple[dict[str, bytes], dict[str, str], str]] = [
    ({}, {"token_file": "token"}, "prometheus.bearerToken: what it names, or the key in that, isn't there"),
    ({"token": b"\n"}, {"token_file": "token"}, "prometheus.bearerToken: token is empty"),
    ({"token": b"s3cret\r\nX-Other: 1"}, {"token_file": "token"}, "what its Secret has is no bearer token"),
    ({"token": b"s3cret\xff\xfe"}, {"token_file": "token"}, "prometheus.bearerToken: token isn't text"),
    ({"username": b"s3cret"}, {"login_folder": "."}, "prometheus.basicAuth: what it names, or the key in that"),
    (
        {"username": b"s3cret:too", "password": b"s3cret"},
        {"login_folder": "."},
        "prometheus.basicAuth: a username with a colon",
    ),
    ({}, {"ca_file": "none.crt"}, "prometheus.ca: what it names, or the key in that, isn't there"),
    ({"bad.crt": b"s3cret"}, {"ca_file": "bad.crt"}, "prometheus.ca: what it names has no certificates in PEM"),
]


@pytest.mark.parametrize(("files", "settings", "expected"), UNUSABLE)
async def test_what_can_not_be_used_is_a_reason_by_the_name_of_its_value_and_nothing_is_asked(
    server: Server,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    files: dict[str, bytes],
    settings: dict[str, str],
    expected: str,
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    named = {f"prometheus_{setting}": str(tmp_path / name) for setting, name in settings.items()}
    why = reason(await Asking(session, server, **named).told())
    assert expected in why
    assert "s3cret" not in why
    assert server.shown == []


@pytest.mark.parametrize(
    "settings",
    [
        {"prometheus_url": "http://p", "prometheus_token_file": "t"},
        {"prometheus_url": "http://p", "prometheus_login_folder": "l"},
        {"prometheus_url": "http://p", "prometheus_ca_file": "c"},
        {"prometheus_token_file": "t"},
        {"prometheus_url": "https://p", "prometheus_token_file": "t", "prometheus_login_folder": "l"},
    ],
)
def test_an_install_that_would_show_a_secret_to_anybody_or_two_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="prometheus_"):
        Install(**settings)
