"""How many more pods the nodes hold, and why they hold none."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tidegate_operator.fit import Amounts, Inventory, Object, Room
from tidegate_operator.fit.requests import requests, total
from tidegate_operator.quantities import number, told

_NONE = Fraction(0)
_POD = {"pods": Fraction(1)}


@dataclass(frozen=True)
class _Node:
    offered: Amounts
    used: Amounts
    refusal: str | None
    """Why it takes no such pod, whatever is free on it."""

    def free(self, resource: str) -> Fraction:
        return self.offered.get(resource, _NONE) - self.used.get(resource, _NONE)

    def holds(self, wanted: Amounts) -> int:
        return max(0, min(math.floor(self.free(name) / amount) for name, amount in wanted.items() if amount))


def used_by(pods: Iterable[Object]) -> dict[str, Amounts]:
    """What `pods` ask for, by the node that they are on; those without a node, and those that ended, take nothing."""
    placed: dict[str, list[Amounts]] = {}
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            placed.setdefault(name, []).append({**requests(pod["spec"]), **_POD})
    return {name: total(asked) for name, asked in placed.items()}


def on_nodes(pod: Object, inventory: Inventory) -> Room:
    """How many more pods with the spec `pod` the nodes hold."""
    seen = [_seen(node, inventory.used.get(node["metadata"]["name"], {}), pod) for node in inventory.nodes]
    fitting = [node for node in seen if node.refusal is None]
    wanted = {**requests(pod), **_POD}
    count = sum(node.holds(wanted) for node in fitting)
    return Room(count, "" if count else _missing(seen, fitting, wanted))


def _seen(node: Object, used: Amounts, pod: Object) -> _Node:
    offered = node.get("status", {}).get("allocatable", {})
    return _Node({name: number(quantity) for name, quantity in offered.items()}, used, _refusal(node, pod))


def _refusal(node: Object, pod: Object) -> str | None:
    spec, labels = node.get("spec", {}), node["metadata"].get("labels", {})
    if spec.get("unschedulable"):
        return "cordoned"
    for key, value in pod.get("nodeSelector", {}).items():
        if labels.get(key) != value:
            return f"without the label {key}={value}"
    for taint in spec.get("taints", []):
        hard = taint["effect"] in ("NoSchedule", "NoExecute")
        if hard and not any(_tolerates(toleration, taint) for toleration in pod.get("tolerations", [])):
            return f"with the taint {taint['key']}={taint.get('value', '')}:{taint['effect']}"
    return None


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("key", taint["key"]) != taint["key"] or toleration.get("effect") not in (None, taint["effect"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _missing(nodes: Sequence[_Node], fitting: Sequence[_Node], wanted: Amounts) -> str:
    refusals = Counter(node.refusal for node in nodes if node.refusal is not None)
    refused = ", ".join(f"{count} {why}" for why, count in sorted(refusals.items()))
    if not fitting:
        return f"no node takes the pod: {refused or 'there is none'}"
    lacking = {name: amount for name, amount in wanted.items() if all(node.free(name) < amount for node in fitting)}
    if lacking:
        told_of = " and ".join(_lack(name, amount, fitting) for name, amount in lacking.items())
    else:
        parts = [f"{told(name, amount)} {name}" for name, amount in wanted.items() if name not in _POD]
        told_of = f"no node has free at once {', '.join(parts)}"
    return f"{told_of}; nodes that don't take the pod: {refused}" if refused else told_of


def _lack(name: str, amount: Fraction, nodes: Sequence[_Node]) -> str:
    offered = total(node.offered for node in nodes).get(name, _NONE)
    if not offered:
        return f"no node offers {name}"
    used = total(node.used for node in nodes).get(name, _NONE)
    place = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    return (
        f"no node has {told(name, amount)} free {name} ({told(name, used)} of {told(name, offered)} in use on {place})"
    )
