"""How many more pods of a revision fit, and what is missing where none does."""

from collections.abc import Iterable

from tidegate_operator.fit import Inventory, Object, Room
from tidegate_operator.fit.nodes import on_nodes
from tidegate_operator.fit.quotas import within


def room(pod: Object, inventory: Inventory, quotas: Iterable[Object] = (), made: int = 0) -> Room:
    """How many pods with the spec `pod` can still get a node.

    `quotas` are the ResourceQuotas of the pod's namespace, as the API server has them. They count `made` of these pods
    already: those that are there and wait for a node. The message names each resource that is missing, what is in use,
    and where.
    """
    by_quota = [found for quota in quotas if (found := within(quota, pod))]
    limits = [on_nodes(pod, inventory), *(Room(found.pods + made, found.message) for found in by_quota)]
    count = min(limit.pods for limit in limits)
    return Room(count, "" if count else "; ".join(limit.message for limit in limits if not limit.pods))
