"""No proxy at all: a Service that leads to the pods, and a share that follows how many of them a revision has."""

from collections.abc import Iterable, Mapping

from tidegate_operator import naming
from tidegate_operator.desired import Manifest
from tidegate_operator.desired.entrance import pods_service
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.install import Install
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import POD
from tidegate_operator.kube.store import Key, Store
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing.endpoints import pending
from tidegate_operator.routing.provider import Outlook, Subject


class PlainService:
    """`Provider` by a Service of the cluster's own, whose selector is all there is to say."""

    def __init__(self, install: Install, store: Store, cluster: Cluster) -> None:
        self._install = install
        self._store = store
        self._cluster = cluster

    def host(self, subject: Subject) -> str:
        """See `Provider.host`."""
        metadata = subject.live["metadata"]
        service = naming.pods_service(metadata["name"])
        return f"{service}.{metadata['namespace']}.svc.{self._install.cluster_domain}"

    def manifests(self, subject: Subject, state: RolloutState, *, canary_ready: bool) -> tuple[Manifest, ...]:
        """See `Provider.manifests`."""
        return (pods_service(subject.live, state, grpc=subject.spec.routing.grpc),)

    async def outlook(self, subject: Subject, revisions: Iterable[str]) -> Outlook:
        """See `Provider.outlook`: a revision that isn't stable waits until no third one has pods.

        While two share the requests the selector names none, and would lead to the third as well.
        """
        metadata, status = subject.live["metadata"], subject.live.get("status") or {}
        name = naming.pods_service(metadata["name"])
        if (failure := await pending(self._cluster, subject, "Service", name)) is not None:
            return Outlook(dict.fromkeys(revisions, False), failure)
        stable, canary = ((status.get(role) or {}).get("revision") for role in ("stable", "canary"))
        third = _with_pods(self._store, Key(metadata["namespace"], metadata["name"])) - {stable, canary}
        routable = {revision: revision == stable or not third - {revision} for revision in revisions}
        left = f"the pods of {', '.join(sorted(third))} are gone, which a Service can't leave out"
        return Outlook(routable, awaited=left if third else None)

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]] | None:
        """See `Provider.calls`: nobody counts but the pods."""
        return None

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        """See `Provider.accepted`: a share that follows pods is nobody's to confirm."""
        return None


def _with_pods(store: Store, key: Key) -> set[str]:
    pods = (child for child in store.children(key) if child["kind"] == POD.name)
    return {pod["metadata"]["labels"].get(naming.REVISION_LABEL, "") for pod in pods}
