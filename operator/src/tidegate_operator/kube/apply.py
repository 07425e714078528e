"""Server-side apply of children, without calls that would change nothing, and never over somebody else's object.

What was applied is told by an annotation, so that a controller that has just started sends nothing either.

What we declare of a child is ours: where somebody else has set it, it is set back, and told. Who goes on setting it is
left alone for longer and longer, since two that never give way load the API server and restart pods for nothing.
"""

import hashlib
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from tidegate_operator import errors, naming
from tidegate_operator.kube import contest
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.containment import contains
from tidegate_operator.kube.contest import Contest
from tidegate_operator.kube.objects import BY_NAME, Object, fingerprint, owned_by
from tidegate_operator.kube.store import Reference, Store, reference_of

_NEVER = "1"
"""A resourceVersion that no object has: an apply that carries it makes the object, or is a Conflict if it is there."""
_AUTOSCALERS = "kube-controller-manager"
"""The field manager by which HPAs set replicas."""


class NotOwned(errors.OperatorError):
    """An object of the name that a child should have is there already, and belongs to someone else."""


class Quarrel(NamedTuple):
    """Fields of a child that somebody else goes on setting; left as they are, unless all is quiet `until` then."""

    told: str
    """Which fields, and who sets them."""
    until: datetime


class _Applied(NamedTuple):
    """A manifest as it was applied last, and the object after it, by their digests."""

    manifest: str
    version: str
    live: str


class _Sent(NamedTuple):
    """What came of an apply."""

    answer: Object | None
    """The object after it; None if it was left as it is."""
    set_back: str | None = None
    """Which fields were taken back from whom."""


class _Contested(NamedTuple):
    """A contest, and what to tell of it."""

    contest: Contest
    told: str


class Applier:
    """Applies manifests through `cluster` and takes the answers into `store`."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._applied: defaultdict[Reference, dict[str, _Applied]] = defaultdict(dict)
        self._contests: dict[Reference, _Contested] = {}

    async def apply(self, manifest: Object, manager: str, owner_uid: str, now: datetime) -> str | None:
        """Bring an object to what `manifest` declares, as field manager `manager`.

        Returns which fields somebody else had set and were set back, for people; None where there were none. Those that
        are set again and again are left for a while, and `quarrel` tells.

        Nothing is sent while the object is as it was after the same manifest was applied last. An apply carries the
        resourceVersion of the object that is known, or one that none has: who looks at an older one gets a Conflict, so
        that a controller that no longer leads can't undo what its successor did, and nobody's object is taken over
        unseen. Raises NotOwned, or what the API server refuses.
        """
        if self.stands(manifest, manager, owner_uid):
            return None
        reference = reference_of(manifest)
        live = self._store.get(reference)
        if live is not None:
            _check_owner(reference, live, owner_uid)
        try:
            sent = await self._send(reference, _sent(manifest, live, manager), manager, now)
        except errors.Conflict:
            if live is not None:
                raise
            # Someone's, which the watches don't tell of since it isn't labelled as ours; or ours, made a moment ago.
            found = await self._cluster.get(_path(reference))
            _check_owner(reference, found, owner_uid)
            self._store.put(found)
            if self.stands(manifest, manager, owner_uid):
                return None
            sent = await self._send(reference, _sent(manifest, found, manager), manager, now)
        if (answer := sent.answer) is not None:
            self._store.put(answer)
            self._remember(reference, manager, _Applied(_digest(manifest), _version(answer), fingerprint(answer)), live)
        return sent.set_back

    async def _send(self, reference: Reference, manifest: Object, manager: str, now: datetime) -> _Sent:
        try:
            return _Sent(await self._cluster.apply(_path(reference), manifest, manager, force=False))
        except errors.FieldsHeld as held:
            if manifest["metadata"]["resourceVersion"] == _NEVER:
                raise
            if {holder for _, holder in held.held} == {_AUTOSCALERS}:
                # The HPA that is no longer there had set the replicas, as it should.
                return _Sent(await self._cluster.apply(_path(reference), manifest, manager))
            told = contest.told(f"{reference.kind} {reference.name}", held.held)
        before = self._contests.get(reference)
        following = contest.set_back(before.contest if before else None, now)
        if following is None:
            return _Sent(None)
        answer = await self._cluster.apply(_path(reference), manifest, manager)
        self._contests[reference] = _Contested(following, told)
        return _Sent(answer, told)

    def quarrel(self, reference: Reference, now: datetime) -> Quarrel | None:
        """Who goes on setting fields of an object that we declare; None if nobody does."""
        found = self._contests.get(reference)
        if found is None or found.contest.times < 2 or now >= found.contest.until:
            return None
        return Quarrel(found.told, found.contest.until)

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
        last, digest = self._applied[reference].get(manager), _digest(manifest)
        if last is None:
            # Of an earlier process. What it applied it told; whether somebody has changed it since is to be seen.
            if _told(live) != digest or not contains(live, manifest):
                return False
            last = self._applied[reference][manager] = _Applied(digest, _version(live), fingerprint(live))
        if last.manifest != digest:
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
        self._contests.pop(reference, None)


def _digest(manifest: Object) -> str:
    # In the order in which it was built: the same decision builds the same bytes.
    return hashlib.sha256(to_json(manifest)).hexdigest()


def _told(live: Object) -> str | None:
    """The digest of what was applied last, as the object tells it."""
    digest: str | None = (live["metadata"].get("annotations") or {}).get(naming.APPLIED_ANNOTATION)
    return digest


def _check_owner(reference: Reference, live: Object, owner_uid: str) -> None:
    if not owned_by(live, owner_uid):
        raise NotOwned(
            f"{reference.kind} {reference.name} exists and isn't owned by this InferenceService:"
            " rename one of them, or delete it if it is a leftover"
        )


def _path(reference: Reference) -> str:
    return BY_NAME[reference.kind].path(reference.namespace, reference.name)


def _sent(manifest: Object, live: Object | None, manager: str) -> dict[str, Any]:
    """`manifest` for the version of the object that is known, or for none, and telling what it is."""
    metadata = {**manifest["metadata"], "resourceVersion": _NEVER if live is None else _version(live)}
    # Whoever declares replicas alone shares the object with who declares the rest, and one annotation tells of one.
    if manager != naming.REPLICAS_MANAGER:
        annotations = metadata.get("annotations", {})
        metadata["annotations"] = {**annotations, naming.APPLIED_ANNOTATION: _digest(manifest)}
    return {**manifest, "metadata": metadata}


def _version(item: Object) -> str:
    version: str = item["metadata"]["resourceVersion"]
    return version
