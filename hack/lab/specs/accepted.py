"""Specs that the API server accepts."""

from lab.specs.parts import Object, shadowed, steps, variables, with_, with_model

ACCEPTED: dict[str, Object] = {
    "the least": with_model(),
    "plain HTTP, which installs may allow": with_model(uri="http://store.ml.svc.cluster.local:8000/m.onnx"),
    "a claim": with_model(uri="pvc://models/churn/v3.onnx", sha256="0" * 64),
    "an address with a query": with_model(uri="https://h/m.onnx?versionId=a%20b"),
    "both metrics": with_(
        "scaling",
        maxReplicas=8,
        metrics=[{"type": "QueueDepth", "target": 8}, {"type": "P95", "target": "120ms"}],
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0.05"}},
    ),
    "a slice of a GPU": with_("resources", gpu={"count": 1, "resource": "nvidia.com/mig-1g.10gb"}),
    "another maker's GPUs": with_("resources", gpu={"count": 16, "resource": "gpu.intel.com/i915"}),
    "a GPU that a model on the processor holds": {**with_("resources", gpu={}), "runtime": {"device": "cpu"}},
    "devices by a claim template": with_("resources", gpu={"claimTemplate": "one-a100"}),
    "a place": with_(
        "placement",
        nodeSelector={"topology.kubernetes.io/zone": "eu-1a", "gpu": ""},
        tolerations=[
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "team", "value": "ml"},
            {"key": "maintenance", "value": "", "effect": "NoExecute", "tolerationSeconds": 0},
        ],
        topologySpread="zone",
        runtimeClass="nvidia",
        priorityClass="high",
        imagePullSecrets=["registry", "mirror"],
    ),
    "gRPC": with_("routing", grpc=True),
    "no proxy": with_("routing", provider="Service", grpc=True),
    "a gateway": {
        **with_(
            "routing",
            provider="Gateway",
            grpc=True,
            gateway={
                "name": "public",
                "namespace": "gateways",
                "sectionName": "https",
                "hostnames": ["churn.example", "*.models.example"],
                "grpcHostnames": ["grpc.churn.example"],
            },
        ),
        "rollout": {"match": [{"header": {"x-model": "canary"}}]},
    },
    "the install's gateway": with_("routing", provider="Gateway"),
    "a place anywhere": with_("placement", nodeSelector={}, tolerations=[], imagePullSecrets=[]),
    "variables": variables(
        *({"name": f"A{number}", "value": "a" * 1024} for number in range(31)),
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "configMap": {"name": "churn", "key": "attributes"}},
    ),
    "twenty steps": steps(*range(1, 21)),
    "copies before there are callers": shadowed(percent=100, compare="ArgMax", maxDivergence="0.25%"),
    "the longest name": with_model(),
}
