"""Figures of a running install: how fast it follows what is applied, and what it costs. Run by `make measure`."""

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from kubernetes.aio.client import ApiClient, AppsV1Api, Configuration, CustomObjectsApi
from kubernetes.aio.config import load_kube_config
from kubernetes.aio.watch import Watch

from lab import filetype, install
from lab.demo import specification
from lab.kubectl import ROOT, Failed, Kubectl
from lab.pods import Pods
from lab.service import Service

NAMESPACE = "tidegate-measure"
BODY = filetype.request(b"#!/bin/sh\n" * 100)
PROCESSES = ("controller", "xds", "metrics-adapter", "router")


@dataclass(frozen=True)
class Sample:
    """Seconds that something took, each time."""

    name: str
    seconds: list[float]

    def row(self) -> str:
        """A row of the Markdown table, in milliseconds."""
        ordered = sorted(self.seconds)
        p99 = ordered[round(0.99 * (len(ordered) - 1))]
        return f"| {self.name} | {len(ordered)} | {statistics.median(ordered) * 1000:,.0f} | {p99 * 1000:,.0f} |"


def main() -> None:
    """Print the figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="services for apply → Deployment")
    options = parser.parse_args()
    kubectl = Kubectl.of_cluster()
    install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml")
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    try:
        print("| what | n | p50 ms | p99 ms |\n| --- | ---: | ---: | ---: |")
        print(asyncio.run(deployments(kubectl, options.count)).row(), flush=True)
        for sample in rollouts(pods, 5):
            print(sample.row(), flush=True)
        print("\n| process | RSS MiB |\n| --- | ---: |")
        for name in PROCESSES:
            print(f"| {name} | {resident(kubectl, install.NAMESPACE, f'tidegate-{name}'):.0f} |")
        print(f"| runtime, with the demo's model | {served(pods):.0f} |")
        size = (ROOT / "crds/tidegate.dev_inferenceservices.yaml").stat().st_size
        print(f"\nCRD: {size:,} bytes")
    finally:
        kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


async def deployments(kubectl: Kubectl, count: int) -> Sample:
    """From the apply of a service to its Deployment, as a watch tells it, one service after another."""
    configuration = Configuration()
    await load_kube_config(config_file=str(kubectl.kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        seconds = [await _until_deployed(client, f"unserved-{number}") for number in range(count)]
    return Sample("apply → Deployment exists", seconds)


async def _until_deployed(client: ApiClient, name: str) -> float:
    apps, objects, loop = AppsV1Api(client), CustomObjectsApi(client), asyncio.get_running_loop()
    place = ("tidegate.dev", "v1alpha1", NAMESPACE, "inferenceservices")
    # A model that nobody has: what is measured is the controller, not the pods of so many services.
    spec = {"model": {"uri": "https://models.invalid/none"}, "runtime": {"device": "cpu"}}
    body = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": {"name": name}, "spec": spec}
    listed = (await apps.list_namespaced_deployment(NAMESPACE)).metadata
    assert listed is not None
    async with Watch() as watch:
        begun = loop.time()
        await objects.create_namespaced_custom_object(*place, body)
        seen = {"label_selector": f"tidegate.dev/service={name}", "resource_version": listed.resource_version}
        # From the version listed before: nothing is missed, however late the watch is there.
        async for _ in watch.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=30, **seen):
            taken = loop.time() - begun
            await objects.delete_namespaced_custom_object(*place, name)
            return taken
    raise Failed(f"no Deployment for {name} within 30 s")


def rollouts(pods: Pods, count: int) -> tuple[Sample, ...]:
    """What a user waits for: a first version's Ready, a canary's weight, its first answer, its last after an abort."""
    ready, weighted, first, last = [], [], [], []
    for number in range(count):
        service = Service(pods.kubectl, NAMESPACE, f"served-{number}")
        begun = time.monotonic()
        service.apply(specification(pods, 1))
        stable = service.until_condition("Ready")["stable"]["revision"]
        ready.append(time.monotonic() - begun)
        with pods.load(service.url, BODY) as load:
            begun = time.monotonic()
            service.apply(specification(pods, 2))
            canary = service.until_weight(10)["canary"]["revision"]
            weighted.append(time.monotonic() - begun)
            told = datetime.now(UTC).timestamp()
            until_answered(pods, service, canary)
            aborted = datetime.now(UTC).timestamp()
            service.request("Abort", canary, "measure")
            until_answered(pods, service, stable, alone=True)
        first.append(max(0.0, load.answers.first_seen[canary] - told))
        last.append(max(0.0, load.answers.last_seen[canary] - aborted))
        service.delete()
    return (
        Sample("apply → Ready (3 MB model, images there)", ready),
        Sample("apply of a second version → its weight in the status", weighted),
        Sample("weight in the status → the canary's first answer", first),
        Sample("abort → the canary's last answer", last),
    )


def until_answered(pods: Pods, service: Service, revision: str, *, alone: bool = False) -> None:
    """Send requests until one of a hundred, or with `alone` all of them, were answered by `revision`."""
    for _ in range(20):
        versions = pods.send(service.url, BODY, count=100).versions
        if revision in versions and (len(versions) == 1 or not alone):
            return
    raise Failed(f"{service.name}: 2,000 requests were not answered by {revision}{' alone' if alone else ''}")


def served(pods: Pods) -> float:
    """MiB of memory of a runtime that has answered 500 requests."""
    service = Service(pods.kubectl, NAMESPACE, "weighed")
    service.apply(specification(pods, 1))
    revision = service.until_condition("Ready")["stable"]["revision"]
    pods.send(service.url, BODY, count=500)
    return resident(pods.kubectl, NAMESPACE, revision)


def resident(kubectl: Kubectl, namespace: str, deployment: str) -> float:
    """MiB of memory of the first process of a Deployment's pod."""
    program = "print(next(l for l in open('/proc/1/status') if l.startswith('VmRSS')).split()[1])"
    said = kubectl.run("exec", "-n", namespace, f"deploy/{deployment}", "--", "python3", "-c", program)
    try:
        return int(said) / 1024
    except ValueError as error:
        raise Failed(f"no memory figure of {deployment}: {said}") from error


if __name__ == "__main__":
    main()
