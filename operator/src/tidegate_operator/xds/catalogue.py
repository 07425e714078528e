"""What every router is to know now: from objects as they are seen, to one versioned answer per xDS type. No I/O.

Each service is rendered when it changes, and each answer put together when a router needs it, so that one change among
thousands of services costs little.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tidegate_operator.errors import InvalidSpec
from tidegate_operator.xds import endpoints, names, service, share
from tidegate_operator.xds.clusters import Resource, service_clusters
from tidegate_operator.xds.listener import listener
from tidegate_operator.xds.observed import Key, Observed
from tidegate_operator.xds.routes import virtual_host
from tidegate_operator.xds.versions import Version, digest

logger = logging.getLogger(__name__)

Manifest = Mapping[str, Any]
Topic = tuple[str, str]
"""An xDS type (`listeners`, `clusters`, `routes`, `endpoints`), and for endpoints the cluster; or `share`, and whose:
`<namespace>/<revision>`."""

LISTENERS: Topic = ("listeners", "")
CLUSTERS: Topic = ("clusters", "")
ROUTES: Topic = ("routes", "")

_ROUTE_CONFIGURATION = {
    "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "name": names.ROUTES,
    # The host that answered says whose it is, so this is true after a fallback as well.
    "response_headers_to_add": [
        {
            "header": {
                "key": names.REVISION_HEADER,
                "value": f"%UPSTREAM_METADATA({names.METADATA}:revision)%",
            },
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ],
}


def _discovery_response(version: Version, resources: Iterable[bytes]) -> bytes:
    return b'{"version_info":"%s","resources":[' % str(version).encode() + b",".join(resources) + b"]}"


@dataclass(frozen=True)
class View:
    """The content of one topic, and the `form` in which it is told."""

    version: Version
    resources: Callable[[], Iterable[bytes]]
    form: Callable[[Version, Iterable[bytes]], bytes] = _discovery_response

    @cached_property
    def body(self) -> bytes:
        """The `DiscoveryResponse`, or the share's document, as JSON."""
        return self.form(self.version, self.resources())


@dataclass(frozen=True)
class _Routed:
    """What routers are told of a service."""

    clusters: dict[str, bytes]
    virtual_host: bytes
    clusters_digest: bytes
    virtual_host_digest: bytes


@dataclass(frozen=True)
class _Rendered:
    """What anybody is told of a service."""

    routed: _Routed | None
    """None: nothing of it, rather than routes and clusters that nobody uses."""
    shares: tuple[share.Share, ...]


