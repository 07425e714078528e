"""One cluster as the commands use it: the few calls they make, as the person that the kubeconfig names."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from tidegate_operator import errors, naming
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.service import Object
from tidegate_operator.kube import kubeconfig
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.objects import AUTOSCALER, DEPLOYMENT, POD, RECORD, SERVICES, Kind

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LEASE = Kind("Lease", "coordination.k8s.io", "v1", "leases")

CHILDREN = (DEPLOYMENT, RECORD, POD, AUTOSCALER)
"""What explanations look at besides the service."""


@dataclass(frozen=True)
class Children:
    """A service's objects, and the kinds of which the person may not see any."""

    objects: tuple[Object, ...]
    hidden: tuple[str, ...] = ()


class Cluster:
    """The API server, and the namespace that is meant."""

    def __init__(self, api: ApiServer, namespace: str, renew: Callable[[], Awaitable[None]]) -> None:
        self.namespace = namespace
        self._api = api
        self._renew = renew

    @classmethod
    async def open(cls, path: str | None, context: str | None, namespace: str | None) -> Self:
        """The cluster of a kubeconfig; close it after use. Raises `kubeconfig.NoCluster`."""
        target = await kubeconfig.locate(path, context)
        chosen = _named(namespace or target.namespace, "namespace")
        api = await ApiServer.open(target.configuration)

        async def renew() -> None:
            api.configuration = (await kubeconfig.locate(path, context)).configuration

        return cls(api, chosen, renew)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def service(self, name: str) -> Object:
        """An InferenceService; a Stop says so if there is none."""
        path = SERVICES.path(self.namespace, _named(name, "InferenceService"))
        try:
            return await self._call(lambda: self._api.get(path))
        except errors.NotFound as error:
            # The API server says the same of a kind that isn't installed, in other words.
            hint = "kubectl tidegate list -A shows which there are, if Tidegate is installed"
            raise Stop(f"namespace {self.namespace}: {error}; {hint}", Code.NOT_FOUND) from error

    async def services(self, *, everywhere: bool = False) -> list[Object]:
        """All InferenceServices of the namespace, or of all namespaces, by namespace and name."""
        found = await self._list(SERVICES, None if everywhere else self.namespace)
        return sorted(found, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]))

    async def records(self, name: str) -> list[Object]:
        """The ControllerRevisions of a service."""
        return await self._list(RECORD, self.namespace, name)

    async def children(self, name: str) -> Children:
        """A service's objects; a kind that may not be listed is told, and left out."""
        kinds = await asyncio.gather(*(self._readable(kind, name) for kind in CHILDREN))
        hidden = tuple(kind.name for kind, items in zip(CHILDREN, kinds, strict=True) if items is None)
        return Children(tuple(item for items in kinds for item in items or ()), hidden)

    async def lease(self, namespace: str) -> Object | None:
        """The controller's Lease; None if it isn't there, or may not be read."""
        path = _LEASE.path(_named(namespace, "namespace"), naming.LEASE)
        try:
            found = await self._call(lambda: self._api.get(path))
        except (errors.NotFound, errors.Forbidden):
            return None
        return {**found, "kind": _LEASE.name}

    async def ask(self, name: str, request: Object, version: str) -> Object:
        """The service after `request` was written into its status, if it still is at `version`; else a Conflict."""
        path = SERVICES.path(self.namespace, name) + "/status"
        patch = {"metadata": {"resourceVersion": version}, "status": {"rollout": {"request": request}}}
        return await self._call(lambda: self._api.merge(path, patch, naming.PLUGIN_MANAGER))

    async def _readable(self, kind: Kind, service: str) -> list[Object] | None:
        try:
            return await self._list(kind, self.namespace, service)
        except errors.Forbidden:
            return None

    async def _list(self, kind: Kind, namespace: str | None, service: str | None = None) -> list[Object]:
        query = {"limit": "500"}
        if service is not None:
            query["labelSelector"] = f"{naming.SERVICE_LABEL}={_named(service, naming.KIND)}"
        own = {"apiVersion": kind.api_version, "kind": kind.name}
        items: list[Object] = []
        while True:
            page = await self._call(lambda: self._api.get(kind.collection(namespace), query))
            items += [{**item, **own} for item in page["items"]]
            if not (token := page["metadata"].get("continue")):
                return items
            query["continue"] = token

    async def _call(self, send: Callable[[], Awaitable[Object]]) -> Object:
        try:
            return await send()
        except errors.Forbidden as error:
            if error.status != 401:
                raise
            # Tokens of cloud providers last minutes, and a wait may last an hour.
            await self._renew()
            return await send()


def _named(name: str, what: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise Stop(f"{name!r} can't be the name of a {what}: it has lower case letters, digits, - and .", Code.USAGE)
    return name
