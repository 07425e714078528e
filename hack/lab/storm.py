"""Rollouts one after the other, every other one aborted, under load by REST and gRPC: what callers lost.

Run by `make storm`; STORM="--rollouts 4 --requests 20000" for less, "--provider Direct" without a proxy.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import get_args

import onnx
from onnx import TensorProto, helper

from lab import filetype, install
from lab.kubectl import ROOT, Failed, Kubectl, Object
from lab.pods import Answers, Pods
from lab.service import Service
from tidegate_operator.api.routing_spec import ProviderName

NAMESPACE = "tidegate-storm"
WAVE = 10
"""Rollouts under one load: only when it is over it is known how many requests it was."""
PAUSE_SECONDS = 0.005
"""Between a client's requests: callers that take all there is of two cores would end what watches them."""

BODY: Object = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}


@dataclass
class Tally:
    """What became of the rollouts."""

    promoted: int = 0
    aborted: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def number(self) -> int:
        """How many there were."""
        return self.promoted + self.aborted


@dataclass(frozen=True)
class Wave:
    """What callers saw of some rollouts."""

    rest: Answers
    grpc: Answers

    @property
    def total(self) -> int:
        """Requests of both kinds that were answered."""
        return self.rest.total + self.grpc.total


def main() -> None:
    """Print the figures as Markdown; exits with 1 if a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=20, help="every other one is aborted")
    parser.add_argument(
        "--requests", type=int, default=200_000, help="answers there have to be at least: rollouts go on until then"
    )
    ways = get_args(ProviderName)
    parser.add_argument("--provider", choices=ways, default="Router", help="by which way callers come")
    options = parser.parse_args()
    kubectl = Kubectl.of_cluster()
    install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml")
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    service = Service(kubectl, NAMESPACE, "doubling")
    try:
        tally, waves = storm(pods, service, options.rollouts, options.requests, options.provider)
    finally:
        kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")
    print(report(tally, waves))
    if any(wave.rest.failures or wave.grpc.failures for wave in waves):
        sys.exit(1)


def storm(pods: Pods, service: Service, rollouts: int, requests: int, provider: str) -> tuple[Tally, list[Wave]]:
    """Rollouts of a service that serves, by waves of ten, and what callers saw of each; more than asked if too few."""
    service.delete()
    service.apply(specification(pods, 0, provider))
    service.until_condition("Ready")
    tally, waves, begun = Tally(), list[Wave](), time.monotonic()
    while tally.number < rollouts or sum(wave.total for wave in waves) < requests:
        left = rollouts - tally.number
        with (
            pods.load(service.url, BODY, concurrency=4, pause=PAUSE_SECONDS) as rest,
            pods.load(service.grpc_url, BODY, concurrency=4, pause=PAUSE_SECONDS) as grpc,
        ):
            for _ in range(min(left, WAVE) if left > 0 else WAVE):
                rolled_out(service, specification(pods, tally.number + 1, provider), tally)
                seconds = time.monotonic() - begun
                print(f"[{seconds:5.0f} s] {tally.number} of {rollouts} rollouts", file=sys.stderr, flush=True)
        waves.append(Wave(rest.answers, grpc.answers))
        if not (rest.answers.total and grpc.answers.total):
            raise Failed(f"nothing was answered: {rest.answers.failed} {grpc.answers.failed}")
        answered = sum(wave.total for wave in waves)
        print(f"          {answered:,} of {requests:,} requests", file=sys.stderr, flush=True)
    return tally, waves


def rolled_out(service: Service, spec: Object, tally: Tally) -> None:
    """One rollout: of odd numbers to its end, of even ones to an abort at one step or the other."""
    number, begun = tally.number + 1, time.monotonic()
    stable = service.status["stable"]["revision"]
    service.apply(spec)
    if number % 2:
        service.until(lambda status: status["stable"]["revision"] != stable, f"to have promoted {number}", 180)
        tally.promoted += 1
    else:
        canary = service.until_weight(50 if number % 4 else 10)["canary"]["revision"]
        service.request("Abort", canary, f"abort-{number}")
        service.until(lambda status: status["rollout"]["phase"] == "Aborted", f"to have aborted {number}")
        tally.aborted += 1
    tally.seconds.append(time.monotonic() - begun)


def specification(pods: Pods, number: int, provider: str = "Router") -> Object:
    """A spec whose model is another file for each number, and doubles all the same."""
    data = doubling(number)
    uri = pods.put(f"doubling-{number}.onnx", data)
    return {
        "model": {"uri": uri, "sha256": filetype.digest(data)},
        "runtime": {"device": "cpu"},
        "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}},
        "routing": {"provider": provider, "grpc": True},
        "rollout": {
            "steps": [{"weight": 10, "hold": "2s"}, {"weight": 50, "hold": "2s"}],
            # A p95 of a millisecond doubles where pods and callers share two cores; lost requests are looked for.
            "analysis": {"interval": "1s", "minRequests": 50, "maxP95Increase": "9999%"},
            "scaleDownDelay": "5s",
        },
    }


def doubling(number: int) -> bytes:
    """A model of one operator."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], f"doubling-{number}", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    serialized: bytes = made.SerializeToString()
    return serialized


def report(tally: Tally, waves: list[Wave]) -> str:
    """The figures as Markdown; of latencies those of the worst wave."""
    mean = sum(tally.seconds) / len(tally.seconds)
    lines = [
        f"{tally.promoted} rollouts promoted, {tally.aborted} aborted, {mean:.1f} s each on average\n",
        "| callers | answers | failed | revisions that answered | p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, seen in (("REST", [wave.rest for wave in waves]), ("gRPC", [wave.grpc for wave in waves])):
        total, failures = sum(each.total for each in seen), sum(each.failures for each in seen)
        revisions = {revision for each in seen for revision in each.versions}
        p50, p99 = max(each.p50 or 0.0 for each in seen), max(each.p99 or 0.0 for each in seen)
        latencies = f"{p50 * 1000:.1f} | {p99 * 1000:.1f}"
        lines.append(f"| {name} | {total:,} | {failures} | {len(revisions)} | {latencies} |")
        lines += [f"\n{name}: {failed}" for each in seen for failed in each.failed]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
