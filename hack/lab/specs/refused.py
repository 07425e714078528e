"""Specs that the API server refuses, and what it tells of each; `…` in it stands for anything.

Held against a real API server by `tests/e2e` and, without one, against the schema and its rules by `tests/operator`.
"""

import re

from lab.specs.parts import Object, metric, queried, shadowed, steps, with_, with_image, with_model
from lab.specs.refused_pods import REFUSED_PODS

BAD_NAMES = {"too long": "x" * 46, "starting with a digit": "1churn", "with a dot": "churn.v2"}
REFUSED: dict[str, tuple[Object, str]] = {
    "no model": ({}, "spec: Invalid value…model: name what to serve"),
    "no address": ({"model": {}}, "spec.model.uri: Required value"),
    "an empty address": (with_model(uri=""), "spec.model.uri: Invalid value"),
    "an address with a space": (with_model(uri="https://h/a b"), "spec.model.uri: Invalid value"),
    "an address with a line break": (with_model(uri="https://h/a\nb"), "spec.model.uri: Invalid value"),
    "an address that turns the text around": (with_model(uri="https://h/\u202eb"), "spec.model.uri: Invalid value"),
    "an address that is too long": (with_model(uri="https://h/" + "a" * 2048), "spec.model.uri: Too long"),
    "an address with a NUL": (with_model(uri="https://h/a\x00b"), "spec.model.uri: Invalid value"),
    "an unknown scheme": (with_model(uri="gopher://h/m"), "spec.model.uri: Invalid value"),
    "a scheme without TLS or digests": (with_model(uri="ftp://h/m"), "spec.model.uri: Invalid value"),
    "a path of the node": (with_model(uri="hostpath:/etc"), "spec.model.uri: Invalid value"),
    "a file of the node": (with_model(uri="file:///etc/passwd"), "spec.model.uri: Invalid value"),
    "the metadata address": (with_model(uri="https://169.254.169.254/latest"), "spec.model.uri: Invalid value"),
    "the pod itself": (with_model(uri="http://LOCALHOST:8082/m"), "spec.model.uri: Invalid value"),
    "the pod itself in IPv6": (with_model(uri="http://[::1]/m"), "spec.model.uri: Invalid value"),
    "the pod itself in hex": (with_model(uri="http://0x7f000001/m"), "spec.model.uri: Invalid value"),
    "credentials in the address": (with_model(uri="https://u:p@h/m"), "spec.model.uri: Invalid value"),
    "an address without a host": (with_model(uri="https:///m"), "spec.model.uri: Invalid value"),
    "a way out of the folder": (with_model(uri="https://h/../m"), "spec.model.uri: Invalid value"),
    "an encoded way out of the folder": (with_model(uri="https://h/%2E%2e/m"), "spec.model.uri: Invalid value"),
    "a backslash": (with_model(uri="https://h/a\\b"), "spec.model.uri: Invalid value"),
    "a claim without a path": (with_model(uri="pvc://claim"), "spec.model.uri: Invalid value"),
    "a claim of another namespace": (with_model(namespace="other"), 'unknown field "spec.model.namespace"'),
    "a digest that is too short": (with_model(sha256="9f0c"), "spec.model.sha256: Invalid value"),
    "a digest in capitals": (with_model(sha256="A" * 64), "spec.model.sha256: Invalid value"),
    "a digest that isn't hex": (with_model(sha256="g" * 64), "spec.model.sha256: Invalid value"),
    "more at least than at most": (
        with_("scaling", minReplicas=3, maxReplicas=2),
        "spec.scaling: Invalid value…lower the one, or raise the other",
    ),
    "a million replicas": (with_("scaling", maxReplicas=1000000), "spec.scaling.maxReplicas: Invalid value"),
    "no replicas": (with_("scaling", minReplicas=0), "spec.scaling.minReplicas: Invalid value"),
    "no replicas at most": (with_("scaling", maxReplicas=0), "spec.scaling.maxReplicas: Invalid value"),
    "less than no replicas": (with_("scaling", minReplicas=-1), "spec.scaling.minReplicas: Invalid value"),
    "metrics without room to scale": (
        with_("scaling", metrics=[{"type": "QueueDepth", "target": 8}]),
        "spec.scaling: Invalid value",
    ),
    "behavior without room to scale": (with_("scaling", behavior={"scaleUp": {}}), "spec.scaling: Invalid value"),
    "a promise in words": (with_("scaling", slo={"p95": "fast"}), "spec.scaling.slo.p95: Invalid value"),
    "a promise of the past": (with_("scaling", slo={"p95": "-5s"}), "spec.scaling.slo.p95: Invalid value"),
    "a promise in powers of ten": (with_("scaling", slo={"p95": "1e9h"}), "spec.scaling.slo.p95: Invalid value"),
    "a promise of nothing": (with_("scaling", slo={"p95": "0ms"}), "spec.scaling.slo.p95: Invalid value"),
    "a promise of a century": (with_("scaling", slo={"p95": "876000h"}), "spec.scaling.slo.p95: Invalid value"),
    "a queue of a duration": (metric("QueueDepth", "8s"), "spec.scaling.metrics[0]: Invalid value"),
    "a p95 of a number": (metric("P95", 8), "spec.scaling.metrics[0]: Invalid value"),
    "an unknown metric": (metric("Mood", 8), "spec.scaling.metrics[0].type: Unsupported value"),
    "one metric twice": (
        with_("scaling", maxReplicas=2, metrics=[{"type": "QueueDepth", "target": 8}] * 2),
        "spec.scaling.metrics[1]: Duplicate value",
    ),
    "a weight above all": (steps(101), "spec.rollout.steps[0].weight: Invalid value"),
    "a weight below none": (steps(-1), "spec.rollout.steps[0].weight: Invalid value"),
    "a third of a percent": (steps(33.3), "spec.rollout.steps[0].weight"),
    "steps that descend": (steps(50, 10), "spec.rollout.steps: Invalid value"),
    "a step twice": (steps(10, 10), "spec.rollout.steps: Invalid value"),
    "copies without a step for them": (with_("rollout", shadow={"percent": 20}), "spec.rollout: Invalid value"),
    "copies of more than there is": (shadowed(percent=101), "spec.rollout.shadow.percent: Invalid value"),
    "copies of no part": (shadowed(), "spec.rollout.shadow.percent: Required value"),
    "answers compared in a way nobody knows": (
        shadowed(percent=20, compare="Cosine"),
        "spec.rollout.shadow.compare: Unsupported value",
    ),
    "a divergence that is no share": (
        shadowed(percent=20, maxDivergence="0.01"),
        "spec.rollout.shadow.maxDivergence: Invalid value",
    ),
    "an increase without a unit": (with_("rollout", analysis={"minP95Increase": "2"}), "minP95Increase: Invalid value"),
    "an increase of days": (with_("rollout", analysis={"minP95Increase": "48h"}), "minP95Increase: Invalid value"),
    "a query without bounds": (queried({"name": "q", "query": "up"}), "queries[0]: Invalid value…needs max or min"),
    "a query whose bounds leave nothing": (
        queried({"name": "q", "query": "up", "min": 2.5, "max": 1.5}),
        "queries[0]: Invalid value…min is above max",
    ),
    "a query that is too long": (queried({"name": "q", "query": "x" * 1025, "max": 1.5}), "queries[0].query: Too long"),
    "a query of nothing": (queried({"name": "q", "query": "", "max": 1.5}), "queries[0].query: Invalid value"),
    "a query of another's name": (
        queried({"name": "q", "query": 'up{r="{{ canary }}"}', "max": 1.5}),
        "queries[0].query: Invalid value…are put in, and nothing else",
    ),
    "a query by a template": (
        queried({"name": "q", "query": "{{.Values.query}}", "max": 1.5}),
        "queries[0].query: Invalid value…are put in, and nothing else",
    ),
    "a query of an address": (
        queried({"name": "q", "query": "up", "max": 1.5, "url": "http://prometheus:9090"}),
        'unknown field "spec.rollout.analysis.queries[0].url"',
    ),
    "a query twice": (
        queried(*[{"name": "q", "query": "up", "max": 1.5}] * 2),
        "spec.rollout.analysis.queries[1]: Duplicate value",
    ),
    "too many queries": (
        queried(*({"name": f"q-{number}", "query": "up", "max": 1.5} for number in range(11))),
        "spec.rollout.analysis.queries: Too many",
    ),
    "a query each second": (
        queried({"name": "q", "query": "up", "max": 1.5}, interval="9s"),
        "spec.rollout.analysis: Invalid value…interval must be at least 10s where there are queries",
    ),
    "a bound in words": (
        queried({"name": "q", "query": "up", "max": "1.5"}),
        "queries[0].max: Invalid value",
    ),
    "no steps": (steps(), "spec.rollout.steps: Invalid value"),
    "too many steps": (steps(*range(1, 22)), "spec.rollout.steps: Too many"),
    "ten thousand steps": (steps(*[1] * 10_000), "spec.rollout.steps: Too many"),
    "a hold of years": (
        with_("rollout", steps=[{"weight": 1, "hold": "9999h"}]),
        "spec.rollout.steps[0].hold: Invalid",
    ),
    "a typo": (with_("scaling", replcas=3), 'unknown field "spec.scaling.replcas"'),
    "labels of its own": (with_model() | {"labels": {"app": "other"}}, 'unknown field "spec.labels"'),
    "annotations of its own": (with_model() | {"annotations": {}}, 'unknown field "spec.annotations"'),
    "a fixed number beside the scaling": ({**with_model(), "replicas": 3}, 'unknown field "spec.replicas"'),
    "an unknown provider": (with_("routing", provider="Mesh"), "spec.routing.provider: Unsupported value"),
    "keys without the router": (
        {**with_("routing", provider="Service"), "rollout": {"sticky": {"header": "x-user"}}},
        "rollout.sticky: only routing.provider Router and Direct",
    ),
    "keys at a gateway": (
        {**with_("routing", provider="Gateway"), "rollout": {"sticky": {"cookie": "user"}}},
        "rollout.sticky: only routing.provider Router and Direct",
    ),
    "a surge in pods and in GPUs": (with_("rollout", surge=1, surgeGpus=4), "drop one of them"),
    "a surge of more GPUs than there may be": (
        with_("rollout", surgeGpus=1601),
        "spec.rollout.surgeGpus: Invalid value",
    ),
    "a surge in GPUs of pods without any": (
        {**with_("runtime", device="cpu"), "rollout": {"surgeGpus": 4}},
        "rollout.surgeGpus: how many GPUs a pod has must be known",
    ),
    "a surge in GPUs of pods that claim them": (
        {**with_("resources", gpu={"claimTemplate": "one-a100"}), "rollout": {"surgeGpus": 4}},
        "rollout.surgeGpus: how many GPUs a pod has must be known",
    ),
    "an unknown way to find room": (
        with_("rollout", whenFull="Evict"),
        "spec.rollout.whenFull: Unsupported value",
    ),
    "matches without anything that could match": (
        {**with_("routing", provider="Service"), "rollout": {"match": [{"header": {"x-model": "b"}}]}},
        "rollout.match: routing.provider Service can't match",
    ),
    "cookies at a gateway": (
        {**with_("routing", provider="Gateway"), "rollout": {"match": [{"cookie": {"tester": "yes"}}]}},
        "rollout.match: routing.provider Gateway can't match cookies",
    ),
    "an image that nobody counts the requests of": (
        {**with_image(), "routing": {"provider": "Service"}},
        "runtime.image: routing.provider Router alone counts",
    ),
    "copies to an image": (
        {**with_image(metrics=True), "rollout": {"steps": [{"weight": 0}], "shadow": {"percent": 20}}},
        "rollout.shadow: the bundled runtime's pods copy and compare",
    ),
    "an image that there is nothing to scale on": (
        {**with_image(), "scaling": {"maxReplicas": 2}},
        "scaling.maxReplicas: without its metrics",
    ),
    "a p95 of an image that tells no times": (
        {**with_image(), "rollout": {"analysis": {"maxP95": "120ms"}}},
        "rollout.analysis: without its metrics",
    ),
    "a slower image that tells no times": (
        {**with_image(), "rollout": {"analysis": {"maxP95Increase": "10%"}}},
        "rollout.analysis: without its metrics",
    ),
    "a gateway for the router": (
        with_("routing", gateway={"name": "public"}),
        "spec.routing: Invalid value…gateway is read by provider Gateway alone",
    ),
    "a name for callers that isn't one": (
        with_("routing", provider="Gateway", gateway={"hostnames": ["churn_1.example"]}),
        "spec.routing.gateway.hostnames[0]: Invalid value",
    ),
    **REFUSED_PODS,
}


def tells(text: str, told: str) -> bool:
    """Whether `text` has what a row says that is told."""
    return re.search(".*".join(map(re.escape, told.split("…"))), text, re.DOTALL) is not None
