"""Keeps the adapter reachable through the API server: its identity, whom it trusts, and its APIServices."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from tidegate_operator import errors
from tidegate_operator.adapter.apiservice import owner_reference, register
from tidegate_operator.adapter.frontproxy import Doorway, read_front_proxy
from tidegate_operator.adapter.health import State
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.adapter.names import ADAPTER
from tidegate_operator.adapter.scraper import Clock
from tidegate_operator.adapter.secret import shared_identity
from tidegate_operator.adapter.settings import AdapterSettings
from tidegate_operator.kube.client import Cluster
from tidegate_operator.process.ticks import ticks

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0


class Registration:
    """One install's registration; `doorway` is what the metrics API is to be served through."""

    def __init__(self, cluster: Cluster, settings: AdapterSettings, clock: Clock, doorway: Doorway) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self.doorway = doorway

    @classmethod
    async def prepare(cls, cluster: Cluster, settings: AdapterSettings, clock: Clock) -> Self:
        """A registration with all it takes to serve, and nothing registered yet.

        Raises errors.ApiError, and NoFrontProxy.
        """
        owner = await owner_reference(cluster, settings.owner_cluster_role)
        now = datetime.fromtimestamp(clock(), UTC)
        identity = await shared_identity(cluster, settings.namespace, hosts(settings.namespace), owner, now)
        return cls(cluster, settings, clock, Doorway(identity, await read_front_proxy(cluster)))

    async def run(self, state: State, metrics: AdapterMetrics) -> None:
        """Register, and look every minute whether anything changed, until cancelled. Call it once the port answers."""
        async for _ in ticks(PERIOD_SECONDS):
            try:
                provider = await self.look()
            except errors.ApiError as error:
                logger.warning("metrics API registration not checked", extra={"error": str(error)})
                continue
            if provider is not None and provider != state.provider:
                logger.error(
                    "metrics API belongs to another provider: InferenceServices don't scale by Tidegate's metrics."
                    " Remove its APIServices of custom.metrics.k8s.io, or scale by that provider",
                    extra={"provider": provider},
                )
            state.provider = provider
            metrics.registered(provider is None)

    async def look(self) -> str | None:
        """Renew and register what needs it; the description of the provider that has the group instead of us, if any.

        Raises errors.ApiError.
        """
        namespace = self._settings.namespace
        owner = await owner_reference(self._cluster, self._settings.owner_cluster_role)
        now = datetime.fromtimestamp(self._clock(), UTC)
        identity = await shared_identity(self._cluster, namespace, hosts(namespace), owner, now)
        proxy = await read_front_proxy(self._cluster)
        # First trusted, then served with: a renewed certificate must not meet an API server that doesn't know it.
        provider = await register(self._cluster, namespace, identity.authorities, owner)
        self.doorway.update(identity, proxy)
        return provider


def hosts(namespace: str) -> Sequence[str]:
    """The names under which the adapter is asked; the API server's aggregator uses the first."""
    return (f"{ADAPTER}.{namespace}.svc", f"{ADAPTER}.{namespace}")
