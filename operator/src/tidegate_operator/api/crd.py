"""The CustomResourceDefinition, made from the models: `python -m tidegate_operator.api.crd > crds/…yaml`."""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from tidegate_operator import naming
from tidegate_operator.api.schema import ApiModel, rules
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import InferenceServiceStatus

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Stable", "string", ".status.stable.revision", 0),
    ("Canary", "string", ".status.canary.revision", 0),
    ("Weight", "integer", ".status.canary.weight", 0),
    ("Phase", "string", ".status.rollout.phase", 0),
    ("URL", "string", ".status.url", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
)


UNSEEN = {"observedGeneration": -1}
"""The status of an object that the controller hasn't seen. The API server drops what a creator says of the status, then
fills in defaults; without a status kstatus takes an object for current, with one of another generation it doesn't."""


def custom_resource_definition() -> dict[str, Any]:
    """The CRD as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{naming.PLURAL}.{naming.GROUP}",
            # Uninstalling the chart must not delete every InferenceService.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": naming.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": naming.KIND,
                "listKind": f"{naming.KIND}List",
                "plural": naming.PLURAL,
                "singular": naming.KIND.lower(),
                "shortNames": ["isv"],
                "categories": ["all"],
            },
            "versions": [_version()],
        },
    }


def structural(model: type[ApiModel]) -> dict[str, Any]:
    """A model's schema as Kubernetes wants it: no references, no titles, optional rather than nullable."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    resolved = _resolve(schema, definitions)
    assert isinstance(resolved, dict)
    return resolved


def _version() -> dict[str, Any]:
    name_rules = rules(
        (
            "self.metadata.name.size() <= 45",
            "metadata.name must have at most 45 characters: revisions append to it and 63 is a Service's limit",
        ),
        (
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be a DNS label that starts with a letter: a Service carries it",
        ),
    )
    return {
        "name": naming.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "priority": priority}
            for name, kind, path, priority in _COLUMNS
        ],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "A model, served with a latency promise.",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": structural(InferenceServiceSpec),
                    "status": {**structural(InferenceServiceStatus), "default": UNSEEN},
                },
                **name_rules,
            }
        },
    }


def _resolve(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "properties" in node:
        properties = {name: _resolve(schema, definitions) for name, schema in node["properties"].items()}
        rest = {key: value for key, value in node.items() if key != "properties"}
        return {**_resolve(rest, definitions), "properties": properties}
    if "x-kubernetes-int-or-string" not in node and "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        assert len(choices) == 1, f"a structural schema has one type a field: {node}"
        node = {**choices[0], **{key: value for key, value in node.items() if key not in ("anyOf", "default")}}
        return _resolve(node, definitions)
    if "const" in node:
        node = {"enum": [node["const"]], **{key: value for key, value in node.items() if key != "const"}}
    # That no other field may come is for Kubernetes to say, which prunes; the type of a map's values is ours.
    return {
        key: _without_nulls(value) if key == "default" else _resolve(value, definitions)
        for key, value in node.items()
        if key != "title" and not (key == "additionalProperties" and isinstance(value, bool))
    }


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def to_yaml() -> str:
    """The CRD as the file in `crds/` has it."""
    text: str = yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120)
    return "# Made from operator/src/tidegate_operator/api by `make crds`; edit there.\n" + text


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
