"""How kopf watches for us: events only, nothing written to any object, and an end of the process when it gives up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import kopf

from tidegate_operator.kube.client import in_cluster
from tidegate_operator.kube.objects import Kind, Object

Handler = Callable[[Object, bool], Awaitable[None]]
"""Takes in an object's version, and whether it was deleted."""


def settings(selectors: Mapping[Kind, str]) -> kopf.OperatorSettings:
    """Settings for a watcher that survives sick API servers; `selectors` narrow a kind's watch at the server.

    kopf ends, rather than lists again, on most watch errors; so the process ends and is started again.
    """
    chosen = kopf.OperatorSettings()
    chosen.watching.server_timeout = 240
    chosen.watching.client_timeout = 300
    chosen.watching.connect_timeout = 10
    chosen.watching.reconnect_backoff = 1.0
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 5
    chosen.networking.error_backoffs = (0.5, 1, 2, 4, 8)
    chosen.networking.enforce_retry_after = True
    chosen.queueing.idle_timeout = 5
    chosen.queueing.exit_timeout = 10
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.process.ultimate_exiting_timeout = 20
    for kind, selector in selectors.items():
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return chosen


def registry(kinds: Mapping[Kind, Handler]) -> kopf.OperatorRegistry:
    """A registry that hands every event of `kinds` to their handlers, without managed fields."""
    chosen = kopf.OperatorRegistry()
    kopf.on.login(registry=chosen)(_login)
    for kind, handler in kinds.items():
        kopf.on.event(kind.group, kind.version, kind.plural, registry=chosen)(_forward(kind, handler))
    return chosen


async def watch(
    kinds: Mapping[Kind, Handler],
    selectors: Mapping[Kind, str],
    *,
    namespaces: Iterable[str] = (),
    began: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Watch `kinds` until `stop` is set, or a signal comes, or kopf gives up; in all namespaces if none are given.

    In the last case the process is to be started again. `began` is set once kopf has taken over the process's signals.
    """
    chosen = tuple(namespaces)
    await kopf.operator(
        registry=registry(kinds),
        settings=settings(selectors),
        clusterwide=not chosen,
        namespaces=chosen,
        standalone=True,
        ready_flag=began,
        stop_flag=stop,
    )


def without_managed_fields(item: Mapping[str, Any]) -> dict[str, Any]:
    """`item` without the bookkeeping of field managers, often its larger half."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}


def _forward(kind: Kind, handler: Handler) -> Callable[..., Awaitable[None]]:
    async def forward(event: Any, **_: Any) -> None:
        item = without_managed_fields({"apiVersion": kind.api_version, "kind": kind.name, **event["object"]})
        await handler(item, event["type"] == "DELETED")

    return forward


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) if in_cluster() else kopf.login_with_kubeconfig(**kwargs)
