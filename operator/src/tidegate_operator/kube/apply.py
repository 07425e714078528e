"""Server-side apply of children, without calls that would change nothing, and never over somebody else's object."""

import hashlib
import json
from collections import defaultdict
from typing import Any

from tidegate_operator import errors
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import BY_NAME, Object, fingerprint, owned_by
from tidegate_operator.kube.store import Reference, Store, reference_of


class NotOwned(errors.OperatorError):
    """An object of the name that a child should have is there already, and belongs to someone else."""


class Applier:
    """Applies manifests through `cluster` and takes the answers into `store`."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._applied: defaultdict[Reference, dict[str, tuple[str, str]]] = defaultdict(dict)

    async def apply(self, manifest: Object, manager: str, owner_uid: str) -> None:
        """Bring an object to what `manifest` declares, as field manager `manager`.

        Nothing is sent while the object is as it was after the same manifest was applied last. An apply to an object
        that exists carries its resourceVersion: who looks at an older one gets a Conflict, so that a controller that
        no longer leads can't undo what its successor did. Raises NotOwned, or what the API server refuses.
        """
        reference = reference_of(manifest)
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        live = self._store.get(reference) or await self._claim(reference, owner_uid)
        if live is not None:
            if not owned_by(live, owner_uid):
                raise NotOwned(
                    f"{reference.kind} {reference.name} exists and isn't owned by this InferenceService:"
                    " rename one of them, or delete it if it is a leftover"
                )
            if self._applied[reference].get(manager) == (digest, fingerprint(live)):
                return
        answer = await self._cluster.apply(_path(reference), _at_version(manifest, live), manager)
        self._store.put(answer)
        self._applied[reference][manager] = (digest, fingerprint(answer))

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

    async def _claim(self, reference: Reference, owner_uid: str) -> Object | None:
        """An object that the watches haven't told of, yet or since it isn't labelled as ours; None if there is none."""
        try:
            found = await self._cluster.get(_path(reference))
        except errors.NotFound:
            return None
        if owned_by(found, owner_uid):
            self._store.put(found)
        return found


def _path(reference: Reference) -> str:
    return BY_NAME[reference.kind].path(reference.namespace, reference.name)


def _at_version(manifest: Object, live: Object | None) -> dict[str, Any]:
    if live is None:
        return dict(manifest)
    version = live["metadata"]["resourceVersion"]
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
