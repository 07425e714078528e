"""Who leads when a leader ends, stops or is cut off: times, and writes by those who no longer lead."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from lab.kubectl import Failed
from scale import audit
from scale.client import MERGE, Client
from scale.controlplane import CONTROLLERS, ControlPlane
from scale.figures import Figure
from scale.operating import NAMESPACE, operator
from tidegate_operator.process.ticks import ticks

_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/tidegate-controller"
_SERVICES = f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/inferenceservices"
_STOPPED_SECONDS = 25.0
"""Longer than the Lease lasts, and than its successor takes to notice."""


async def hand_overs(plane: ControlPlane, client: Client) -> list[Figure]:
    """Figures of a SIGTERM, a SIGKILL and a SIGSTOP of the leader, each with a successor that waits."""
    asked, killed = await _ended(plane, signal.SIGTERM), await _ended(plane, signal.SIGKILL)
    return [
        Figure("leader gets SIGTERM: its successor leads after", asked, "s", 3, 1),
        Figure("leader gets SIGKILL: its successor leads after", killed, "s", 20, 1),
        *await _stopped(plane, client),
    ]


async def _ended(plane: ControlPlane, number: signal.Signals) -> float:
    first, second = (each.file for each in CONTROLLERS)
    with operator(plane, first) as leader:
        await until(leader.leads, f"{first} leads")
        with operator(plane, second) as successor:
            begun = asyncio.get_running_loop().time()
            leader.kill(number)
            await until(successor.leads, f"{second} leads")
            return asyncio.get_running_loop().time() - begun


async def _stopped(plane: ControlPlane, client: Client) -> list[Figure]:
    first, second = (each.file for each in CONTROLLERS)
    _, before = audit.read(plane.audit_log)
    with operator(plane, first) as leader:
        await until(leader.leads, f"{first} leads")
        # Stopped in the midst of its work, so that there is something left to write.
        load = asyncio.create_task(_edits(client))
        await asyncio.sleep(1)
        with operator(plane, second) as successor:
            leader.kill(signal.SIGSTOP)
            stopped = datetime.now(UTC)
            await asyncio.sleep(_STOPPED_SECONDS)
            if not await successor.leads():
                raise Failed(f"{second} doesn't lead {_STOPPED_SECONDS:g} s after {first} was stopped")
            leader.kill(signal.SIGCONT)
            await asyncio.sleep(12)
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
            over = leader.process.poll() is not None
    found, _ = audit.read(plane.audit_log, before)
    since = stopped + timedelta(seconds=1)
    late = [call for call in found if call.user == first and call.writes and call.at > since]
    return [
        Figure(f"leader stopped for {_STOPPED_SECONDS:g} s, then continued: its writes", len(late), "", 0),
        Figure("the same: it has not ended 12 s later", float(not over), "", 0),
    ]


async def _edits(client: Client) -> None:
    """Keep the controllers busy with a few services of their own, until cancelled."""
    number = 0
    for name in map(str, range(20)):
        spec = {"model": {"uri": "https://models.example/busy"}, "runtime": {"device": "cpu"}}
        metadata = {"name": f"busy-{name}", "namespace": NAMESPACE}
        body = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
        await client.send("PATCH", f"{_SERVICES}/busy-{name}?fieldManager=scale", body, "application/apply-patch+yaml")
    while True:
        number += 1
        change = {"spec": {"model": {"uri": f"https://models.example/busy/{number}"}}}
        await client.send("PATCH", f"{_SERVICES}/busy-{number % 20}", change, MERGE)
        await asyncio.sleep(0.02)


async def until(reached: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return once `reached` is true; raises Failed after a minute."""
    try:
        async with asyncio.timeout(60):
            async for _ in ticks(0.02):
                if await reached():
                    return
    except TimeoutError:
        raise Failed(f"not within a minute: {what}") from None
