"""Refused specs about the pod: how it runs the model, what it needs, and where it may be."""

from lab.specs.parts import Object, tolerations, variables, with_, with_image, with_model

VARIABLE = "spec.runtime.environment[0]"

REFUSED_PODS: dict[str, tuple[Object, str]] = {
    "an unknown device": (with_("runtime", device="tpu"), 'spec.runtime.device: Unsupported value: "tpu"'),
    "a batch of nothing": (
        with_("runtime", batching={"maxBatchSize": 0}),
        "spec.runtime.batching.maxBatchSize: Invalid",
    ),
    "a huge batch": (with_("runtime", batching={"maxBatchSize": 10**9}), "spec.runtime.batching.maxBatchSize: Invalid"),
    "no place in the queue": (with_("runtime", limits={"queueSize": 0}), "spec.runtime.limits.queueSize: Invalid"),
    "a delay of an hour": (with_("runtime", batching={"maxDelay": "1h"}), "spec.runtime.batching.maxDelay: Invalid"),
    "a time-out of zero": (with_("runtime", timeout="0s"), "spec.runtime.timeout: Invalid value"),
    "a time-out of years": (with_("runtime", timeout="99999h"), "spec.runtime.timeout: Invalid value"),
    "a time-out in words": (with_("runtime", timeout="fast"), "spec.runtime.timeout: Invalid value"),
    "half a GPU": (with_("resources", gpu={"count": 0.5}), "spec.resources.gpu.count"),
    "less than no GPU": (with_("resources", gpu={"count": -1}), "spec.resources.gpu.count: Invalid value"),
    "many GPUs in words": (with_("resources", gpu={"count": "many"}), "spec.resources.gpu.count: Invalid value"),
    "more GPUs than a node has": (with_("resources", gpu={"count": 17}), "spec.resources.gpu.count: Invalid value"),
    "a GPU of no maker": (with_("resources", gpu={"resource": "gpu"}), "spec.resources.gpu.resource: Invalid value"),
    "a GPU of Kubernetes": (
        with_("resources", gpu={"resource": "gpu.kubernetes.io/a100"}),
        "spec.resources.gpu.resource: Invalid value…must not be of kubernetes.io",
    ),
    "a claim and a number": (
        with_("resources", gpu={"claimTemplate": "one-a100", "count": 2}),
        "spec.resources.gpu: Invalid value…drop resource and count, or drop claimTemplate",
    ),
    "a claim and a resource": (
        with_("resources", gpu={"claimTemplate": "one-a100", "resource": "amd.com/gpu"}),
        "spec.resources.gpu: Invalid value…drop resource and count, or drop claimTemplate",
    ),
    "a claim template of another namespace": (
        with_("resources", gpu={"claimTemplate": "other/one-a100"}),
        "spec.resources.gpu.claimTemplate: Invalid value",
    ),
    "a claim by itself": (with_("resources", gpu={"claim": "mine"}), 'unknown field "spec.resources.gpu.claim"'),
    "a million processors": (with_("resources", requests={"cpu": "1000000"}), "spec.resources.requests.cpu: Invalid"),
    "one byte of memory": (with_("resources", requests={"memory": "1"}), "spec.resources.requests.memory: Invalid"),
    "shared memory of a byte": (
        with_("resources", sharedMemory="1"),
        "spec.resources.sharedMemory: Invalid value…must be from 64Mi",
    ),
    "shared memory in words": (with_("resources", sharedMemory="half"), "spec.resources.sharedMemory: Invalid value"),
    "as much shared memory as memory": (
        with_("resources", requests={"memory": "1Gi"}, sharedMemory="1024Mi"),
        "spec.resources: Invalid value…sharedMemory is part of requests.memory",
    ),
    "more shared memory than the default of memory": (
        with_("resources", sharedMemory="3Gi"),
        "spec.resources: Invalid value…sharedMemory is part of requests.memory",
    ),
    "less than no memory": (with_("resources", requests={"memory": "-1Gi"}), "spec.resources.requests.memory: Invalid"),
    "an unknown unit": (with_("resources", requests={"memory": "1Zi"}), "spec.resources.requests.memory: Invalid"),
    "the control plane's nodes": (
        with_("placement", nodeSelector={"node-role.kubernetes.io/control-plane": ""}),
        "spec.placement.nodeSelector: Invalid value…choose labels of nodes that are there for workloads",
    ),
    "a label that is too long": (
        with_("placement", nodeSelector={"a" * 318: ""}),
        "spec.placement.nodeSelector: Invalid value…at most 317 characters",
    ),
    "a label's key with a space": (
        with_("placement", nodeSelector={"a b": ""}),
        "spec.placement.nodeSelector: Invalid value…such as topology.kubernetes.io/zone",
    ),
    "a label's key that is empty": (with_("placement", nodeSelector={"": ""}), "spec.placement.nodeSelector: Invalid"),
    "a label's value with a space": (with_("placement", nodeSelector={"gpu": "a 100"}), "spec.placement.nodeSelector"),
    "seventeen labels": (
        with_("placement", nodeSelector={f"label-{number}": "" for number in range(17)}),
        "spec.placement.nodeSelector: Too many",
    ),
    "the control plane's taint": (
        tolerations({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}),
        "spec.placement.tolerations[0].key: Invalid value…must not tolerate control-plane nodes",
    ),
    "the control plane's former taint": (
        tolerations({"key": "node-role.kubernetes.io/master", "operator": "Exists"}),
        "spec.placement.tolerations[0].key: Invalid value",
    ),
    "every taint": (tolerations({"operator": "Exists"}), "spec.placement.tolerations[0].key: Required value"),
    "every taint by an empty key": (
        tolerations({"key": "", "operator": "Exists"}),
        "spec.placement.tolerations[0].key: Invalid value",
    ),
    "an unknown operator": (
        tolerations({"key": "gpu", "operator": "Lt", "value": "3"}),
        "spec.placement.tolerations[0].operator: Unsupported value",
    ),
    "a taint without its value": (
        tolerations({"key": "gpu"}),
        "spec.placement.tolerations[0]: Invalid value…set value, or operator: Exists",
    ),
    "a value that isn't compared": (
        tolerations({"key": "gpu", "operator": "Exists", "value": "a100"}),
        "spec.placement.tolerations[0]: Invalid value…set value, or operator: Exists",
    ),
    "seconds without an eviction": (
        tolerations({"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 9}),
        "spec.placement.tolerations[0]: Invalid value…effect NoExecute alone",
    ),
    "seventeen tolerations": (tolerations(*[{"key": "gpu", "value": ""}] * 17), "spec.placement.tolerations: Too many"),
    "an unknown spread": (with_("placement", topologySpread="rack"), "spec.placement.topologySpread: Unsupported"),
    "Kubernetes' own priority": (
        with_("placement", priorityClass="system-node-critical"),
        "spec.placement.priorityClass: Invalid value…name a PriorityClass for workloads",
    ),
    "a pull secret twice": (
        with_("placement", imagePullSecrets=["registry", "registry"]),
        "spec.placement.imagePullSecrets[1]: Duplicate value",
    ),
    "a pull secret of another namespace": (
        with_("placement", imagePullSecrets=["other/registry"]),
        "spec.placement.imagePullSecrets[0]: Invalid value",
    ),
    "a node by name": (with_("placement", nodeName="cp-1"), 'unknown field "spec.placement.nodeName"'),
    "an affinity": (with_("placement", affinity={}), 'unknown field "spec.placement.affinity"'),
    "a raw pod": ({**with_model(), "podTemplate": {}}, 'unknown field "spec.podTemplate"'),
    **{
        f"the pod's {name}": ({**with_model(), name: True}, f'unknown field "spec.{name}"')
        for name in ("hostNetwork", "hostPath", "privileged", "volumes", "initContainers", "containers", "command")
    },
    "another account": (
        with_("runtime", serviceAccountName="admin"),
        'unknown field "spec.runtime.serviceAccountName"',
    ),
    "an environment of a pod": (with_("runtime", env=[{"name": "LD_PRELOAD"}]), 'unknown field "spec.runtime.env"'),
    **{
        f"the variable {name}": (
            variables({"name": name, "value": "x"}),
            f"{VARIABLE}.name: Invalid value…must not begin with",
        )
        for name in ("LD_PRELOAD", "PYTHONPATH", "PATH", "TIDEGATE_DEVICE", "NVIDIA_VISIBLE_DEVICES", "OPENSSL_CONF")
    },
    "a variable in small letters": (variables({"name": "ld_preload", "value": "x"}), f"{VARIABLE}.name: Invalid value"),
    "a variable without a name": (variables({"value": "x"}), f"{VARIABLE}.name: Required value"),
    "a variable without a value": (variables({"name": "A"}), f"{VARIABLE}: Invalid value…set one of them"),
    "a variable with two values": (
        variables({"name": "A", "value": "x", "configMap": {"name": "a", "key": "b"}}),
        f"{VARIABLE}: Invalid value…set one of them",
    ),
    "a variable of a secret": (
        variables({"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}),
        f'unknown field "{VARIABLE}.valueFrom"',
    ),
    "a variable of another namespace": (
        variables({"name": "A", "configMap": {"name": "a", "key": "b", "namespace": "other"}}),
        f'unknown field "{VARIABLE}.configMap.namespace"',
    ),
    "a variable of two lines": (variables({"name": "A", "value": "a\nb"}), f"{VARIABLE}.value: Invalid value"),
    "a variable of a page": (variables({"name": "A", "value": "a" * 1025}), f"{VARIABLE}.value: Too long"),
    "a variable twice": (
        variables({"name": "A", "value": "x"}, {"name": "A", "value": "y"}),
        "spec.runtime.environment[1]: Duplicate value",
    ),
    "thirty-three variables": (
        variables(*({"name": f"A{number}", "value": ""} for number in range(33))),
        "spec.runtime.environment: Too many",
    ),
    "an image by its name alone": (with_("runtime", image="x:v1"), "spec.runtime.image: Invalid value"),
    **{
        f"an image {name}": (with_image(image), "spec.runtime.image.name: Invalid value")
        for name, image in {
            "without a tag": "registry.example:5000/ml/served",
            "that is another tomorrow": "registry.example/served:latest",
            "with a digest that isn't one": "served@sha256:abc",
            "with a space": "served:v3 --privileged",
            "by an address": "https://registry.example/served:v3",
        }.items()
    },
    "an image that is asked elsewhere": (
        with_image(healthPath="http://other/healthz"),
        "spec.runtime.image.healthPath: Invalid value",
    ),
    "an image with a port of the node": (with_image(hostPort=80), 'unknown field "spec.runtime.image.hostPort"'),
    "an image of an account": (with_image(serviceAccountName="a"), 'unknown field "spec.runtime.image.serviceAccount'),
    "an image with a volume": (with_image(volumeMounts=[]), 'unknown field "spec.runtime.image.volumeMounts"'),
    "batches for an image": (
        with_("runtime", image={"name": "served:v3"}, batching={"maxBatchSize": 8}),
        "spec.runtime: Invalid value…batching and limits are the bundled runtime's",
    ),
    "limits for an image": (
        with_("runtime", image={"name": "served:v3"}, limits={"queueSize": 8}),
        "spec.runtime: Invalid value…batching and limits are the bundled runtime's",
    ),
}
