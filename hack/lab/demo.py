"""The demo: the main job of Tidegate on a real cluster, told as a story. Run by `make demo`."""

import sys
import time
import uuid
from pathlib import Path

from lab import filetype, install
from lab.kubectl import ROOT, Failed, Kubectl, Object
from lab.pods import Pods
from lab.service import Service

NAMESPACE = "demo"
SCALING: Object = {
    "minReplicas": 1,
    "maxReplicas": 2,
    "slo": {"p95": "2s"},
    "metrics": [{"type": "QueueDepth", "target": 4}, {"type": "P95", "target": "2s"}],
    "behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}, "scaleDown": {"stabilizationWindowSeconds": 20}},
}


class Story:
    """Prints what happens, and when."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def chapter(self, title: str) -> None:
        """Begin a part."""
        print(f"\n\033[1m── {title} ──\033[0m", flush=True)

    def tell(self, text: str) -> None:
        """Say what just happened."""
        print(f"[{time.monotonic() - self._begun:5.1f} s] {text}", flush=True)

    def look(self, command: str) -> None:
        """Say what to type to see it oneself."""
        print(f"          see it:  {command}", flush=True)


def main() -> None:
    """Tell the whole story; leaves the cluster as it is at its end."""
    story, kubectl = Story(), Kubectl.of_cluster()
    story.chapter("Tidegate, by its chart")
    install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml")
    story.tell("helm installed controller, xds, metrics adapter and two routers; all are ready")
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    story.tell("a store that models are fetched from, and a client, run beside it")
    service = Service(kubectl, NAMESPACE, "filetype")
    service.delete()
    first_version(story, pods, service)
    predict(story, pods, service)
    scale(story, pods, service)
    second_version(story, pods, service)
    farewell(kubectl)


def specification(pods: Pods, version: int) -> Object:
    """The InferenceService's spec with a version of the model."""
    model = filetype.model() if version == 1 else filetype.another_version(str(version))
    uri = pods.put(f"filetype-v{version}.onnx", model)
    return {
        "model": {"uri": uri, "sha256": filetype.digest(model)},
        "runtime": {"device": "cpu"},
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
        "scaling": SCALING,
        "rollout": {"steps": [{"weight": 10, "hold": "1s"}], "approval": "Manual", "scaleDownDelay": "30s"},
    }


def first_version(story: Story, pods: Pods, service: Service) -> None:
    """A model becomes a service."""
    story.chapter("One InferenceService: a model and a p95 target")
    service.apply(specification(pods, 1))
    story.tell("applied: magika's file-type classifier, 3 MB of ONNX, named by its SHA-256")
    status = service.until_condition("Ready")
    story.tell(f"Ready: revision {status['stable']['revision']} answers at {status['url']}")
    story.look(f"kubectl -n {NAMESPACE} get isv,deployments,hpa,pods")


def predict(story: Story, pods: Pods, service: Service) -> None:
    """A prediction with real bytes."""
    story.chapter("A prediction")
    for name in ("Makefile", "charts/tidegate/values.yaml", "hack/lab/demo.py"):
        content = Path(ROOT / name).read_bytes()
        answers = pods.send(service.url, filetype.request(content), count=1, concurrency=1)
        if answers.first is None:
            raise Failed(f"no prediction: {answers.failed}")
        label, score = filetype.label(answers.first["outputs"][0]["data"])
        story.tell(f"{name}: {len(content)} bytes → {label} ({score:.1%})")


def scale(story: Story, pods: Pods, service: Service) -> None:
    """Load until the HPA adds a replica."""
    story.chapter("Load, until the queue calls for a second replica")
    batch = filetype.request(*[Path(ROOT / "README.md").read_bytes()] * 8)
    with pods.load(service.url, batch, concurrency=24) as load:
        story.tell("24 clients ask without a pause; the HPA keeps the queue at 4 requests a pod")
        service.until(lambda status: status["stable"]["replicas"] == 2, "to be scaled to 2 replicas", 90)
        story.tell("HPA: 1 → 2 replicas, on tidegate_queue_depth")
        story.look(f"kubectl -n {NAMESPACE} describe hpa")
        service.until(lambda status: status["stable"]["readyReplicas"] == 2, "to have 2 ready pods")
        story.tell("the second pod is ready and takes its part")
    answers = load.answers
    story.tell(f"{answers.total} answers in {answers.seconds:.0f} s, p95 {(answers.p95 or 0) * 1000:.0f} ms")


def second_version(story: Story, pods: Pods, service: Service) -> None:
    """A canary at exactly 10 %, then promoted through the status."""
    story.chapter("Version 2 as a canary at 10 %")
    service.apply(specification(pods, 2))
    canary = service.until_weight(10)["canary"]["revision"]
    answers = pods.send(service.url, filetype.request(b"#!/bin/sh\n" * 100), count=2000, concurrency=4)
    story.tell(
        f"status.canary.weight is 10; the client saw {answers.share(canary):.1%} of {answers.total} from {canary}"
    )
    story.look(f"kubectl -n {NAMESPACE} get isv filetype -o jsonpath={{.status.rollout}}")
    story.chapter("Promotion, through the status")
    story.tell("writing status.rollout.request {action: Promote}")
    service.request("Promote", canary, f"demo-{uuid.uuid4().hex[:8]}")
    service.until(lambda status: status["stable"]["revision"] == canary, "to have promoted the canary")
    answers = pods.send(service.url, filetype.request(b"#!/bin/sh\n" * 100), count=200)
    story.tell(f"{canary} is stable; the client saw {answers.share(canary):.0%} of {answers.total} from it")


def farewell(kubectl: Kubectl) -> None:
    """Where to go from here."""
    print(
        f"""
\033[1m── Where to go next ──\033[0m
The cluster stays up. In this shell:

  export KUBECONFIG={kubectl.kubeconfig} PATH={kubectl.binaries}:$PATH
  kubectl -n {NAMESPACE} get isv filetype -o yaml     # the spec, and a status that says where it stands
  kubectl -n {NAMESPACE} get events --sort-by=.lastTimestamp
  kubectl -n {NAMESPACE} edit isv filetype            # change spec.model, and watch a canary
  kubectl explain isv.spec.rollout

make demo-down removes it all."""
    )


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"the demo stopped: {failure}")
