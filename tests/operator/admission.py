"""The API server's answer to an InferenceService, by the CRD's schema and its CEL rules, as far as ours uses them.

`tests/e2e/test_bad_input.py` holds the same tables against a real one.
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tidegate_operator.api.crd import custom_resource_definition

from . import cel

Schema = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_SIZES = {
    "string": ("minLength", "maxLength", "Too long"),
    "array": ("minItems", "maxItems", "Too many"),
    "object": ("minProperties", "maxProperties", "Too many"),
}


def schema() -> Schema:
    """The schema of the version that is stored."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


SCHEMA = schema()


def refusals(spec: Any, name: str = "churn") -> list[str]:
    """Why an InferenceService with `spec` is refused, a line each; none if it is taken.

    As in the API server, rules are looked at only where the schema holds, and after defaults were filled in.
    """
    item = defaulted(SCHEMA, {"metadata": {"name": name}, "spec": spec})
    return list(_structure(SCHEMA, item, "")) or list(_broken(SCHEMA, item, ""))


def defaulted(node: Schema, value: Any) -> Any:
    """`value` with the schema's defaults where it says nothing."""
    if isinstance(value, list):
        return [defaulted(node.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        # To rules a number is a fraction, though it was written without one.
        return float(value) if node.get("type") == "number" and type(value) is int else value
    known = node.get("properties", {})
    missing = {key: deepcopy(child["default"]) for key, child in known.items() if "default" in child}
    return {key: defaulted(known.get(key, {}), item) for key, item in {**missing, **value}.items()}


def _structure(node: Schema, value: Any, path: str) -> Iterator[str]:
    kind = node.get("type")
    if kind is None:
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield f"{path}: Invalid value: must be a number or a string"
        return
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{path}: Invalid value: must be of type {kind}"
        return
    yield from _bounds(node, value, path)
    if isinstance(value, list):
        yield from _duplicates(node, value, path)
    if path == "metadata":
        return
    if isinstance(value, dict):
        yield from (f"{_at(path, key)}: Required value" for key in node.get("required", []) if key not in value)
        if "additionalProperties" not in node:
            unknown = [key for key in value if key not in node.get("properties", {})]
            yield from (f'unknown field "{_at(path, key)}"' for key in unknown)
    for place, child, item in _children(node, value, path):
        yield from _structure(child, item, place)


def _bounds(node: Schema, value: Any, path: str) -> Iterator[str]:
    if "enum" in node and value not in node["enum"]:
        yield f'{path}: Unsupported value: "{value}"'
    if "pattern" in node and not re.search(node["pattern"].replace("$", r"\Z"), value):
        yield f"{path}: Invalid value: should match {node['pattern']}"
    if isinstance(value, int | float) and not node.get("minimum", value) <= value <= node.get("maximum", value):
        yield f"{path}: Invalid value: must be from {node.get('minimum')} to {node.get('maximum')}"
    if sizes := _SIZES.get(node["type"]):
        least, most, too_much = sizes
        if len(value) < node.get(least, 0):
            yield f"{path}: Invalid value: must have at least {node[least]}"
        if len(value) > node.get(most, len(value)):
            yield f"{path}: {too_much}: must have at most {node[most]}"


def _duplicates(node: Schema, value: list[Any], path: str) -> Iterator[str]:
    kind = node.get("x-kubernetes-list-type", "atomic")
    keys = node.get("x-kubernetes-list-map-keys", [])
    told = [item if kind == "set" else [item.get(key) for key in keys] for item in value] if kind != "atomic" else []
    yield from (f"{path}[{at}]: Duplicate value" for at, item in enumerate(told) if item in told[:at])


def _broken(node: Schema, value: Any, path: str) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", []):
        # Rules of change can't be broken by an object that is new.
        if "oldSelf" not in rule["rule"] and not cel.holds(rule["rule"], value):
            yield f"{path}: Invalid value: {rule['message']}"
    for place, child, item in _children(node, value, path):
        yield from _broken(child, item, place)


def _children(node: Schema, value: Any, path: str) -> Iterator[tuple[str, Schema, Any]]:
    if isinstance(value, list):
        yield from ((f"{path}[{at}]", node["items"], item) for at, item in enumerate(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            child = node.get("properties", {}).get(key) or node.get("additionalProperties")
            if child:
                yield _at(path, key), child, item


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
