"""How many more pods of a revision fit, and what is missing where none does."""

from collections.abc import Iterable

from tidegate_operator.fit import Object, Room
from tidegate_operator.fit.nodes import on_nodes
from tidegate_operator.fit.quotas import within


def room(pod: Object, nodes: Iterable[Object], pods: Iterable[Object], quotas: Iterable[Object] = ()) -> Room:
    """How many more pods with the spec `pod` fit.

    `nodes` and `pods` are those of the whole cluster and `quotas` the ResourceQuotas of the pod's namespace, as the
    API server has them. The message names each resource that is missing, what is in use, and where.
    """
    limits = [on_nodes(pod, nodes, pods), *(found for quota in quotas if (found := within(quota, pod)))]
    count = min(limit.pods for limit in limits)
    return Room(count, "" if count else "; ".join(limit.message for limit in limits if not limit.pods))