class Catalogue:
    """The objects seen, and the views of them. What is seen shows in the views from the next `publish` on.

    `domain` is the cluster's, `external` that of callers from outside, `exposed` whether there are such, `port` where
    the routers listen.
    """

    def __init__(self, domain: str, port: int = names.DATA_PORT, external: str = "", *, exposed: bool = False) -> None:
        self._domain = domain
        self._external = external
        self._exposed = exposed
        self._listener = _json(listener(port))
        self._services: Observed[_Rendered | None] = Observed()
        self._slices: Observed[endpoints.Slice | None] = Observed()
        self._touched: set[Topic] = set()
        self._assignments: dict[str, bytes] = {}
        self._shares: dict[str, bytes] = {}
        self._shares_version = 0
        self._slices_version = 0
        self._views: dict[Topic, View] = {}
        self.publish()

    @property
    def services_version(self) -> int:
        """The resource version up to which InferenceServices are known."""
        return self._services.resource_version

    @property
    def slices_version(self) -> int:
        """The resource version up to which EndpointSlices are known."""
        return self._slices.resource_version

    def see_service(self, manifest: Manifest) -> None:
        """Take note of an InferenceService that was added or changed."""
        key = _key(manifest)
        self._services.see(key, _version(manifest), self._render(key, manifest))

    def lose_service(self, manifest: Manifest) -> None:
        """Take note of an InferenceService that was deleted."""
        self._services.lose(_key(manifest), _version(manifest))

    def list_services(self, listing: Manifest, since: int) -> None:
        """Take over a consistent listing of InferenceServices asked for at `services_version` `since`."""
        found = {_key(item): (_version(item), self._render(_key(item), item)) for item in listing["items"]}
        self._services.reconcile(found, _version(listing), since)

    def see_slice(self, manifest: Manifest) -> None:
        """Take note of an EndpointSlice that was added or changed."""
        key, slice_ = _key(manifest), endpoints.read(manifest)
        self._touch(self._slices.get(key), slice_)
        self._slices.see(key, _version(manifest), slice_)

    def lose_slice(self, manifest: Manifest) -> None:
        """Take note of an EndpointSlice that was deleted."""
        key = _key(manifest)
        self._touch(self._slices.get(key))
        self._slices.lose(key, _version(manifest))

    def list_slices(self, listing: Manifest, since: int) -> None:
        """Take over a consistent listing of EndpointSlices asked for at `slices_version` `since`."""
        before = dict(self._slices)
        found = {_key(item): (_version(item), endpoints.read(item)) for item in listing["items"]}
        for key in self._slices.reconcile(found, _version(listing), since):
            self._touch(before.get(key), self._slices.get(key))

    def publish(self) -> set[Topic]:
        """Show what was seen since the last call; the topics whose content changed."""
        changed = self._publish_services() | self._publish_slices() | self._publish_shares()
        self._touched.clear()
        return changed

    def view(self, topic: Topic) -> View:
        """The published content of a topic; a cluster without EndpointSlices has no endpoints, which is news too."""
        if view := self._views.get(topic):
            return view
        if topic[0] == "share":
            told = self._shares.get(topic[1], share.NOTHING)
            return View(Version(self._shares_version, digest([told])), lambda: [told], share.document)
        body = self._assignments.get(topic[1]) or _empty_assignment(topic[1])
        return View(Version(self._slices_version, digest([body])), lambda: [body])

    def _publish_services(self) -> set[Topic]:
        rendered = [each.routed for _, each in self._services if each and each.routed]
        views = {
            LISTENERS: self._view([self._listener], lambda: [self._listener]),
            CLUSTERS: self._view((each.clusters_digest for each in rendered), lambda: _clusters(rendered)),
            ROUTES: self._view(_route_parts(rendered), lambda: [_routes(rendered)]),
        }
        changed = {topic for topic, view in views.items() if not self._shows(topic, view)}
        self._views = views
        return changed

    def _publish_slices(self) -> set[Topic]:
        by_cluster: defaultdict[str, list[tuple[endpoints.Slice, names.Wire]]] = defaultdict(list)
        for _, slice_ in self._slices if self._touched else ():
            for wire in _wires(slice_) if slice_ else ():
                if slice_ and ("endpoints", name := _cluster(slice_, wire)) in self._touched:
                    by_cluster[name].append((slice_, wire))
        changed = set()
        for topic in self._touched:
            before = self._assignments.pop(topic[1], None)
            if found := by_cluster.get(topic[1]):
                one, wire = found[0]
                told = endpoints.assignment(one.namespace, one.revision, [slice_ for slice_, _ in found], wire)
                self._assignments[topic[1]] = _json(told)
            if before != self._assignments.get(topic[1]):
                changed.add(topic)
        self._slices_version = self._slices.resource_version
        return changed

    def _publish_shares(self) -> set[Topic]:
        """A service whose pods answer all they get, which is nearly every one, costs nothing."""
        told = [one for _, each in self._services if each for one in each.shares]
        slices: defaultdict[tuple[str, str], list[endpoints.Slice]] = defaultdict(list)
        for _, slice_ in self._slices if told else ():
            if slice_:
                slices[slice_.namespace, slice_.revision].append(slice_)
        # Both kinds have a part in it, and their versions are comparable.
        self._shares_version = max(self._services.resource_version, self._slices.resource_version)
        before = self._shares
        self._shares = now = {
            f"{one.namespace}/{one.revision}": share.content(one, slices[one.namespace, one.target or ""])
            for one in told
        }
        return {("share", name) for name in before.keys() | now.keys() if before.get(name) != now.get(name)}

    def _view(self, parts: Iterable[bytes], resources: Callable[[], Iterable[bytes]]) -> View:
        return View(Version(self._services.resource_version, digest(parts)), resources)

    def _shows(self, topic: Topic, view: View) -> bool:
        return topic in self._views and self._views[topic].version.digest == view.version.digest

    def _touch(self, *slices: endpoints.Slice | None) -> None:
        self._touched |= {
            ("endpoints", _cluster(slice_, wire)) for slice_ in slices if slice_ for wire in _wires(slice_)
        }

    def _render(self, key: Key, manifest: Manifest) -> _Rendered | None:
        try:
            read = service.read(manifest)
        except InvalidSpec as error:
            logger.warning("service kept as it was", extra={"service": "/".join(key), "error": str(error)})
            return self._services.get(key)
        if read.unread:
            logger.warning("service routed by weight alone", extra={"service": "/".join(key), "error": read.unread})
        return _Rendered(self._route(read) if read.by_router else None, share.read(manifest, read))

    def _route(self, read: service.RoutedService) -> _Routed:
        clusters = {name: _json(cluster) for name, cluster in service_clusters(read, self._domain).items()}
        host = _json(virtual_host(read, self._domain, self._external, exposed=self._exposed))
        return _Routed(clusters, host, digest(clusters.values()).encode(), digest([host]).encode())


def _clusters(rendered: Iterable[_Routed]) -> Iterable[bytes]:
    """Each cluster once: Envoy refuses the whole update if a name comes twice."""
    return {name: body for each in rendered for name, body in each.clusters.items()}.values()


def _route_parts(rendered: Iterable[_Routed]) -> list[bytes]:
    return [_json(_ROUTE_CONFIGURATION), *(each.virtual_host_digest for each in rendered)]


def _routes(rendered: Iterable[_Routed]) -> bytes:
    head = _json(_ROUTE_CONFIGURATION)[:-1]
    return head + b',"virtual_hosts":[' + b",".join(each.virtual_host for each in rendered) + b"]}"


def _empty_assignment(cluster: str) -> bytes:
    namespace, revision, _ = f"{cluster}//".split("/", 2)
    return _json({**endpoints.assignment(namespace, revision, []), "cluster_name": cluster})


def _wires(slice_: endpoints.Slice) -> tuple[names.Wire, ...]:
    return (names.REST, names.GRPC) if slice_.grpc_port else (names.REST,)


def _cluster(slice_: endpoints.Slice, wire: names.Wire) -> str:
    return names.pods_cluster(slice_.namespace, slice_.revision, wire)


def _key(manifest: Manifest) -> Key:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _version(manifest: Manifest) -> int:
    return int(manifest["metadata"]["resourceVersion"])


def _json(resource: Resource) -> bytes:
    return json.dumps(resource, separators=(",", ":")).encode()
