"""The bundled Envoy: an entrance that leads every service to it, and its own view of which pods are healthy."""

import asyncio
import logging
from collections.abc import Iterable

import aiohttp

from tidegate_operator import naming
from tidegate_operator.desired import Manifest, Owner, metadata
from tidegate_operator.install import Install
from tidegate_operator.kube.objects import ENDPOINT_SLICE, Object
from tidegate_operator.kube.store import Store

logger = logging.getLogger(__name__)

FRESH_SECONDS = 0.5
"""How long one look at the routers serves all services that ask."""

_TIMEOUT = aiohttp.ClientTimeout(total=2)
_HEALTHY_STAT = "membership_healthy"

View = dict[str, int]
"""Healthy pods by `<namespace>/<revision>`, as one router sees them."""


class Router:
    """`Provider` by the router's pods, which are asked over their administration port."""

    def __init__(self, install: Install, store: Store, session: aiohttp.ClientSession) -> None:
        self._install = install
        self._store = store
        self._session = session
        self._views: asyncio.Future[list[View]] | None = None
        self._looked_at = 0.0

    def entrance(self, owner: Owner) -> tuple[Manifest, ...]:
        """See `Provider.entrance`."""
        host = f"{naming.ROUTER_SERVICE}.{self._install.namespace}.svc.{self._install.cluster_domain}"
        return (
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata.of_service(owner),
                "spec": {
                    "type": "ExternalName",
                    "externalName": host,
                    "ports": [{"name": "http", "port": 80}],
                },
            },
        )

    async def routable(self, namespace: str, revisions: Iterable[str]) -> dict[str, bool | None]:
        """See `Provider.routable`: every ready router has to see a healthy pod."""
        views = await self._look()
        return {revision: healthy_everywhere(views, f"{namespace}/{revision}") for revision in revisions}

    async def _look(self) -> list[View]:
        loop = asyncio.get_running_loop()
        if self._views is None or loop.time() - self._looked_at > FRESH_SECONDS:
            self._looked_at = loop.time()
            self._views = asyncio.ensure_future(self._ask_all())
        return await asyncio.shield(self._views)

    async def _ask_all(self) -> list[View]:
        slices = self._store.of_kind(ENDPOINT_SLICE.name)
        addresses = sorted(router_addresses(slices, self._install.namespace))
        answers = await asyncio.gather(*(self._ask(address) for address in addresses), return_exceptions=True)
        views = []
        for address, answer in zip(addresses, answers, strict=True):
            match answer:
                case aiohttp.ClientError() | TimeoutError() | ValueError():
                    # Nothing is known then: a router that doesn't answer us may well answer callers.
                    why = str(answer) or type(answer).__name__
                    logger.warning("a router can't be asked", extra={"address": address, "error": why})
                    return []
                case BaseException():
                    raise answer
                case view:
                    views.append(view)
        return views

    async def _ask(self, address: str) -> View:
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{naming.ADMIN_PORT}/stats"
        query = {"format": "json", "type": "Gauges", "filter": f"{_HEALTHY_STAT}$"}
        async with self._session.get(url, params=query, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            return view_of(await response.json(content_type=None))


def healthy_everywhere(views: list[View], cluster: str) -> bool | None:
    """Whether every view has a healthy pod of `cluster`; None if there is no view."""
    return all(view.get(cluster, 0) > 0 for view in views) if views else None


def router_addresses(slices: Iterable[Object], namespace: str) -> set[str]:
    """The addresses of the ready router pods in `namespace`."""
    return {
        endpoint["addresses"][0]
        for found in slices
        if found["metadata"]["namespace"] == namespace
        for endpoint in found.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready")
    }


def view_of(stats: Object) -> View:
    """Healthy pods by `<namespace>/<revision>` from Envoy's `/stats?format=json`; ValueError if it isn't that."""
    prefix, suffix = "cluster.", f"/pods.{_HEALTHY_STAT}"
    try:
        return {
            stat["name"].removeprefix(prefix).removesuffix(suffix): stat["value"]
            for stat in stats["stats"]
            if stat.get("name", "").startswith(prefix) and stat["name"].endswith(suffix)
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no statistics of Envoy: {error!r}") from error
