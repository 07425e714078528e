"""What is measured: one service at a time, edits, many at once, and rest."""

import asyncio
from dataclasses import dataclass
from functools import partial

from lab.kubectl import Failed
from localcluster.progress import Progress
from scale import audit
from scale.client import MERGE, Client
from scale.controlplane import CONTROLLERS, ControlPlane
from scale.figures import Figure
from scale.following import Family, Following
from scale.operating import Operator, operator

_POSTS_AT_ONCE = 16
_PAUSE_SECONDS = 0.1
_LEASE_SECONDS = 20.0
"""After so long, whoever held the Lease and was killed no longer does."""
_QUIET_SECONDS = 10.0
"""Nothing heard for so long: whatever was begun has ended."""


@dataclass(frozen=True)
class Scene:
    """What measurements work on."""

    plane: ControlPlane
    client: Client
    following: Following
    operator: Operator
    progress: Progress

    async def namespace(self, name: str) -> None:
        """Make a namespace, and wait until pods can be made in it."""
        await self.client.send(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        for _ in range(200):
            try:
                await self.client.send("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")
            except Failed:
                await asyncio.sleep(0.05)
            else:
                return
        raise Failed(f"namespace {name} gets no service account")

    async def create(self, namespace: str, name: str) -> None:
        """Create a service of fixed size. Nobody has its model: what is measured are no pods."""
        spec = {"model": {"uri": f"https://models.example/{name}/1"}, "runtime": {"device": "cpu"}}
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
        await self.client.send("POST", _path(namespace), body)


@dataclass(frozen=True)
class Timed:
    """What callers waited for, in seconds, one after another."""

    calls: list[float]
    """The call itself: what the API server checks, and keeps."""
    since: list[float]
    """From its answer to what it was for, which is how the peers were measured."""


async def created(scene: Scene, namespace: str, count: int) -> Timed:
    """Services, each until the last of its children is there."""
    loop, timed = asyncio.get_running_loop(), Timed([], [])
    for number in range(count):
        name = f"one-{number}"
        family = scene.following.families[namespace, name]
        begun = loop.time()
        await scene.create(namespace, name)
        answered = loop.time()
        await scene.following.until(partial(_complete, family), f"the children of {name}")
        timed.calls.append(answered - begun)
        timed.since.append(max(family.seen.values()) - answered)
        await asyncio.sleep(_PAUSE_SECONDS)
    return timed


async def edited(scene: Scene, namespace: str, count: int) -> Timed:
    """Other models, each until the new revision's Deployment is there."""
    loop, timed = asyncio.get_running_loop(), Timed([], [])
    for number in range(count):
        name = f"one-{number}"
        family = scene.following.families[namespace, name]
        known = set(family.of_kind("Deployment"))
        begun = loop.time()
        change = {"spec": {"model": {"uri": f"https://models.example/{name}/2"}}}
        await scene.client.send("PATCH", f"{_path(namespace)}/{name}", change, MERGE)
        answered = loop.time()
        await scene.following.until(partial(_more, family, known), f"the second Deployment of {name}")
        (new,) = set(family.of_kind("Deployment")) - known
        timed.calls.append(answered - begun)
        timed.since.append(family.seen["Deployment", new] - answered)
        await asyncio.sleep(_PAUSE_SECONDS)
    return timed


async def burst(scene: Scene, namespace: str, count: int) -> tuple[list[Figure], str]:
    """Many services at once: the figures until all is quiet, and the calls behind them."""
    loop = asyncio.get_running_loop()
    await quiet(scene)
    _, before = audit.read(scene.plane.audit_log)
    cpu, passes = scene.operator.cpu_seconds, await _passes(scene)
    begun, slots = loop.time(), asyncio.Semaphore(_POSTS_AT_ONCE)
    families = [scene.following.families[namespace, f"many-{number}"] for number in range(count)]

    async def post(number: int) -> None:
        async with slots:
            await scene.create(namespace, f"many-{number}")

    await asyncio.gather(*(post(number) for number in range(count)))
    posted = loop.time() - begun
    await scene.following.until(lambda: all(family.complete for family in families), "all children", seconds=600)
    wall = max(max(family.seen.values()) for family in families) - begun
    cpu_then = scene.operator.cpu_seconds - cpu
    scene.progress.say(f"all children exist after {wall:.1f} s; wait until all is quiet")
    settled = await quiet(scene) - begun
    found, _ = audit.read(scene.plane.audit_log, before)
    own = [call for call in found if not call.leads]
    ran = {outcome: value - passes.get(outcome, 0) for outcome, value in (await _passes(scene)).items()}
    told = f"{count:,} at once"
    figures = [
        Figure(f"{told}: all were sent after", posted, "s", digits=1),
        Figure(f"{told}: all children exist after", wall, "s", 45, digits=1),
        Figure(f"{told}: controller's CPU to then", cpu_then, "s", digits=1),
        Figure(f"{told}: controller's CPU until quiet", scene.operator.cpu_seconds - cpu, "s", 20, digits=1),
        Figure(f"{told}: quiet after", settled, "s", digits=0),
        Figure("API calls a service", len(own) / count, "", 8, digits=2),
        Figure("of them writes", sum(call.writes for call in own) / count, "", 8, digits=2),
        Figure("passes a service", sum(ran.values()) / count, "", digits=2),
        Figure("highest resident memory", scene.operator.memory_mib(), "MiB", 130),
        Figure("warnings and errors logged", len(scene.operator.complaints()), "", 0),
    ]
    return figures, audit.table(own, count)


async def rest(scene: Scene, seconds: float) -> list[Figure]:
    """Calls and CPU while nothing happens, the Lease's renewal aside."""
    await quiet(scene)
    _, before = audit.read(scene.plane.audit_log)
    cpu = scene.operator.cpu_seconds
    await asyncio.sleep(seconds)
    found, _ = audit.read(scene.plane.audit_log, before)
    own = [call for call in found if not call.leads]
    share = (scene.operator.cpu_seconds - cpu) / seconds
    return [
        Figure(f"at rest, of {seconds:g} s: API calls in 10 s", len(own) * 10 / seconds, "", 1, digits=2),
        Figure("at rest: writes", sum(call.writes for call in own), "", 0),
        Figure("at rest: controller's CPU", share * 100, "%", digits=1),
        Figure("at rest: resident memory", scene.operator.memory_mib("VmRSS"), "MiB", 130),
    ]


async def restarted(plane: ControlPlane, count: int) -> list[Figure]:
    """What a controller takes that finds many services there."""
    loop = asyncio.get_running_loop()
    _, before = audit.read(plane.audit_log)
    begun = loop.time()
    with operator(plane, CONTROLLERS[1].file) as found:
        ready = loop.time() - begun
        await asyncio.sleep(_LEASE_SECONDS + _QUIET_SECONDS)
        told = f"started beside {count:,}"
        calls, _ = audit.read(plane.audit_log, before)
        return [
            Figure(f"{told}: ready after", ready, "s", digits=1),
            Figure(f"{told}: controller's CPU until quiet", found.cpu_seconds, "s", digits=1),
            Figure(f"{told}: writes", sum(call.writes for call in calls if not call.leads), "", 0),
            Figure(f"{told}: highest resident memory", found.memory_mib(), "MiB", 130),
        ]


async def quiet(scene: Scene) -> float:
    """The loop's time since which no watch has told of a change for a while; returns after it."""
    loop = asyncio.get_running_loop()
    heard = max(scene.following.last_event, loop.time())
    while True:
        await asyncio.sleep(heard + _QUIET_SECONDS - loop.time())
        if scene.following.last_event <= heard:
            return heard
        heard = scene.following.last_event


def _complete(family: Family) -> bool:
    return family.complete


def _more(family: Family, known: set[str]) -> bool:
    return not known.issuperset(family.of_kind("Deployment"))


async def _passes(scene: Scene) -> dict[str, float]:
    told = await scene.operator.metrics()
    return {name: value for name, value in told.items() if name.startswith("tidegate_controller_passes_total")}


def _path(namespace: str) -> str:
    return f"/apis/tidegate.dev/v1alpha1/namespaces/{namespace}/inferenceservices"
