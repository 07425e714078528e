"""How soon a controller goes on after its API server was away: a service that is made then, and its children."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

from lab.kubectl import Failed
from scale.client import Client
from scale.controlplane import CONTROLLERS, ControlPlane
from scale.figures import Figure
from scale.following import CHILDREN, KINDS
from scale.leading import until
from scale.operating import NAMESPACE, Operator, operator
from tidegate_operator.process.ticks import ticks

_BAR_SECONDS = 30.0
_AWAY_SECONDS, _STOPPED_SECONDS = 10.0, 45.0
"""Longer than a Lease lasts: whoever led then begins anew."""


async def faults(plane: ControlPlane, client: Client) -> list[Figure]:
    """Figures of an API server that is killed and started again, and of one that is stopped and continued."""
    api = plane.programs["kube-apiserver"]

    async def killed() -> None:
        api.kill()
        await asyncio.sleep(_AWAY_SECONDS)
        await asyncio.to_thread(api.start)

    async def stopped() -> None:
        api.send(signal.SIGSTOP)
        await asyncio.sleep(_STOPPED_SECONDS)
        api.send(signal.SIGCONT)

    figures = []
    for name, what, fault in (
        ("killed", f"API server killed, and there again after {_AWAY_SECONDS:g} s", killed),
        ("stopped", f"API server stopped for {_STOPPED_SECONDS:g} s", stopped),
    ):
        seconds = await _after(plane, client, name, fault)
        figures.append(Figure(f"{what}: a service made then has its children after", seconds, "s", _BAR_SECONDS, 1))
    return figures


async def _after(plane: ControlPlane, client: Client, name: str, fault: Callable[[], Awaitable[None]]) -> float:
    loop = asyncio.get_running_loop()
    async with _kept_running(plane) as current:
        await until(lambda: current().leads(), "the controller leads")
        await fault()
        begun = loop.time()
        spec = {"model": {"uri": "https://models.example/later"}, "runtime": {"device": "cpu"}}
        metadata = {"name": name, "namespace": NAMESPACE}
        body = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
        path = f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/inferenceservices/{name}?fieldManager=scale"
        await client.send("PATCH", path, body, "application/apply-patch+yaml")
        await until(lambda: _complete(client, name), f"the children of {name}")
        return loop.time() - begun


@contextlib.asynccontextmanager
async def _kept_running(plane: ControlPlane) -> AsyncIterator[Callable[[], Operator]]:
    """A controller that is started again when it ends, as a kubelet does the first time."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(operator(plane, CONTROLLERS[0].file))]

        async def restart() -> None:
            async for _ in ticks(0.2):
                if found[0].process.poll() is not None:
                    found[0] = await asyncio.to_thread(stack.enter_context, operator(plane, CONTROLLERS[0].file))

        restarting = asyncio.create_task(restart())
        try:
            yield lambda: found[0]
        finally:
            restarting.cancel()
            await asyncio.gather(restarting, return_exceptions=True)


async def _complete(client: Client, name: str) -> bool:
    try:
        for kind, path in KINDS.items():
            listed = await client.send("GET", f"{path}?labelSelector=tidegate.dev/service%3D{name}")
            if len(listed["items"]) < CHILDREN[kind]:
                return False
    except Failed:
        return False
    return True
