"""`make hops`: what the router's hop costs beside none, and what handing a canary's share over does.

Three real runtimes, the chart's Envoy, and the real xds server on this machine; the load is the benchmark's generator,
whose connections go to the router, or to addresses drawn for each of them, as a Service's are.
"""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench import bodies, generator
from bench.bodies import V2_GRPC, V2_JSON, Form
from bench.paths import DOCUMENTS, ROOT
from hops import report
from hops.envoy import Envoy
from hops.fleet import Pod, cpu_seconds, running
from hops.models import TWO
from hops.plane import Plane, plane
from localcluster.ports import free_ports

FORMS: Final[Mapping[str, Form]] = {"REST": V2_JSON, "gRPC": V2_GRPC}
CONNECTIONS: Final = 32
LOAD: Final = 0.7
READY_SECONDS: Final = 60.0
WAYS: Final = ("Router", "Direct")


@dataclass(frozen=True)
class Phase:
    """What the three pods are."""

    name: str
    canaries: int
    weight: int

    def revisions(self, name: str) -> list[str]:
        """Of each pod."""
        return [f"{name}-{'b' if number >= 3 - self.canaries else 'a'}" for number in range(3)]


PHASES: Final = (Phase("no rollout", 0, 0), Phase("a canary at 33 %", 1, 33))


@dataclass(frozen=True)
class Figure:
    """One point: what a request costs all processes in its path at full rate, and how long it takes at 70 % of it."""

    model: str
    protocol: str
    phase: str
    way: str
    best_rate: float
    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int


class Bench:
    """A service, ready to be asked by either way."""

    def __init__(self, name: str, load: Path, envoy: Envoy, pods: list[Pod], told: Plane, phase: Phase) -> None:
        self.name = name
        self.load = load
        self.envoy = envoy
        self.pods = pods
        self.told = told
        self.phase = phase

    async def go(self, way: str) -> None:
        """Returns once callers may come by that way, and a canary has its share."""
        stable, canary = f"{self.name}-a", f"{self.name}-b" if self.phase.canaries else None
        self.told.service(self.name, way, stable, canary, self.phase.weight)
        for revision in {pod.revision for pod in self.pods}:
            self.told.endpoints(revision, [pod for pod in self.pods if pod.revision == revision])
        await until(lambda: self._shares(way), "the share is in force")

    async def ask(self, way: str, form: Form, **settings: Any) -> tuple[generator.Result, float]:
        """What came back, and the CPU seconds of all processes in the path."""
        processes = [pod.process for pod in self.pods] + ([self.envoy.process] if way == "Router" else [])
        job = {
            "workload": str(bodies.prepare(TWO[self.name], form, self.name)),
            "address": self._address(way, form),
            "host": f"{self.name}.ml",
            "connections": CONNECTIONS,
            "check_every": 16,
            **settings,
        }
        before = cpu_seconds(processes)
        result = await asyncio.to_thread(generator.send, self.load, job)
        return result, cpu_seconds(processes) - before

    def _address(self, way: str, form: Form) -> str:
        if way == "Router":
            return f"127.0.0.1:{self.envoy.data_port}"
        stable = [pod for pod in self.pods if pod.revision.endswith("-a")]
        return ",".join(f"{pod.address}:{pod.grpc_port if form.transport == 'grpc' else pod.port}" for pod in stable)

    async def _shares(self, way: str) -> bool:
        if not all([await asyncio.to_thread(pod.ready) for pod in self.pods]):
            return False
        if way == "Router":
            result, _ = await self.ask(way, V2_JSON, count=1, connections=1, seconds=2)
            again, _ = await self.ask(way, V2_GRPC, count=1, connections=1, seconds=2)
            return bool(result["good"] and again["good"])
        wanted = {f"{self.name}-b": float(self.phase.weight)} if self.phase.canaries else {"": 0.0}
        for pod in self.pods:
            if pod.revision.endswith("-a"):
                found = await asyncio.to_thread(pod.samples, "tidegate_handover_percent", "canary")
                reached = await asyncio.to_thread(pod.samples, "tidegate_handover_reachable_pods", "canary")
                if found != wanted or sum(reached.values()) != self.phase.canaries:
                    return False
        return True


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Raises `TimeoutError`."""
    end = time.monotonic() + READY_SECONDS
    while not await holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {READY_SECONDS:g} s: {what}")
        await asyncio.sleep(0.2)


async def measured(bench: Bench, seconds: float, rounds: int, chosen: tuple[str, ...]) -> list[Figure]:
    """Both ways by turns; the rate that times are taken at is the same for both."""
    found = []
    for protocol in chosen:
        form = FORMS[protocol]
        best: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                await bench.go(way)
                await bench.ask(way, form, seconds=1)
                result, cpu = await bench.ask(way, form, seconds=seconds)
                best[way].append((result["rate"], cpu / max(1, result["good"]) * 1e6))
        rate = LOAD * min(_middle([rate for rate, _ in best[way]]) for way in WAYS)
        for way in WAYS:
            await bench.go(way)
            times = [(await bench.ask(way, form, seconds=seconds, rate=rate))[0] for _ in range(rounds)]
            found.append(
                Figure(
                    bench.name,
                    protocol,
                    bench.phase.name,
                    way,
                    _middle([rate for rate, _ in best[way]]),
                    _middle([cpu for _, cpu in best[way]]),
                    rate,
                    _middle([result["latency_ms"]["p50"] for result in times]),
                    _middle([result["latency_ms"]["p99"] for result in times]),
                    sum(result["sent"] - result["good"] for result in times),
                )
            )
            print(json.dumps(asdict(found[-1])), flush=True)
    return found


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def main(asked: argparse.Namespace) -> int:
    """Exit status."""
    load, figures = generator.built(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, phase in _points(asked):
            logs = Path(folder) / f"{name}-{phase.canaries}"
            logs.mkdir()
            envoy = Envoy(logs, free_ports(4))
            revisions = phase.revisions(name)
            async with plane(envoy.xds_port, envoy.data_port) as told:
                with running(name, TWO[name].path(), revisions, envoy.xds_port, logs) as pods:
                    envoy.start()
                    try:
                        bench = Bench(name, load, envoy, pods, told, phase)
                        figures += await measured(bench, asked.seconds, asked.rounds, tuple(asked.protocols))
                    finally:
                        envoy.stop()
    asked.output.mkdir(parents=True, exist_ok=True)
    page = asked.output / "ways.md"
    page.write_text(report.page([asdict(figure) for figure in figures], platform.processor() or platform.machine()))
    print(page)
    return 0


def _points(asked: argparse.Namespace) -> Iterator[tuple[str, Phase]]:
    return ((name, phase) for name in asked.models for phase in PHASES)


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="make hops", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=tuple(TWO), default=list(TWO))
    parser.add_argument("--protocols", nargs="+", choices=tuple(FORMS), default=list(FORMS))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "artifacts" / "hops")
    parser.add_argument("--publish", action="store_const", const=DOCUMENTS, dest="output", help="into docs/benchmarks")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
