"""What a pod asks of its node, as the scheduler and quotas count it."""

from collections.abc import Iterable
from fractions import Fraction

from tidegate_operator.fit import Amounts, Object
from tidegate_operator.quantities import number


def requests(pod: Object) -> dict[str, Fraction]:
    """The requests of a pod by its `spec`."""
    return _of_pod(pod, "requests")


def limits(pod: Object) -> dict[str, Fraction]:
    """The limits of a pod by its `spec`."""
    return _of_pod(pod, "limits")


def total(amounts: Iterable[Amounts]) -> dict[str, Fraction]:
    """The sum, resource by resource."""
    found: dict[str, Fraction] = {}
    for each in amounts:
        for name, amount in each.items():
            found[name] = found.get(name, Fraction(0)) + amount
    return found


def _of_pod(pod: Object, side: str) -> dict[str, Fraction]:
    """All containers together, or an init container with the sidecars before it where that is more, and overhead."""
    beside: dict[str, Fraction] = {}
    most: dict[str, Fraction] = {}
    for container in pod.get("initContainers", []):
        asked = _of(container.get("resources", {}), side)
        if container.get("restartPolicy") == "Always":
            beside = total([beside, asked])
        else:
            most = _greater(most, total([beside, asked]))
    together = total([beside, *(_of(container.get("resources", {}), side) for container in pod["containers"])])
    overhead = {name: number(quantity) for name, quantity in pod.get("overhead", {}).items()}
    # What is said of the pod as a whole goes before what its containers say.
    return total([{**_greater(most, together), **_of(pod.get("resources", {}), side)}, overhead])


def _of(resources: Object, side: str) -> dict[str, Fraction]:
    return {name: number(quantity) for name, quantity in resources.get(side, {}).items()}


def _greater(one: Amounts, other: Amounts) -> dict[str, Fraction]:
    return {name: max(one.get(name, Fraction(0)), other.get(name, Fraction(0))) for name in {**one, **other}}
