"""What is kept in memory of objects: only what is read, and each text once."""

from typing import Any

from tidegate_operator.kube.objects import POD, Object

TEXTS = 20_000
"""Texts that are remembered at most; then all are forgotten, and those that still come are remembered anew."""

_texts: dict[str, str] = {}


def kept(item: Object) -> Object:
    """What is kept of an object: not the bookkeeping of field managers, often its larger half, nor what a pod runs.

    Keys and values repeat from object to object, but each JSON text that is read makes them anew: shared, they take
    less than half the memory.
    """
    if len(_texts) > TEXTS:
        _texts.clear()
    left_out = "spec" if item["kind"] == POD.name else None
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    found: Object = _shared({**{key: value for key, value in item.items() if key != left_out}, "metadata": metadata})
    return found


def _shared(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {_texts.setdefault(key, key): _shared(each) for key, each in value.items()}
    if kind is list:
        return [_shared(each) for each in value]
    return _texts.setdefault(value, value) if kind is str else value
