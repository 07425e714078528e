"""The CRD: what Kubernetes asks of a schema, and the form that refuses bad input without a webhook."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate_operator.api.crd import custom_resource_definition, to_yaml

CRDS = Path(__file__).parents[2] / "crds"
FILE = CRDS / "tidegate.dev_inferenceservices.yaml"

Schema = dict[str, Any]


def schema() -> Schema:
    (version,) = custom_resource_definition()["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def fields(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}" if path else name)
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from fields(node["additionalProperties"], f"{path}{{}}")


FIELDS = dict(fields(schema()))


def test_the_file_is_what_the_models_say() -> None:
    assert FILE.read_text() == to_yaml(), "run `make crds`"


def test_the_chart_brings_the_same_file() -> None:
    assert (CRDS.parent / "charts/tidegate/files/crd.yaml").read_text() == FILE.read_text(), "run `make crds`"


def test_the_crd_fits_where_kubectl_keeps_it() -> None:
    assert len(FILE.read_bytes()) < 100_000


def test_the_crd_is_one_document_that_yaml_reads_back() -> None:
    assert yaml.safe_load(FILE.read_text()) == custom_resource_definition()


def test_the_status_has_a_subresource_of_its_own() -> None:
    (version,) = custom_resource_definition()["spec"]["versions"]
    assert version["subresources"] == {"status": {}}


MAPS = {"spec.placement.nodeSelector", "spec.rollout.match[].header", "spec.rollout.match[].cookie"}
"""The fields whose keys are people's own; all others are closed."""


@pytest.mark.parametrize("path", sorted(MAPS))
def test_a_map_is_bounded_and_holds_short_strings(path: str) -> None:
    assert FIELDS[path]["maxProperties"] <= 32
    assert FIELDS[path]["additionalProperties"]["type"] == "string"


@pytest.mark.parametrize("path", FIELDS)
def test_the_schema_is_structural_at(path: str) -> None:
    node = FIELDS[path]
    assert not {"$ref", "oneOf", "allOf", "not", "nullable", "title", "$defs", "const"} & set(node)
    if "anyOf" in node:
        assert node["x-kubernetes-int-or-string"] is True
    else:
        assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}
    if node.get("type") == "object" and path != "metadata":
        assert ("additionalProperties" in node) is (path in MAPS)
        assert ("properties" in node) is (path not in MAPS)


def test_an_object_that_the_controller_has_not_seen_says_so() -> None:
    # Whatever a creator says of the status is dropped by the API server before defaults are filled in.
    assert FIELDS["status"]["default"] == {"observedGeneration": -1}
    assert "default" not in FIELDS["status.observedGeneration"]


def test_no_default_holds_a_null() -> None:
    assert "null" not in re.findall(r"\bnull\b", FILE.read_text())


@pytest.mark.parametrize("path", [path for path, node in FIELDS.items() if node.get("type") == "array"])
def test_every_list_is_bounded(path: str) -> None:
    assert FIELDS[path]["maxItems"] <= 100


BOUNDED_BY_US = ("apiVersion", "kind", "status.url", "status.rollout.message", "status.rollout.lastRequest")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path, node in FIELDS.items()
        if node.get("type") == "string" and not path.startswith(BOUNDED_BY_US) and path != "status.rollout.rejected[]"
    ],
)
def test_every_string_that_others_write_is_bounded(path: str) -> None:
    assert {"maxLength", "enum", "format", "pattern"} & set(FIELDS[path])


@pytest.mark.parametrize("path", [path for path, node in FIELDS.items() if node.get("type") == "integer"])
def test_every_number_that_users_write_is_bounded(path: str) -> None:
    if path.startswith("spec."):
        assert {"minimum", "maximum"} <= set(FIELDS[path])


@pytest.mark.parametrize("path", [path for path in FIELDS if path.startswith(("spec.", "status."))])
def test_every_field_is_explained(path: str) -> None:
    if not path.endswith(("[]", "{}")):
        assert FIELDS[path]["description"]


