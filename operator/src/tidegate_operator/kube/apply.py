"""Server-side apply of children, without calls that would change nothing, and never over somebody else's object."""

import hashlib
import json
from collections import defaultdict
from typing import Any, NamedTuple

from tidegate_operator import errors
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import BY_NAME, Object, fingerprint, owned_by
from tidegate_operator.kube.store import Reference, Store, reference_of

_NEVER = "1"
"""A resourceVersion that no object has: an apply that carries it makes the object, or is a Conflict if it is there."""


class NotOwned(errors.OperatorError):
    """An object of the name that a child should have is there already, and belongs to someone else."""


class _Applied(NamedTuple):
    """A manifest as it was applied last, and the object after it, by their digests."""

    manifest: str
    version: str
    live: str


class Applier:
    """Applies manifests through `cluster` and takes the answers into `store`."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._applied: defaultdict[Reference, dict[str, _Applied]] = defaultdict(dict)

    async def apply(self, manifest: Object, manager: str, owner_uid: str) -> None:
        """Bring an object to what `manifest` declares, as field manager `manager`.

        Nothing is sent while the object is as it was after the same manifest was applied last. An apply carries the
        resourceVersion of the object that is known, or one that none has: who looks at an older one gets a Conflict, so
        that a controller that no longer leads can't undo what its successor did, and nobody's object is taken over
        unseen. Raises NotOwned, or what the API server refuses.
        """
        if self.stands(manifest, manager, owner_uid):
            return
        reference = reference_of(manifest)
        live = self._store.get(reference)
        if live is not None:
            _check_owner(reference, live, owner_uid)
        try:
            answer = await self._cluster.apply(_path(reference), _at_version(manifest, live), manager)
        except errors.Conflict:
            if live is not None:
                raise
            # Someone's, which the watches don't tell of since it isn't labelled as ours; or ours, made a moment ago.
            found = await self._cluster.get(_path(reference))
            _check_owner(reference, found, owner_uid)
            answer = await self._cluster.apply(_path(reference), _at_version(manifest, found), manager)
        self._store.put(answer)
        self._remember(reference, manager, _Applied(_digest(manifest), _version(answer), fingerprint(answer)), live)

    def _remember(self, reference: Reference, manager: str, now: _Applied, before: Object | None) -> None:
        known = self._applied[reference]
        if before is not None:
            # What another manager of ours declares stood before this apply, and isn't changed by it.
            for other, last in known.items():
                if last.version == _version(before):
                    known[other] = last._replace(version=now.version, live=now.live)
        known[manager] = now

    def stands(self, manifest: Object, manager: str, owner_uid: str) -> bool:
        """Whether the object is as it was after the same manifest was applied last, so that there is nothing to do."""
        reference = reference_of(manifest)
        live = self._store.get(reference)
        if live is None or not owned_by(live, owner_uid):
            return False
        last = self._applied[reference].get(manager)
        if last is None or last.manifest != _digest(manifest):
            return False
        if last.version == _version(live):
            return True
        if last.live != fingerprint(live):
            return False
        self._applied[reference][manager] = last._replace(version=_version(live))
        return True

    async def delete(self, item: Object) -> None:
        """Delete the object that `item` is a version of, not a namesake; one that is gone is no error."""
        reference = reference_of(item)
        try:
            await self._cluster.delete(_path(reference), item["metadata"]["uid"])
        except errors.NotFound:
            self._store.remove(item)
        self.forget(reference)

    def forget(self, reference: Reference) -> None:
        """Drop what is remembered of an object that is gone."""
        self._applied.pop(reference, None)


def _digest(manifest: Object) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _check_owner(reference: Reference, live: Object, owner_uid: str) -> None:
    if not owned_by(live, owner_uid):
        raise NotOwned(
            f"{reference.kind} {reference.name} exists and isn't owned by this InferenceService:"
            " rename one of them, or delete it if it is a leftover"
        )


def _path(reference: Reference) -> str:
    return BY_NAME[reference.kind].path(reference.namespace, reference.name)


def _at_version(manifest: Object, live: Object | None) -> dict[str, Any]:
    version = _NEVER if live is None else _version(live)
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}


def _version(item: Object) -> str:
    version: str = item["metadata"]["resourceVersion"]
    return version
