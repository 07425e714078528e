"""A Gateway that is there already: routes of the Gateway API, and what its controller tells of them."""

from collections.abc import Iterable, Mapping

from tidegate_operator import errors, naming
from tidegate_operator.desired import Manifest
from tidegate_operator.desired.routes import API_VERSION, kept, kinds, named, place, routes, shares_of
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.install import Install
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import HTTP_ROUTE, ROUTES, Kind, Object
from tidegate_operator.kube.store import Reference, Store
from tidegate_operator.observed import Failure
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing.acceptance import obstacle, stands
from tidegate_operator.routing.provider import Outlook, Subject

_AWAITED = "the Gateway has accepted the service's routes as they are"


class Gateway:
    """`Provider` by routes at a Gateway. Callers within the cluster, who use the service's own name, go by the router.

    Nothing is watched, since a cluster may get the Gateway API at any time: routes are read when a pass asks.
    """

    def __init__(self, install: Install, store: Store, cluster: Cluster) -> None:
        self._install = install
        self._store = store
        self._cluster = cluster
        self._served: frozenset[str] = frozenset()

    def host(self, subject: Subject) -> str:
        """See `Provider.host`."""
        return naming.router_host(self._install.namespace, self._install.cluster_domain)

    def manifests(self, subject: Subject, state: RolloutState, *, canary_ready: bool) -> tuple[Manifest, ...]:
        """See `Provider.manifests`: of the kinds that the cluster has.

        The spec of a service that leaves its Gateway names none any more, and an install's may have gone: then routes
        stay where they are.
        """
        wanted = routes(subject.live, subject.spec, state, self._install, canary_ready=canary_ready)
        if not named(subject.spec, self._install):
            known = ((route, self._known(route["kind"], subject.live)) for route in wanted)
            wanted = tuple(kept(route, found) for route, found in known if found is not None)
        return tuple(route for route in wanted if route["kind"] in self._served)

    async def outlook(self, subject: Subject, revisions: Iterable[str]) -> Outlook:
        """See `Provider.outlook`: nothing may be raised while a route isn't accepted, and nothing is taken for it."""
        self._served = await self._kinds()
        # Those that aren't wanted, too: one that was is to be removed.
        found = {kind.name: await self._read(kind, subject.live) for kind in ROUTES if kind.name in self._served}
        obstacles = (self._obstacle(kind, found.get(kind), subject) for kind in kinds(subject.spec))
        first = next((each for each in obstacles if each is not None), None)
        return Outlook(dict.fromkeys(revisions, None if first else True), first, _AWAITED)

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]] | None:
        """See `Provider.calls`: a Gateway has no counts that all of its kinds would tell alike."""
        return None

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        """See `Provider.accepted`, by the route as it was read last."""
        route = self._store.get(Reference(HTTP_ROUTE.name, namespace, service))
        if route is None:
            return None
        wanted = {revision: weight for revision, weight in weights.items() if weight}
        return shares_of(route) == wanted and obstacle(route) is None

    async def _kinds(self) -> frozenset[str]:
        # Of a group that isn't there an API server says so in words that aren't JSON: it is looked for in the list.
        groups = (await self._cluster.get("/apis"))["groups"]
        versions = {version["groupVersion"] for group in groups for version in group["versions"]}
        if API_VERSION not in versions:
            return frozenset()
        listed = await self._cluster.get(f"/apis/{API_VERSION}")
        return frozenset(resource["kind"] for resource in listed["resources"])

    def _obstacle(self, kind: str, route: Object | None, subject: Subject) -> Failure | None:
        live, spec = subject.live, subject.spec
        if kind not in self._served:
            told = f"the cluster doesn't serve {kind} of {API_VERSION}: install the Gateway API, or use provider Router"
            return Failure("GatewayApiMissing", told)
        if route is None:
            return Failure("RoutePending", f"{kind} {live['metadata']['name']} is not made yet", passing=True)
        # What was accepted of the spec before says nothing of this one, which the status is about to name.
        if named(spec, self._install) and not stands(route, place(kind, live, spec, self._install)):
            told = f"{kind} {live['metadata']['name']} is still where the spec had it before"
            return Failure("RoutePending", told, passing=True)
        return obstacle(route)

    def _known(self, kind: str, live: Object) -> Object | None:
        return self._store.get(Reference(kind, live["metadata"]["namespace"], live["metadata"]["name"]))

    async def _read(self, kind: Kind, live: Object) -> Object | None:
        """The service's route of a kind, as the store knows it from now on."""
        namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
        try:
            found = await self._cluster.get(kind.path(namespace, name))
        except errors.NotFound:
            if known := self._known(kind.name, live):
                self._store.remove(known)
            return None
        route = {**found, "apiVersion": kind.api_version, "kind": kind.name}
        self._store.put(route)
        return route
