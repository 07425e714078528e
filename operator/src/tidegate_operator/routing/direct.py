"""No proxy, and exact shares: callers come to the pods of stable, which hand the canary's requests over to its pods."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate_operator import naming
from tidegate_operator.desired import Manifest
from tidegate_operator.desired.entrance import direct_service
from tidegate_operator.evidence.handover import Share, counts_of, share_of
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.install import Install
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import POD, Object
from tidegate_operator.kube.store import Key, Reference, Store
from tidegate_operator.observed import Failure, is_ready
from tidegate_operator.process.pages import Fetch
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing.asking import Pod, ask, known
from tidegate_operator.routing.endpoints import pending
from tidegate_operator.routing.provider import Outlook, Subject


class Direct:
    """`Provider` by a Service that leads to stable's pods, and what those tell over their administration port.

    What they hand over they are told by `xds`, which reads it from statuses as it does for the routers.
    """

    def __init__(self, install: Install, store: Store, cluster: Cluster, fetch: Fetch) -> None:
        self._install = install
        self._store = store
        self._cluster = cluster
        self._fetch = fetch

    def host(self, subject: Subject) -> str:
        """See `Provider.host`."""
        metadata = subject.live["metadata"]
        service = naming.direct_service(metadata["name"])
        return f"{service}.{metadata['namespace']}.svc.{self._install.cluster_domain}"

    def manifests(self, subject: Subject, state: RolloutState, *, canary_ready: bool) -> tuple[Manifest, ...]:
        """See `Provider.manifests`: a promotion changes the selector, and with it where new connections go."""
        return (direct_service(subject.live, state.stable, grpc=subject.spec.routing.grpc),)

    async def outlook(self, subject: Subject, revisions: Iterable[str]) -> Outlook:
        """See `Provider.outlook`: where requests reach a canary by stable's pods, those have to reach it."""
        metadata, status = subject.live["metadata"], subject.live.get("status") or {}
        name, names = naming.direct_service(metadata["name"]), tuple(revisions)
        if (failure := await pending(self._cluster, subject, "Direct", name)) is not None:
            return Outlook(dict.fromkeys(names, False), failure)
        stable, canary = ((status.get(role) or {}).get("revision") for role in ("stable", "canary"))
        if stable is None:
            return Outlook(dict.fromkeys(names))
        if stable not in names or _takes_over_at_once(status):
            # Its Service is to lead to the other's pods: what becomes of requests there, nobody else has to tell.
            return Outlook(dict.fromkeys(names, True))
        routable = {revision: True if revision == stable else None for revision in names}
        coming = _is_coming(status)
        if canary not in names and not coming:
            return Outlook(routable)
        pods = self._ready(Key(metadata["namespace"], metadata["name"]), stable)
        told = await ask(self._fetch, pods, share_of)
        if pods and not any(pod.tells for pod in pods):
            obstacle = _serves_itself(stable)
            return Outlook(_but(routable, canary, False), canary_obstacle=obstacle, awaited=_OTHERS.format(stable))
        if told and not any(told.values()):
            obstacle = _cant_hand_over(stable)
            return Outlook(_but(routable, canary, False), canary_obstacle=obstacle, awaited=_ABLE.format(stable))
        heard = len(told) == len(pods) > 0
        if coming and not (heard and all(told.values())):
            # Callers aren't sent to pods of which it isn't known whether they can do what they will have to.
            routable = _but(routable, stable, None)
        reached = _reached(told.values(), canary) if heard else None
        return Outlook(_but(routable, canary, reached), awaited=_REACHING.format(stable, canary))

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]]:
        """See `Provider.calls`: stable's pods count for both, since callers come to nobody else."""
        names = tuple(revisions)
        key = Key(namespace, naming.service_of(names[0]))
        stable = self._stable(key)
        told = await ask(self._fetch, known(self._pods(key, stable)), counts_of)
        return {
            name: {pod.source: counts.own if name == stable else counts.of(name) for pod, counts in told.items()}
            for name in names
        }

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        """See `Provider.accepted`: every ready pod of stable has to say so itself."""
        key = Key(namespace, service)
        stable = self._stable(key)
        wanted = {revision: weight for revision, weight in weights.items() if weight and revision != stable}
        pods = self._ready(key, stable)
        told = await ask(self._fetch, pods, share_of)
        if any((share.percents if share else {}) != wanted for share in told.values()):
            return False
        return True if told and len(told) == len(pods) else None

    def _stable(self, key: Key) -> str | None:
        live = self._store.get(Reference(naming.KIND, key.namespace, key.name)) or {}
        revision: str | None = ((live.get("status") or {}).get("stable") or {}).get("revision")
        return revision

    def _pods(self, key: Key, revision: str | None) -> list[Object]:
        pods = (child for child in self._store.children(key) if child["kind"] == POD.name)
        return [pod for pod in pods if pod["metadata"]["labels"].get(naming.REVISION_LABEL) == revision]

    def _ready(self, key: Key, revision: str | None) -> list[Pod]:
        return known(filter(is_ready, self._pods(key, revision)))


_REACHING = "every pod of {} reaches a ready one of {}"
_OTHERS = "callers come by provider Router: {} is an image of the user's own"
_ABLE = "the pods of {}, which an earlier release made, can hand requests over"


def _takes_over_at_once(status: Mapping[str, Any]) -> bool:
    """Whether the other revision gets all requests or none, as one that is rolled back to."""
    return (status.get("rollout") or {}).get("phase") == "RollingBack"


def _is_coming(status: Mapping[str, Any]) -> bool:
    return (status.get("routing") or {}).get("coming") == "Direct"


def _but(routable: Mapping[str, bool | None], one: str | None, found: bool | None) -> dict[str, bool | None]:
    return {revision: found if revision == one else others for revision, others in routable.items()}


def _reached(shares: Iterable[Share | None], canary: str | None) -> bool | None:
    """Whether stable's pods can hand requests over to the canary's; None while some can, or haven't heard of it.

    A pod that can't answers itself, so what a canary has isn't taken from it because a new pod of stable's is behind.
    """
    reaches = {share.reaches(canary or "") if share else None for share in shares}
    return reaches.pop() if len(reaches) == 1 else None


def _serves_itself(stable: str) -> Failure:
    told = (
        f"{stable} is an image of the user's own, and can't hand requests over to a canary: use provider Router until"
        " another revision is stable"
    )
    return Failure("StableCantHandOver", told)


def _cant_hand_over(stable: str) -> Failure:
    told = (
        f"the pods of {stable} were made by an earlier release and can't hand requests over to a canary: Update it"
        " while callers come by provider Router"
    )
    return Failure("StableCantHandOver", told)
