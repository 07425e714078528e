"""What the watches have told: the latest known version of every object, without I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from sys import intern
from typing import NamedTuple

from tidegate_operator import naming
from tidegate_operator.kube.keeping import packed, unpacked
from tidegate_operator.kube.objects import Object, version_of


class Key(NamedTuple):
    """An InferenceService."""

    namespace: str
    name: str


class Reference(NamedTuple):
    """Any object."""

    kind: str
    namespace: str
    name: str


def reference_of(item: Object) -> Reference:
    """The reference of an object, or of a manifest."""
    metadata = item["metadata"]
    # Each text that is read has texts of its own; a revision's objects share their name.
    return Reference(intern(item["kind"]), intern(metadata["namespace"]), intern(metadata["name"]))


def key_of(item: Object) -> Key | None:
    """The InferenceService that an object belongs to by its label, or is; None if there is none."""
    metadata = item["metadata"]
    if item["kind"] == naming.KIND:
        return Key(metadata["namespace"], metadata["name"])
    service = metadata.get("labels", {}).get(naming.SERVICE_LABEL)
    return Key(metadata["namespace"], service) if service else None


class _Kept(NamedTuple):
    """An object."""

    version: int
    service: Key | None
    """The InferenceService that it belongs to, or is."""
    content: bytes


class Store:
    """Objects by reference, and children by InferenceService.

    An older version never replaces a newer one, so watches, listings and answers to writes may come in any order.
    What is handed out is a copy.
    """

    def __init__(self) -> None:
        self._objects: defaultdict[str, dict[Reference, _Kept]] = defaultdict(dict)
        self._children: defaultdict[Key, set[Reference]] = defaultdict(set)
        self._deleted: dict[Reference, int] = {}
        self._listed: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def get(self, reference: Reference) -> Object | None:
        """The latest known version of an object; None if there is none."""
        known = self._known(reference)
        return None if known is None else unpacked(known.content)

    def children(self, key: Key) -> Iterator[Object]:
        """All known objects that carry the InferenceService's label."""
        return (unpacked(self._objects[reference.kind][reference].content) for reference in self._children.get(key, ()))

    def services(self) -> list[Key]:
        """All known InferenceServices."""
        return [Key(reference.namespace, reference.name) for reference in self._objects[naming.KIND]]

    def of_kind(self, kind: str) -> list[Object]:
        """All known objects of a kind."""
        return [unpacked(known.content) for known in self._objects[kind].values()]

    def put(self, item: Object) -> bool:
        """Take in a version of an object; returns whether it was news."""
        reference, version = reference_of(item), version_of(item)
        known = self._known(reference)
        if version <= (known.version if known is not None else self._gone_at(reference)):
            return False
        self._forget(reference)
        self._deleted.pop(reference, None)
        key = key_of(item)
        self._objects[reference.kind][reference] = _Kept(version, key, packed(item))
        if key and reference.kind != naming.KIND:
            self._children[key].add(reference)
        return True

    def remove(self, item: Object) -> bool:
        """Take in that an object was deleted at `item`'s version; returns whether it was news."""
        reference, version = reference_of(item), version_of(item)
        known = self._known(reference)
        if known is not None and known.version > version:
            return False
        self._forget(reference)
        self._deleted[reference] = max(version, self._gone_at(reference))
        return known is not None

    def replace(self, kind: str, items: Iterable[Object], listed_at: int) -> set[Key]:
        """Take in a whole listing of a kind as of version `listed_at`; returns the InferenceServices concerned.

        What isn't in it and isn't newer is gone: watches don't tell what was deleted while they were down.
        """
        changed = set()
        listed = set()
        for item in items:
            listed.add(reference_of(item))
            if self.put(item) and (key := key_of(item)):
                changed.add(key)
        for reference, known in list(self._objects[kind].items()):
            if reference not in listed and known.version <= listed_at:
                self._forget(reference)
                if known.service:
                    changed.add(known.service)
        self._listed[kind] = max(listed_at, self._listed.get(kind, -1))
        self._deleted = {
            ref: version for ref, version in self._deleted.items() if ref.kind != kind or version > listed_at
        }
        return changed

    def _known(self, reference: Reference) -> _Kept | None:
        return self._objects[reference.kind].get(reference)

    def _gone_at(self, reference: Reference) -> int:
        """The version up to which an object that isn't known is known not to be there; -1 if nothing is known."""
        return max(self._deleted.get(reference, -1), self._listed.get(reference.kind, -1))

    def _forget(self, reference: Reference) -> None:
        known = self._objects[reference.kind].pop(reference, None)
        if known is not None and (key := known.service):
            self._children[key].discard(reference)
            if not self._children[key]:
                del self._children[key]
