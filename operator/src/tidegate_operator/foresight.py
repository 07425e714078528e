"""Whether the pods that a pass has decided on will find a place."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from tidegate_operator import errors, naming
from tidegate_operator.desired.pod import pod_template
from tidegate_operator.fit import Inventory, Object
from tidegate_operator.fit.forecast import PLACED, Forecast, Wanted, forecast, heard_of
from tidegate_operator.install import Install
from tidegate_operator.kube.census import KEPT_SECONDS, LONG_KEPT_SECONDS
from tidegate_operator.kube.objects import POD
from tidegate_operator.observed import PODS_REFUSED, Workload
from tidegate_operator.rollout.capacity import Bounds
from tidegate_operator.service import Service

_UNSEEN = "this install is for some namespaces alone, and doesn't see the cluster's nodes"


class Census(Protocol):
    """What the cluster has; `kube.census.Census` lists it."""

    async def inventory(self, kept_seconds: float = ...) -> Inventory:
        """The nodes, and what is asked of each, at most so old. Raises `errors.ApiError`."""

    async def quotas(self, namespace: str, kept_seconds: float = ...) -> Sequence[Object]:
        """The namespace's ResourceQuotas, at most so old. Raises `errors.ApiError`."""


class Foresight:
    """Looks ahead by `census`; None where the install may not see nodes."""

    def __init__(self, census: Census | None, install: Install) -> None:
        self._census = census
        self._install = install

    async def forecast(
        self, service: Service, bounds: Mapping[str, Bounds], workloads: Mapping[str, Workload]
    ) -> Forecast:
        """Whether the pods of `bounds`, and what HPAs have asked for, will get nodes.

        Nobody is asked where all of them have one.
        """
        wanted = tuple(_wanted(service, bounds, workloads, self._install))
        if not wanted:
            return PLACED
        if self._census is None:
            return Forecast(None, _UNSEEN, told=True)
        namespace = service.key.namespace
        try:
            if heard_of(wanted):
                # Old news that they don't fit does: when they do, a watch tells. That they fit has to be new.
                old = await _look(self._census, wanted, namespace, LONG_KEPT_SECONDS)
                if old.fits is False:
                    return old
            return await _look(self._census, wanted, namespace, KEPT_SECONDS)
        except errors.ApiError as error:
            return Forecast(None, f"nodes, pods or quotas can't be listed: {error}")


async def _look(census: Census, wanted: Sequence[Wanted], namespace: str, kept_seconds: float) -> Forecast:
    """Whether `wanted` fit, by what is at most so old."""
    inventory = await census.inventory(kept_seconds)
    return forecast(wanted, inventory, await census.quotas(namespace, kept_seconds))


def _wanted(
    service: Service, bounds: Mapping[str, Bounds], workloads: Mapping[str, Workload], install: Install
) -> Iterable[Wanted]:
    for name, limits in bounds.items():
        workload = workloads.get(name, Workload(name))
        placed = [_placed(child) for child in service.owned if _is_pod_of(child, name)]
        missing = max(limits.low, workload.wanted) - max(workload.ready, sum(placed))
        if missing > 0 and (pod := _pod(service, name, install)) is not None:
            made = placed.count(False)
            # Of pods that the API server refuses, as a quota has it do, nobody hears until it takes them.
            refused = workload.failure is not None and workload.failure.reason == PODS_REFUSED
            asked = 0 if refused else max(0, workload.wanted - len(placed))
            yield Wanted(name, pod, missing, min(missing, made), min(missing, made + asked))


def _pod(service: Service, revision: str, install: Install) -> Object | None:
    record = service.records.get(revision)
    if record is None and revision != service.revision.name:
        return None  # Somebody deleted its record: what its pods are can't be told.
    name, spec = service.key.name, service.filled or service.spec
    template = record["data"]["template"] if record else pod_template(name, revision, spec, install)
    pod: Object = template["spec"]
    return pod


def _is_pod_of(child: Object, revision: str) -> bool:
    metadata = child["metadata"]
    mine = metadata.get("labels", {}).get(naming.REVISION_LABEL) == revision
    return child["kind"] == POD.name and mine and "deletionTimestamp" not in metadata


def _placed(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(found["type"] == "PodScheduled" and found["status"] == "True" for found in conditions)
