"""What share of its requests this process hands over or copies, and to whom: the document that it is told. Pure.

docs/api.md has the document. Fields that aren't known are passed over, for a later release may add some; a document of
another version is refused as a whole, for there a field may mean something else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import orjson

VERSION: Final = 1

MAX_TARGETS: Final = 256
MAX_MATCHES: Final = 100
MAX_SECONDS: Final = 86400
MAX_BYTES: Final = 256 * 1024
"""Of a document."""

T = TypeVar("T")


class UnreadableShare(ValueError):
    """A document that says nothing to this release, and why."""


class Target(NamedTuple):
    """A pod's data port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Shadow:
    """`percent` of good requests, above 0, are copied to a revision: to any of its `targets`, of which there is one."""

    percent: float
    revision: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """Requests with all of these headers and cookies. Names of headers are in lower case."""

    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """What tells one caller from another: the name of a header, in lower case, or of a cookie."""

    name: str
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class Handover:
    """`percent` of requests are a revision's to answer: of any of its `targets`, of which there may be none now.

    Those that fit one of `matches` are, too, whatever the percentage. With `sticky` all requests of one caller go the
    same way. `leaving` says that callers are to come to others: each connection ends with its next answer.
    """

    percent: float
    revision: str
    targets: tuple[Target, ...] = ()
    leaving: bool = False
    matches: tuple[Match, ...] = ()
    sticky: Key | None = None
    timeout_seconds: float = 0.0
    """What that revision gives a request, if it is told: it may be more than this one does."""


@dataclass(frozen=True, slots=True)
class Share:
    """`revision` tells documents apart. Without `shadow` nothing is copied, without `handover` nothing handed over.

    `connection_seconds` is about how old connections get, so that callers come to new pods; None: as old as they like.
    """

    revision: str
    shadow: Shadow | None = None
    handover: Handover | None = None
    connection_seconds: float | None = None


def parse(text: bytes) -> Share:
    """The share that a document tells. Raises `UnreadableShare`, which names the field."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise UnreadableShare("it is not JSON") from None
    if not isinstance(document, dict):
        raise UnreadableShare("it is not a JSON object")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise UnreadableShare(f'"version" is {str(version)[:32]}; this release reads {VERSION}')
    return Share(
        _name(document.get("revision"), '"revision"'),
        _part(document, "shadow", _shadow),
        _part(document, "handover", _handover),
        _seconds(document, "connectionSeconds"),
    )


def _part(document: dict[str, Any], name: str, read: Callable[[dict[str, Any]], T]) -> T | None:
    part = document.get(name)
    if part is None:
        return None
    if not isinstance(part, dict):
        raise UnreadableShare(f'"{name}" must be an object or null')
    return read(part)


def _seconds(part: dict[str, Any], name: str, where: str = "") -> float | None:
    told = part.get(name)
    if told is None:
        return None
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 < told <= MAX_SECONDS:
        raise UnreadableShare(f'"{where}{name}" must be null or a number above 0, at most {MAX_SECONDS}')
    return told


def _shadow(told: dict[str, Any]) -> Shadow | None:
    """None where nothing is to be copied, or nobody is there to get it."""
    percent, revision, targets = _to_whom(told, "shadow")
    return Shadow(percent, revision, targets) if percent and targets else None


def _handover(told: dict[str, Any]) -> Handover:
    leaving = told.get("leaving", False)
    if not isinstance(leaving, bool):
        raise UnreadableShare('"handover.leaving" must be true or false')
    matches = told.get("match", [])
    if not isinstance(matches, list) or len(matches) > MAX_MATCHES:
        raise UnreadableShare(f'"handover.match" must be a list of at most {MAX_MATCHES}')
    return Handover(
        *_to_whom(told, "handover"),
        leaving,
        tuple(map(_match, matches)),
        _part(told, "sticky", _key),
        _seconds(told, "timeoutSeconds", "handover.") or 0.0,
    )


def _to_whom(told: dict[str, Any], where: str) -> tuple[float, str, tuple[Target, ...]]:
    percent = told.get("percent")
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise UnreadableShare(f'"{where}.percent" must be a number from 0 to 100')
    revision = _name(told.get("revision"), f'"{where}.revision"')
    targets = told.get("targets")
    if not isinstance(targets, list) or len(targets) > MAX_TARGETS:
        raise UnreadableShare(f'"{where}.targets" must be a list of at most {MAX_TARGETS} addresses')
    return percent, revision, tuple(dict.fromkeys(_target(target, where) for target in targets))


def _match(told: object) -> Match:
    if not isinstance(told, dict):
        raise UnreadableShare('"handover.match" must be of objects')
    headers = tuple((name.lower(), value) for name, value in _values(told, "header"))
    found = Match(headers, _values(told, "cookie"))
    if not found.headers and not found.cookies:
        raise UnreadableShare('"handover.match" has one without a header or cookie, which would be every request')
    return found


def _values(told: dict[str, Any], kind: str) -> tuple[tuple[str, str], ...]:
    values = told.get(kind) or {}
    where = f'"handover.match.{kind}"'
    if not isinstance(values, dict):
        raise UnreadableShare(f"{where} must be an object")
    return tuple((_name(name, where), _name(value, where)) for name, value in values.items())


def _key(told: dict[str, Any]) -> Key:
    header, cookie = told.get("header"), told.get("cookie")
    if (header is None) == (cookie is None):
        raise UnreadableShare('"handover.sticky" must have either a header or a cookie')
    if header is None:
        return Key(_name(cookie, '"handover.sticky.cookie"'), cookie=True)
    return Key(_name(header, '"handover.sticky.header"').lower())


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isascii() or not value.isprintable():
        raise UnreadableShare(f"{where} must be a string of 1 to 256 printable ASCII characters")
    return value


def _target(value: object, where: str) -> Target:
    """From `host:port`, of an IPv6 address `[host]:port`."""
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        plain = 0 < len(bare) <= 253 and bare.isascii() and bare.isprintable() and not set(bare) & set(' []/?#@"\\')
        if plain and bracketed == (":" in bare) and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536:
            return Target(bare, int(port))
    raise UnreadableShare(f'"{where}.targets" has {str(value)[:64]!r}, which is no host:port')
