"""Specs that the API server accepts."""

from lab.specs.parts import Object, queried, shadowed, steps, variables, with_, with_image, with_model

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
    "shared memory": with_("resources", requests={"memory": "4Gi"}, sharedMemory="1Gi"),
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
    "an image of its own": with_image(),
    "an image that brings its model": {
        "runtime": {
            "image": {
                "name": f"registry.example:5000/ml/served@sha256:{'0' * 64}",
                "command": ["python", "-c", "import served\nserved.run()"],
                "args": ["--port=$(TIDEGATE_PORT)"],
                "healthPath": "/healthz?full=1",
            }
        }
    },
    "an image with metrics": {
        **with_image(metrics=True),
        "routing": {"provider": "Service"},
        "scaling": {"maxReplicas": 4},
        "rollout": {"analysis": {"maxP95": "120ms"}},
    },
    "gRPC": with_("routing", grpc=True),
    "no proxy": with_("routing", provider="Service", grpc=True),
    "no proxy, and exact shares": {
        **with_("routing", provider="Direct", grpc=True),
        "rollout": {
            "match": [{"header": {"x-model": "canary"}}, {"cookie": {"tester": "yes"}}],
            "sticky": {"header": "x-user"},
        },
    },
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
    "no more GPUs than there are": with_("rollout", surgeGpus=0, whenFull="Yield"),
    "a surge in GPUs of another maker": {
        **with_("runtime", device="cpu"),
        "resources": {"gpu": {"resource": "amd.com/gpu", "count": 2}},
        "rollout": {"surgeGpus": 2},
    },
    "an increase that counts however small it is": with_("rollout", analysis={"minP95Increase": "0ms"}),
    "queries": queried(
        {
            "name": "refunds",
            "query": 'sum(rate(refunds{r=~"{{canary}}|{{stable}}",ns="{{namespace}}"}[2m])) by (x) { }\n# {{service}}',
            "max": 0.05,
            "min": 0,
        },
        *({"name": f"q-{number}", "query": "x" * 1024, "min": -1.5} for number in range(9)),
        interval="10s",
    ),
    "the longest name": with_model(),
}
