"""Rollouts one after the other, every other one aborted, under load by REST and gRPC: what callers lost.

Run by `make storm`; STORM="--rollouts 4 --requests 20000" for less.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from lab import filetype, install
from lab.kubectl import ROOT, Failed, Kubectl, Object
from lab.pods import Answers, Pods
from lab.service import Service

NAMESPACE = "tidegate-storm"
PAUSE_SECONDS = 0.005
"""Between a client's requests: callers that take all there is of two cores would end what watches them."""

BODY: Object = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}


@dataclass
class Tally:
    """What became of the rollouts."""

    promoted: int = 0
    aborted: int = 0
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Print the figures as Markdown; exits with 1 if a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=20, help="every other one is aborted")
    parser.add_argument("--requests", type=int, default=200_000, help="answers there have to be at the end at least")
    options = parser.parse_args()
    kubectl = Kubectl.of_cluster()
    install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml")
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    service = Service(kubectl, NAMESPACE, "doubling")
    try:
        tally, seen = storm(pods, service, options.rollouts, options.requests)
    finally:
        kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")
    print(report(tally, seen))
    if any(answers.failures for answers in seen.values()):
        sys.exit(1)


def storm(pods: Pods, service: Service, rollouts: int, requests: int) -> tuple[Tally, dict[str, Answers]]:
    """The rollouts of a service that serves, and what its callers saw of them."""
    service.delete()
    service.apply(specification(pods, 0))
    service.until_condition("Ready")
    tally, begun = Tally(), time.monotonic()
    with (
        pods.load(service.url, BODY, concurrency=4, pause=PAUSE_SECONDS) as rest,
        pods.load(service.grpc_url, BODY, concurrency=4, pause=PAUSE_SECONDS) as grpc,
    ):
        for number in range(1, rollouts + 1):
            rolled_out(pods, service, number, tally)
            print(f"[{time.monotonic() - begun:5.0f} s] {number} of {rollouts} rollouts", file=sys.stderr, flush=True)
        rate = pods.send(service.url, BODY, count=2000, pause=PAUSE_SECONDS)
        missing = requests / (2 * rate.total / rate.seconds) - (time.monotonic() - begun)
        if missing > 0:
            print(f"the load goes on for {missing:.0f} s", file=sys.stderr, flush=True)
            pods.send(service.url, BODY, seconds=missing, pause=PAUSE_SECONDS)
    return tally, {"REST": rest.answers, "gRPC": grpc.answers}


def rolled_out(pods: Pods, service: Service, number: int, tally: Tally) -> None:
    """One rollout: of odd numbers to its end, of even ones to an abort at one step or the other."""
    begun = time.monotonic()
    stable = service.status["stable"]["revision"]
    service.apply(specification(pods, number))
    if number % 2:
        service.until(lambda status: status["stable"]["revision"] != stable, f"to have promoted {number}", 180)
        tally.promoted += 1
    else:
        canary = service.until_weight(50 if number % 4 else 10)["canary"]["revision"]
        service.request("Abort", canary, f"abort-{number}")
        service.until(lambda status: status["rollout"]["phase"] == "Aborted", f"to have aborted {number}")
        tally.aborted += 1
    tally.seconds.append(time.monotonic() - begun)


def specification(pods: Pods, number: int) -> Object:
    """A spec whose model is another file for each number, and doubles all the same."""
    data = doubling(number)
    uri = pods.put(f"doubling-{number}.onnx", data)
    return {
        "model": {"uri": uri, "sha256": filetype.digest(data)},
        "runtime": {"device": "cpu"},
        "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}},
        "routing": {"grpc": True},
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


def report(tally: Tally, seen: dict[str, Answers]) -> str:
    """The figures as Markdown."""
    mean = sum(tally.seconds) / len(tally.seconds)
    lines = [
        f"{tally.promoted} rollouts promoted, {tally.aborted} aborted, {mean:.1f} s each on average\n",
        "| callers | answers | failed | revisions that answered | p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, answers in seen.items():
        if answers.p50 is None or answers.p99 is None:
            raise Failed(f"nothing was answered by {name}: {answers.failed}")
        lines.append(
            f"| {name} | {answers.total:,} | {answers.failures} | {len(answers.versions)} |"
            f" {answers.p50 * 1000:.1f} | {answers.p99 * 1000:.1f} |"
        )
        lines += [f"\n{name}: {failed}" for failed in answers.failed]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
