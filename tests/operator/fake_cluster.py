"""An API server in memory, at the operator's `Cluster` seam: what server-side apply means for one who relies on it.

Lists are one value, as if atomic: no list of ours has two field managers.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tidegate_operator import errors
from tidegate_operator.kube.objects import BY_NAME, Kind

Object = dict[str, Any]
Field = tuple[str, ...]


class Killed(Exception):
    """The process that called is no more."""


class Write(NamedTuple):
    """A call that may change something."""

    verb: str
    path: str
    manager: str = ""


class FakeCluster:
    """Objects by path, the fields that each manager declared, and every write in order."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.events: list[Object] = []
        self.writes: list[Write] = []
        self.calls: list[tuple[str, str]] = []
        """Verb and path of every call, those that read included."""
        self.kill_at: int | None = None
        """The write before which the calling process dies; every later one fails too, until this is None again."""
        self.refuse: Callable[[Write], Exception | None] = lambda write: None
        self._declared: defaultdict[str, dict[str, set[Field]]] = defaultdict(dict)
        # As etcd's: no object ever has the first.
        self._version = 1

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        self.calls.append(("get", path))
        if path == "/apis":
            served = [each["groupVersion"] for each in self.objects.values() if each["kind"] == "APIResourceList"]
            return {"groups": [{"versions": [{"groupVersion": version}]} for version in served]}
        for kind in BY_NAME.values():
            if path.endswith(f"/{kind.plural}"):
                return self._list(kind, path, (query or {}).get("labelSelector", ""))
        return copy.deepcopy(self._found(path))

    async def apply(self, path: str, manifest: Mapping[str, Any], manager: str, *, force: bool = True) -> Object:
        self._write(Write("apply", path, manager))
        live = self.objects.get(path)
        version = manifest["metadata"].get("resourceVersion")
        # One for an object that isn't there makes it, as tried on a real API server.
        if version is not None and live is not None and live["metadata"]["resourceVersion"] != version:
            raise errors.Conflict(f"{path}: the object has been modified", 409)
        wanted = {field: value for field, value in _fields(manifest) if field != ("metadata", "resourceVersion")}
        declared = self._declared[path]
        after = copy.deepcopy(live) if live else {"metadata": {}}
        for other, fields in declared.items():
            contested = {f for f in fields & set(wanted) if _at(after, f) != wanted[f]} if other != manager else set()
            if contested and not force:
                held = [("." + ".".join(field), other) for field in sorted(contested)]
                raise errors.FieldsHeld(f"Apply failed with {len(held)} conflicts", 409, held)
            fields.difference_update(contested)
        others = set[Field]().union(*(fields for other, fields in declared.items() if other != manager))
        for field in declared.get(manager, set()) - set(wanted) - others:
            _remove(after, field)
        for field, value in wanted.items():
            _set(after, field, copy.deepcopy(value))
        declared[manager] = set(wanted)
        return self._store(path, after)

    async def create(self, path: str, manifest: Mapping[str, Any]) -> Object:
        self._write(Write("create", path))
        assert path.endswith("/events"), path
        self.events.append(dict(manifest))
        return dict(manifest)

    async def replace(self, path: str, manifest: Mapping[str, Any]) -> Object:
        self._write(Write("replace", path))
        assert path.endswith("/status"), path
        path = path.removesuffix("/status")
        live = self._found(path)
        if manifest["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise errors.Conflict(f"{path}: the object has been modified", 409)
        return self._store(path, {**copy.deepcopy(live), "status": copy.deepcopy(manifest["status"])})

    async def delete(self, path: str, uid: str | None = None) -> Object:
        self._write(Write("delete", path))
        if uid not in (None, self._found(path)["metadata"]["uid"]):
            raise errors.Conflict(f"{path}: the uid is another one", 409)
        return self.remove(path)

    def put(self, item: Object) -> Object:
        """What someone else creates."""
        kind, metadata = BY_NAME[item["kind"]], item["metadata"]
        return self._store(kind.path(metadata["namespace"], metadata["name"]), copy.deepcopy(item))

    def edit(self, path: str, change: Callable[[Object], None], manager: str | None = None) -> Object:
        """What someone else changes; the fields are theirs by then, if it is told who they are."""
        before = self._found(path)
        after = copy.deepcopy(before)
        change(after)
        if manager is not None:
            changed = {field for field, value in _fields(after) if _at(before, field) != value}
            for fields in self._declared[path].values():
                fields.difference_update(changed)
            self._declared[path].setdefault(manager, set()).update(changed)
        return self._store(path, after)

    def remove(self, path: str) -> Object:
        """What someone else deletes."""
        self._declared.pop(path, None)
        self._version += 1
        return self.objects.pop(path)

    def of_kind(self, kind: str) -> dict[str, Object]:
        """Copies of all objects of a kind, by name."""
        found = (item for item in self.objects.values() if item["kind"] == kind)
        return {item["metadata"]["name"]: copy.deepcopy(item) for item in found}

    def versions(self) -> dict[str, str]:
        """Every object's resourceVersion."""
        return {path: item["metadata"]["resourceVersion"] for path, item in self.objects.items()}

    def content(self) -> dict[str, Object]:
        """Everything but what differs between two clusters with the same history behind them."""
        passing = ("resourceVersion", "uid", "generation")
        found = copy.deepcopy(self.objects)
        for item in found.values():
            item["metadata"] = {key: value for key, value in item["metadata"].items() if key not in passing}
            item.get("status", {}).pop("observedGeneration", None)
        return found

    def _list(self, kind: Kind, path: str, selector: str) -> Object:
        wanted = dict(part.split("=") for part in selector.split(",") if part)
        items = [
            {key: copy.deepcopy(value) for key, value in item.items() if key not in ("kind", "apiVersion")}
            for item in self.objects.values()
            if item["kind"] == kind.name
            and path in (kind.collection(), kind.collection(item["metadata"].get("namespace")))
            and wanted.items() <= item["metadata"].get("labels", {}).items()
        ]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def _found(self, path: str) -> Object:
        try:
            return self.objects[path]
        except KeyError:
            raise errors.NotFound(f"{path}: not found", 404) from None

    def _write(self, write: Write) -> None:
        self.calls.append((write.verb, write.path))
        if self.kill_at is not None and len(self.writes) >= self.kill_at:
            raise Killed
        if refusal := self.refuse(write):
            raise refusal
        self.writes.append(write)

    def _store(self, path: str, after: Object) -> Object:
        live = self.objects.get(path)
        if after["kind"] == "Deployment":
            after.setdefault("spec", {}).setdefault("replicas", 1)
        if after == live:
            return copy.deepcopy(after)
        self._version += 1
        metadata = after["metadata"]
        metadata.setdefault("uid", f"uid-{self._version}")
        if live is None or after.get("spec") != live.get("spec"):
            metadata["generation"] = 1 + (live["metadata"]["generation"] if live else 0)
        metadata["resourceVersion"] = str(self._version)
        self.objects[path] = after
        return copy.deepcopy(after)


def _fields(node: Mapping[str, Any], prefix: Field = ()) -> Iterator[tuple[Field, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _fields(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _at(node: Any, field: Field) -> Any:
    for key in field:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _set(node: Object, field: Field, value: Any) -> None:
    for key in field[:-1]:
        node = node.setdefault(key, {})
    node[field[-1]] = value


def _remove(node: Object, field: Field) -> None:
    parent = _at(node, field[:-1])
    if isinstance(parent, dict):
        parent.pop(field[-1], None)
        if not parent and field[:-1]:
            _remove(node, field[:-1])
