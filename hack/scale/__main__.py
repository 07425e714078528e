"""`make scale`: prints Markdown; ends with 1 where a bar is missed."""

import argparse
import asyncio
import contextlib
import os
import platform
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from lab.kubectl import ROOT, Failed
from localcluster import pins
from localcluster.progress import Progress
from scale import controlplane, faults, leading, measuring
from scale.client import Client
from scale.controlplane import CONTROLLERS, ControlPlane
from scale.figures import Figure, latencies, table, written
from scale.following import following
from scale.operating import NAMESPACE, operator

PAGE = ROOT / "docs/benchmarks/control-plane.md"
_PARTS = ("scale", "leading", "faults")


def main() -> int:
    """Measure; 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="services at once (1,000)")
    parser.add_argument("--samples", type=int, default=100, help="services one after another (100)")
    parser.add_argument("--rest", type=float, default=60, help="seconds at rest (60)")
    parser.add_argument("--part", choices=_PARTS, help="only this part")
    parser.add_argument("--write", action="store_true", help=f"write what is printed into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    # A signal ends us as an exception does, and so whatever was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Progress()
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-scale-") as folder,
        controlplane.running(Path(folder), progress) as plane,
    ):
        try:
            text = asyncio.run(_measure(plane, options, progress, figures))
        except Failed:
            progress.say(f"seen until then:\n{table(figures)}")
            raise
    print(text)
    if options.write:
        PAGE.write_text(written(PAGE.read_text(), "make scale", text))
    return 0 if all(figure.met for figure in figures) else 1


async def _measure(plane: ControlPlane, options: argparse.Namespace, progress: Progress, figures: list[Figure]) -> str:
    client = Client(plane)
    calls = ""
    try:
        await client.send("POST", "/api/v1/namespaces", _namespace(NAMESPACE))
        if options.part in (None, "scale"):
            calls = await _scale(plane, client, options, progress, figures)
        if options.part in (None, "leading"):
            progress.say("hand the lead over")
            figures += await leading.hand_overs(plane, client)
        if options.part in (None, "faults"):
            progress.say("take the API server away")
            figures += await faults.faults(plane, client)
    finally:
        await client.close()
    return "\n\n".join(filter(None, (_circumstances(), table(figures), calls)))


async def _scale(
    plane: ControlPlane, client: Client, options: argparse.Namespace, progress: Progress, figures: list[Figure]
) -> str:
    async with contextlib.AsyncExitStack() as stack:
        follow = await stack.enter_async_context(following(client))
        process = stack.enter_context(operator(plane, CONTROLLERS[0].file))
        await leading.until(process.leads, "the controller leads")
        scene = measuring.Scene(plane, client, follow, process, progress)
        for name in ("alone", "many", "after"):
            await scene.namespace(name)
        progress.say("one service at a time")
        await measuring.created(scene, "after", 3)
        timed = await measuring.created(scene, "alone", options.samples)
        figures += latencies("the call that creates a service", timed.calls)
        figures += latencies("its answer → all children", timed.since, 40, 90)
        timed = await measuring.edited(scene, "alone", options.samples)
        figures += latencies("the call that edits one", timed.calls)
        figures += latencies("its answer → new Deployment", timed.since, 20, 60)
        progress.say(f"{options.count:,} at once")
        found, calls = await measuring.burst(scene, "many", options.count)
        figures += found
        progress.say("rest")
        figures += await measuring.rest(scene, options.rest)
        progress.say(f"one at a time beside {options.count:,}")
        await scene.namespace("beside")
        timed = await measuring.created(scene, "beside", options.samples)
        figures += latencies(f"beside {options.count:,}: created → all children", timed.since, None, 1000)
        timed = await measuring.edited(scene, "beside", options.samples)
        figures += latencies(f"beside {options.count:,}: edited → new Deployment", timed.since)
    figures += await measuring.restarted(plane, options.count)
    return calls


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _circumstances() -> str:
    today = datetime.now(UTC).date().isoformat()
    version = pins.read().kubernetes
    return (
        f"Printed by `make scale` on {today}: etcd, kube-apiserver and kube-controller-manager of Kubernetes {version}"
        f" and the controller (Python {platform.python_version()}) on {os.cpu_count()} virtual cores, which they share"
        " with the client and other work of the machine. There is no node, so nothing gets ready. Calls are those of"
        " the audit log, without the Lease's."
    )


if __name__ == "__main__":
    sys.exit(main())
