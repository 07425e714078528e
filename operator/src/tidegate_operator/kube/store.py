"""What the watches have told: the latest known version of every object, without I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tidegate_operator import naming
from tidegate_operator.kube.keeping import kept
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
    return Reference(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])


def key_of(item: Object) -> Key | None:
    """The InferenceService that an object belongs to by its label, or is; None if there is none."""
    metadata = item["metadata"]
    if item["kind"] == naming.KIND:
        return Key(metadata["namespace"], metadata["name"])
    service = metadata.get("labels", {}).get(naming.SERVICE_LABEL)
    return Key(metadata["namespace"], service) if service else None


class Store:
    """Objects by reference, and children by InferenceService.

    An older version never replaces a newer one, so watches, listings and answers to writes may come in any order.
    """

    def __init__(self) -> None:
        self._objects: dict[Reference, Object] = {}
        self._children: defaultdict[Key, set[Reference]] = defaultdict(set)
        self._deleted: dict[Reference, int] = {}
        self._listed: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, reference: Reference) -> Object | None:
        """The latest known version of an object; None if there is none."""
        return self._objects.get(reference)

    def children(self, key: Key) -> Iterator[Object]:
        """All known objects that carry the InferenceService's label."""
        return (self._objects[reference] for reference in self._children.get(key, ()))

    def services(self) -> list[Key]:
        """All known InferenceServices."""
        return [Key(ref.namespace, ref.name) for ref in self._objects if ref.kind == naming.KIND]

    def of_kind(self, kind: str) -> list[Object]:
        """All known objects of a kind."""
        return [item for reference, item in self._objects.items() if reference.kind == kind]

    def put(self, item: Object) -> bool:
        """Take in a version of an object; returns whether it was news."""
        reference = reference_of(item)
        known = self._objects.get(reference)
        if version_of(item) <= (version_of(known) if known is not None else self._gone_at(reference)):
            return False
        self._forget(reference)
        self._deleted.pop(reference, None)
        self._objects[reference] = kept(item)
        if (key := key_of(item)) and reference.kind != naming.KIND:
            self._children[key].add(reference)
        return True

    def remove(self, item: Object) -> bool:
        """Take in that an object was deleted at `item`'s version; returns whether it was news."""
        reference = reference_of(item)
        known = self._objects.get(reference)
        if known is not None and version_of(known) > version_of(item):
            return False
        self._forget(reference)
        self._deleted[reference] = max(version_of(item), self._gone_at(reference))
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
        for item in self.of_kind(kind):
            if reference_of(item) not in listed and version_of(item) <= listed_at:
                self._forget(reference_of(item))
                if key := key_of(item):
                    changed.add(key)
        self._listed[kind] = max(listed_at, self._listed.get(kind, -1))
        self._deleted = {
            ref: version for ref, version in self._deleted.items() if ref.kind != kind or version > listed_at
        }
        return changed

    def _gone_at(self, reference: Reference) -> int:
        """The version up to which an object that isn't known is known not to be there; -1 if nothing is known."""
        return max(self._deleted.get(reference, -1), self._listed.get(reference.kind, -1))

    def _forget(self, reference: Reference) -> None:
        known = self._objects.pop(reference, None)
        if known is not None and (key := key_of(known)):
            self._children[key].discard(reference)
            if not self._children[key]:
                del self._children[key]