MATCHES = {
    "spec.model.uri": (
        ["https://h/m.onnx", "http://h/m", "pvc://claim/a/b.onnx"],
        [
            "",
            "ftp://h/m",
            "file:///etc/passwd",
            "gopher://h",
            "https://h/a b",
            "https://h/\n",
            "https://h/\u202e",
            "h/m",
        ],
    ),
    "spec.model.sha256": (["0" * 64], ["0" * 63, "0" * 65, "A" * 64, "g" * 64]),
    "spec.runtime.timeout": (["1ms", "30s", "5m"], ["0s", "-5s", "fast", "1.5s", "5", "1d", "1000000s", "5s "]),
    "spec.runtime.batching.maxDelay": (["0ms", "5ms"], ["-1ms", "5", "ms"]),
    "spec.runtime.limits.maxBodyBytes": (["1", "10Mi"], ["0", "-1", "10MB", "1.5Mi", "1Zi"]),
    "spec.runtime.limits.maxElementBytes": (["1", "10Ki"], ["0", "-1", "10KB"]),
    "spec.resources.requests.cpu": (["500m", "2"], ["0", "-1", "0.5", "4Gi", "many"]),
    "spec.resources.requests.memory": (["2Gi", "1073741824"], ["0", "-1Gi", "1Zi", "500m", "1.5Gi"]),
    "spec.rollout.match[].header{}": (["canary", "a b", "{}"], ["", " a", "a ", "a\n", "ä", "\t"]),
    "spec.rollout.match[].cookie{}": (["yes", "a=b", "[-]"], ["", "a b", "a;b", "a,b", '"a"', "a\\", "ä"]),
    "spec.rollout.sticky.header": (["x-user", "x", "x_y1"], ["", "X-User", "-x", "x-", "x:y", "x\n", "x" * 64]),
    "spec.rollout.sticky.cookie": (["user", "User.Id"], ["", "a=b", "a;b", "a b"]),
    "spec.resources.gpu.resource": (
        ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu", "gpu.intel.com/i915"],
        ["gpu", "cpu", "a/b", "N.com/gpu", "-n.com/gpu", "n.com/", "n.com/gpu-", "n.com/" + "g" * 64],
    ),
    "spec.runtime.environment[].name": (["A", "OMP_WAIT_POLICY", "A1"], ["", "a", "1A", "_A", "A-B", "A=B", "A\n"]),
    "spec.runtime.environment[].value": (["", 'a b=c,"d"', "~"], ["a\nb", "a\x00", "\u202e", "\x7f"]),
    "spec.runtime.image.name": (
        ["served:v3", "h:5000/a/b_c.d", "h/a:v1@sha256:" + "0" * 64, "ghcr.io/a/b-c:1.2.3-x_Y"],
        ["", "A/b:v1", "h//a:v1", "h/a:", "h/a:v 1", "h/a@sha256:0", "https://h/a:v1", "h/a:v1\n"],
    ),
    "spec.runtime.image.args[]": (["", "--port=$(TIDEGATE_PORT)", "a\n\tb"], ["\x00", "é", "\x7f"]),
    "spec.runtime.image.healthPath": (["/", "/healthz?full=1"], ["", "healthz", "//h\n", "/a b", "/a#b"]),
    "spec.runtime.environment[].configMap.key": (["a", "a.b_C-1"], ["", "a/b", "a b"]),
    "spec.placement.nodeSelector{}": (["", "a100", "A_1.b-2"], ["-a", "a b", "a/b", "é", "a\n"]),
    "spec.placement.tolerations[].key": (
        ["dedicated", "nvidia.com/gpu", "a.b/C_d"],
        ["", "*", "/a", "a/", "a b", "A.b/c", "a/b/c"],
    ),
    "spec.placement.runtimeClass": (["nvidia", "kata.v2"], ["", "Nvidia", "a/b", "-a", "a\n"]),
    "spec.placement.priorityClass": (["high"], ["", "High"]),
    "spec.placement.imagePullSecrets[]": (["registry"], ["", "other/registry"]),
    "spec.resources.gpu.claimTemplate": (["one-a100", "a.b"], ["", "-a", "A", "other/one", "a_b"]),
}


@pytest.mark.parametrize(
    ("path", "text", "matches"),
    [(path, text, True) for path, (good, _) in MATCHES.items() for text in good]
    + [(path, text, False) for path, (_, bad) in MATCHES.items() for text in bad],
)
def test_the_pattern_of(path: str, text: str, matches: bool) -> None:
    # Go's `$` without flags is the end of the text; Python's also matches before a last newline.
    assert bool(re.search(FIELDS[path]["pattern"].replace("$", r"\Z"), text)) is matches


REQUIRED = {
    "": "spec",
    "spec.model": "uri",
    "spec.rollout.steps[]": "weight",
    "spec.placement.tolerations[]": "key",
    "spec.runtime.environment[]": "name",
    "spec.runtime.image": "name",
    "spec.runtime.environment[].configMap": "key",
}


@pytest.mark.parametrize(("path", "name"), REQUIRED.items())
def test_a_field_is_required(path: str, name: str) -> None:
    assert name in FIELDS[path]["required"]


NOT_OFFERED = (
    "podTemplate",
    "serviceAccountName",
    "env",
    "envFrom",
    "valueFrom",
    "secretKeyRef",
    "volumes",
    "volumeMounts",
    "hostPath",
    "hostNetwork",
    "hostIPC",
    "hostPID",
    "privileged",
    "securityContext",
    "initContainers",
    "lifecycle",
    "namespace",
    "replicas",
    "nodeName",
    "affinity",
    "schedulerName",
    "labels",
    "annotations",
)


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_no_field_gives_away_the_pod(name: str) -> None:
    # A Gateway may be in another namespace, and says itself whose routes it takes.
    offered = [field for field in FIELDS if field.startswith("spec") and not field.startswith("spec.routing.gateway.")]
    assert not [field for field in offered if field.endswith(f".{name}")]


@pytest.mark.parametrize(
    ("name", "place"),
    {
        "nodeSelector": "spec.placement.nodeSelector",
        "tolerations": "spec.placement.tolerations",
        "image": "spec.runtime.image",
        "command": "spec.runtime.image.command",
        "args": "spec.runtime.image.args",
    }.items(),
)
def test_a_field_of_pods_stands_in_one_place_alone(name: str, place: str) -> None:
    assert [field for field in FIELDS if field.startswith("spec") and field.endswith(f".{name}")] == [place]
