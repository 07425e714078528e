"""How many more pods a ResourceQuota lets in."""

import math
from collections.abc import Callable

from tidegate_operator.fit import Object, Room
from tidegate_operator.fit.requests import limits, requests
from tidegate_operator.quantities import number, told

_PLAIN = {"cpu": "requests.cpu", "memory": "requests.memory", "ephemeral-storage": "requests.ephemeral-storage"}


def within(quota: Object, pod: Object) -> Room | None:
    """How many more pods `quota` lets in; None if it doesn't count them, or doesn't count what they ask for."""
    if not _counts(quota, pod):
        return None
    wanted = {
        **{f"requests.{name}": amount for name, amount in requests(pod).items()},
        **{f"limits.{name}": amount for name, amount in limits(pod).items()},
        "pods": number(1),
        "count/pods": number(1),
    }
    hard = quota.get("status", {}).get("hard", {})
    used = quota.get("status", {}).get("used", {})
    rooms = []
    for name, quantity in hard.items():
        amount = wanted.get(_PLAIN.get(name, name))
        if not amount:
            continue
        most, taken = number(quantity), number(used.get(name, 0))
        state = f"{told(name, taken)} of {told(name, most)} {name} in use, one more pod takes {told(name, amount)}"
        rooms.append(Room(max(0, math.floor((most - taken) / amount)), state))
    count = min((room.pods for room in rooms), default=None)
    if count is None:
        return None
    spent = ", ".join(room.message for room in rooms if not room.pods)
    return Room(count, f"quota {quota['metadata']['name']}: {spent}" if spent else "")


def _counts(quota: Object, pod: Object) -> bool:
    spec = quota.get("spec", {})
    scopes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes", [])]
    return all(_matches(scope, pod) for scope in (*scopes, *spec.get("scopeSelector", {}).get("matchExpressions", [])))


def _matches(scope: Object, pod: Object) -> bool:
    if scope["scopeName"] != "PriorityClass":
        # Tidegate's pods ask for something, have no deadline, and know no affinity.
        return scope["scopeName"] in ("NotBestEffort", "NotTerminating")
    name = pod.get("priorityClassName")
    operators: dict[str, Callable[[], bool]] = {
        "Exists": lambda: name is not None,
        "DoesNotExist": lambda: name is None,
        "In": lambda: name in scope["values"],
        "NotIn": lambda: name not in scope["values"],
    }
    return operators[scope["operator"]]()
