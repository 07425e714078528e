"""`version_info`, and who may overwrite whom. Pure.

Several replicas answer the same router, each from a watch of its own. A version therefore says how far a replica's
watch had come, and what it made of it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Self


@dataclass(frozen=True)
class Version:
    """`<resourceVersion>.<digest>`.

    Resource versions of one API server are comparable as integers, across kinds (KEP-5504).
    """

    resource_version: int
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The version in `text`; None for a router that has none yet, or one that is not ours."""
        number, dot, digest = text.partition(".")
        return cls(int(number), digest) if dot and number.isascii() and number.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.resource_version}.{self.digest}"


class Standing(Enum):
    """How a replica's content stands to a caller's."""

    SAME = "same"
    """The caller has it."""
    NEWER = "newer"
    """The caller must get it."""
    BEHIND = "behind"
    """The caller has seen more than this replica: what differs may be an abort that hasn't arrived here."""


def standing(current: Version, caller: Version | None) -> Standing:
    """How `current` stands to what the caller has.

    Equal resource versions with unlike content are sent: events of different objects reach a replica out of order, so
    the same resource version can stand for less than everything up to it.
    """
    if caller is None:
        return Standing.NEWER
    if caller.digest == current.digest:
        return Standing.SAME
    return Standing.BEHIND if caller.resource_version > current.resource_version else Standing.NEWER


def digest(parts: Iterable[bytes]) -> str:
    """16 hex digits that change with any part or their order."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8))
        hashed.update(part)
    return hashed.hexdigest()[:16]
