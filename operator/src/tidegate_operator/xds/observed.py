"""The objects of one kind as last seen, however listings and watch events interleave. Pure.

A watch alone isn't enough: when it has to start over, an object deleted in between is never reported, and a restored
backup turns resource versions back.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Key = tuple[str, str]
"""Namespace and name."""
V = TypeVar("V")


class Observed(Generic[V]):
    """Values by object, each with the resource version it was seen at; `resource_version` is the latest of all."""

    def __init__(self) -> None:
        self.resource_version = 0
        self._seen: dict[Key, tuple[int, V]] = {}
        self._gone: dict[Key, int] = {}

    def __iter__(self) -> Iterator[tuple[Key, V]]:
        """The objects that are there, in a fixed order."""
        return ((key, self._seen[key][1]) for key in sorted(self._seen))

    def get(self, key: Key) -> V | None:
        """What was seen of an object; None if it isn't there."""
        return self._seen[key][1] if key in self._seen else None

    def see(self, key: Key, resource_version: int, value: V) -> None:
        """Take note of an object as an event reports it, unless something newer is known."""
        known = self._seen[key][0] if key in self._seen else self._gone.get(key, 0)
        if resource_version >= known:
            self._seen[key] = (resource_version, value)
            self._gone.pop(key, None)
        self.resource_version = max(self.resource_version, resource_version)

    def lose(self, key: Key, resource_version: int) -> None:
        """Take note of a deletion; `resource_version` is the deletion's own."""
        if resource_version >= self._seen.get(key, (0, None))[0]:
            self._seen.pop(key, None)
            self._gone[key] = resource_version
        self.resource_version = max(self.resource_version, resource_version)

    def reconcile(self, found: Mapping[Key, tuple[int, V]], resource_version: int, since: int) -> set[Key]:
        """The keys that change when a consistent listing at `resource_version` is taken over.

        `since` is this object's resource version when the listing was asked for: a listing older than that is from a
        cluster restored from a backup, and replaces everything.
        """
        if resource_version < since:
            newer: dict[Key, tuple[int, V]] = {}
            gone: dict[Key, int] = {}
            self.resource_version = resource_version
        else:
            newer = {key: seen for key, seen in self._seen.items() if seen[0] > resource_version}
            gone = {key: at for key, at in self._gone.items() if at > resource_version}
            self.resource_version = max(self.resource_version, resource_version)
        before = self._seen
        self._seen = {key: seen for key, seen in found.items() if key not in gone} | newer
        self._gone = gone
        return {key for key in before.keys() | self._seen.keys() if before.get(key) != self._seen.get(key)}
