"""docs/spec.md, made from the CRD: every field of the spec with its limits, its default and what it means.

`python -m tidegate_operator.api.page > docs/spec.md`, as `make crds` does.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from tidegate_operator.api import placement_spec, schema
from tidegate_operator.api.crd import structural
from tidegate_operator.api.spec import InferenceServiceSpec

Schema = Mapping[str, Any]

_HEAD = """\
# The spec of an InferenceService

Made from operator/src/tidegate_operator/api by `make crds`; edit there. The API server refuses what doesn't keep to
this page, and names the field; `kubectl` refuses fields that aren't here. Nothing rewrites a spec. A change of `model`,
`runtime`, `resources` or `placement` makes a new revision, which comes by a rollout; other changes act at once.

```yaml
apiVersion: tidegate.dev/v1alpha1
kind: InferenceService
metadata: {name: churn, namespace: ml}
spec:
  model: {uri: pvc://models/churn/v3.onnx}
  runtime:
    timeout: 2s
    environment:
      - {name: OTEL_RESOURCE_ATTRIBUTES, configMap: {name: tracing, key: attributes}}
  resources:
    gpu: {resource: nvidia.com/mig-1g.10gb}
    requests: {cpu: "2", memory: 4Gi}
  placement:
    nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    topologySpread: zone
    runtimeClass: nvidia
  scaling: {minReplicas: 2, maxReplicas: 8, slo: {p95: 120ms}}
```
"""

_WORDS = {
    "a duration above zero such as `120ms`, in `ms`, `s`, `m` or `h`": schema.PositiveDuration,
    "a duration such as `120ms`, in `ms`, `s`, `m` or `h`": schema.Duration,
    "bytes such as `1048576` or `10Mi`": schema.Size,
    "a share such as `0.25%`": schema.Percent,
    "processors such as `500m` or `2`": schema.Cpu,
    "bytes such as `4Gi`": schema.Memory,
    "an object's name": schema.ObjectName,
    "a label's value": placement_spec.LabelValue,
}
_BY_PATTERN = {TypeAdapter(kind).json_schema()["pattern"]: words for words, kind in _WORDS.items()}


def page() -> str:
    """The page's text."""
    spec = structural(InferenceServiceSpec)
    parts = [_HEAD]
    if own := list(_rules("", spec)):
        parts.append("\n".join(own) + "\n")
    for name, section in spec["properties"].items():
        rows = [_row(path, field, required) for path, field, required in _fields(section)]
        table = ["| field | takes | default | meaning |", "| --- | --- | --- | --- |", *rows]
        rules = [rule for path, node in _nodes(section, "") for rule in _rules(path, node)]
        parts.append(f"## `spec.{name}`\n\n{section['description']}\n\n" + "\n".join(table) + "\n")
        if rules:
            parts.append("\n".join(rules) + "\n")
    return "\n".join(parts)


def _fields(section: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """What stands in a section's table: path, schema, and whether it is required where it stands."""
    nodes = dict(_nodes(section, ""))
    for path, node in nodes.items():
        if path and not path.endswith("[]"):
            parent, _, name = path.rpartition(".")
            yield path, node, name in nodes[parent].get("required", [])


def _nodes(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}" if path else name)
    if "items" in node:
        yield from _nodes(node["items"], f"{path}[]")


def _row(path: str, node: Schema, required: bool) -> str:
    default = "required" if required else _default(node)
    cells = (f"`{path}`", _takes(node), default, node["description"])
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _default(node: Schema) -> str:
    if "default" not in node:
        return "–"
    return "see below" if node.get("properties") else f"`{json.dumps(node['default'], ensure_ascii=False)}`"


def _takes(node: Schema) -> str:
    match node.get("type"):
        case "object" if "additionalProperties" in node:
            return f"at most {node['maxProperties']} entries, each {_takes(node['additionalProperties'])}"
        case "object":
            return "an object"
        case "array":
            least, most = node.get("minItems", 0), node["maxItems"]
            return f"a list of {least} to {most}" + (
                "" if "properties" in node["items"] else f": {_takes(node['items'])}"
            )
        case "integer":
            return f"{node['minimum']} to {node['maximum']}"
        case "number":
            return "a number"
        case "boolean":
            return "`true` or `false`"
        case "string" if "enum" in node:
            return ", ".join(f"`{choice}`" for choice in node["enum"])
        case "string":
            length = f", at most {node['maxLength']} characters" if "maxLength" in node else ""
            return _BY_PATTERN.get(node["pattern"]) or f"`{node['pattern']}`{length}"
        case _:
            return "a number or a string"


def _rules(path: str, node: Schema) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", []):
        yield f"- {f'`{path}`: ' if path else ''}{rule['message']}"


if __name__ == "__main__":
    sys.stdout.write(page())
