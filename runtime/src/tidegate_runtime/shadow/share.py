"""What share of its requests this process copies, and to whom: the document that it is told. Pure.

docs/api.md has the document. Fields that aren't known are passed over, for a later release may add some; a document of
another version is refused as a whole, for there a field may mean something else.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

VERSION: Final = 1

MAX_TARGETS: Final = 256
MAX_BYTES: Final = 256 * 1024
"""Of a document."""


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
class Share:
    """`revision` tells documents apart. Without `shadow` nothing is copied."""

    revision: str
    shadow: Shadow | None = None


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
    shadow = document.get("shadow")
    if shadow is not None and not isinstance(shadow, dict):
        raise UnreadableShare('"shadow" must be an object or null')
    return Share(_name(document.get("revision"), '"revision"'), None if shadow is None else _shadow(shadow))


def _shadow(told: dict[str, Any]) -> Shadow | None:
    """None where nothing is to be copied, or nobody is there to get it."""
    percent = told.get("percent")
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise UnreadableShare('"shadow.percent" must be a number from 0 to 100')
    revision = _name(told.get("revision"), '"shadow.revision"')
    targets = told.get("targets")
    if not isinstance(targets, list) or len(targets) > MAX_TARGETS:
        raise UnreadableShare(f'"shadow.targets" must be a list of at most {MAX_TARGETS} addresses')
    addresses = tuple(dict.fromkeys(map(_target, targets)))
    return Shadow(percent, revision, addresses) if percent and addresses else None


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isascii() or not value.isprintable():
        raise UnreadableShare(f"{where} must be a string of 1 to 256 printable ASCII characters")
    return value


def _target(value: object) -> Target:
    """From `host:port`, of an IPv6 address `[host]:port`."""
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        plain = 0 < len(bare) <= 253 and bare.isascii() and bare.isprintable() and not set(bare) & set(' []/?#@"\\')
        if plain and bracketed == (":" in bare) and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536:
            return Target(bare, int(port))
    raise UnreadableShare(f'"shadow.targets" has {str(value)[:64]!r}, which is no host:port')
