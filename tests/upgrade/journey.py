"""From the last release to this tree: the services that are taken along, and what was seen on the way."""

from contextlib import ExitStack
from dataclasses import dataclass

from lab import filetype, install
from lab.kubectl import ROOT, Kubectl
from lab.pods import Answers, Models, Pods
from lab.service import Service, small

BODY = filetype.request(b"import this\n" * 50)
SMALL = "charts/tidegate/ci/small-values.yaml"

Seen = dict[str, tuple[str, int]]
"""Pods by name: uid, and how often their containers were started again."""


@dataclass(frozen=True)
class Journey:
    """What an upgrade found, and left."""

    pods: Pods
    models: Models
    plain: Service
    """One revision, under an HPA."""
    trial: Service
    """A canary at 10 % that waits for approval."""
    before: Seen
    after: Seen
    answers: tuple[Answers, Answers]
    """What callers of the two were answered meanwhile."""


def make(kubectl: Kubectl, pods: Pods) -> Journey:
    """Have the release that is installed run two services, and bring the install to this tree while they are called."""
    models = Models(pods)
    plain, trial = (Service(kubectl, pods.namespace, name) for name in ("plain", "trial"))
    # Its one metric is never reached: an HPA that scales changes pods by itself.
    scaling = {"minReplicas": 1, "maxReplicas": 2, "metrics": [{"type": "QueueDepth", "target": 10_000}]}
    plain.apply({**small(models.version(1)), "scaling": scaling})
    trial.apply(small(models.version(1)))
    for service in (plain, trial):
        service.until_condition("Ready")
    plain.until_condition("ScalingActive")
    trial.apply(small(models.version(2)))
    trial.until_weight(10)
    before = running(kubectl, pods.namespace)
    with ExitStack() as stack:
        loads = [stack.enter_context(pods.load(each.url, BODY, concurrency=2)) for each in (plain, trial)]
        install.chart(kubectl, ROOT / SMALL)
        for service in (plain, trial):
            service.until_condition("PlatformUpdateAvailable")
    answers = (loads[0].answers, loads[1].answers)
    return Journey(pods, models, plain, trial, before, running(kubectl, pods.namespace), answers)


def running(kubectl: Kubectl, namespace: str) -> Seen:
    """The pods of a namespace's services."""
    found = kubectl.get("-n", namespace, "pods", "-l", "tidegate.dev/service")["items"]
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(container["restartCount"] for container in pod["status"]["containerStatuses"]),
        )
        for pod in found
    }
