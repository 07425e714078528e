"""A request's way through the status: written against the version it was made from, and answered by the controller."""

import asyncio
from typing import TYPE_CHECKING

from tidegate_operator import errors
from tidegate_operator.api.status import Request
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.requests import Answer, Wish, answer_to, compose
from tidegate_operator.cli.service import understand

if TYPE_CHECKING:
    from tidegate_operator.cli.cluster import Cluster

TRY_AGAIN_SECONDS = 0.2
LOOK_AGAIN_SECONDS = 0.3


async def write(cluster: "Cluster", name: str, wish: Wish, first: Request, seconds: float) -> None:
    """Write `first`, the request that `wish` came to, into the status of the service `name`.

    The controller writes the status often, so a Conflict is tried again on what it says by then, with the same id. It
    isn't where `wish` would mean another revision by then: nobody has looked at that one. Raises Stop.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await _written(cluster, name, wish, first):
                    return
                await asyncio.sleep(TRY_AGAIN_SECONDS)
    except TimeoutError as error:
        raise Stop(
            f"not written within {seconds:g} s, as far as is known: the status kept changing, or nobody answered",
            Code.TIMED_OUT,
        ) from error


async def answer(cluster: "Cluster", name: str, identity: str, seconds: float) -> Answer:
    """The controller's answer to a request that was written; raises Stop if none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await _look(cluster, name, identity)
                if found is not None and found.state != "waiting":
                    return found
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
    except TimeoutError as error:
        raise Stop(
            f"not answered within {seconds:g} s. The request stays in the status, and may still be carried out;"
            f" kubectl tidegate explain {name} -n {cluster.namespace} tells what it waits for",
            Code.TIMED_OUT,
        ) from error


async def _written(cluster: "Cluster", name: str, wish: Wish, first: Request) -> bool:
    try:
        service = understand(await cluster.service(name))
        if answer_to(service, first.id).state != "displaced":
            # An attempt before this one got through, though its answer was lost.
            return True
        again = compose(service, wish, first.id)
        if again.revision != first.revision:
            raise Stop(
                f"not written: meanwhile {again.revision} took the place of {first.revision}; look at it, and ask again"
            )
        await cluster.ask(name, first.dump(), service.version)
    except (errors.Conflict, errors.Unavailable):
        return False
    return True


async def _look(cluster: "Cluster", name: str, identity: str) -> Answer | None:
    """What the status says of a request; None while the API server doesn't answer."""
    try:
        return answer_to(understand(await cluster.service(name)), identity)
    except errors.Unavailable:
        return None
