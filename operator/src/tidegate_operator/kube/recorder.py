"""Kubernetes Events about an InferenceService."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from tidegate_operator import errors, naming
from tidegate_operator.events import Event
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import Object

logger = logging.getLogger(__name__)


class Recorder:
    """Writes Events; one that can't be written is logged, and stops nothing."""

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._clock = clock

    async def record_all(self, about: Object, events: Iterable[Event]) -> None:
        """Write events about an InferenceService into its namespace, in their order."""
        for event in events:
            await self.record(about, event)

    async def record(self, about: Object, event: Event) -> None:
        """Write one event."""
        metadata, now = about["metadata"], self._clock().isoformat().replace("+00:00", "Z")
        manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": naming.API_VERSION,
                "kind": naming.KIND,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message[:1024],
            "source": {"component": naming.MANAGER},
            "reportingComponent": naming.MANAGER,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._cluster.create(f"/api/v1/namespaces/{metadata['namespace']}/events", manifest)
        except errors.ApiError as error:
            logger.warning("an event was not written", extra={"reason": event.reason, "error": str(error)})
