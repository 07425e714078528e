"""The few calls that Tidegate makes to the API server, over one aiohttp session.

The official client loads the configuration, tokens and TLS; its typed calls are not used for requests, since they cost
five times the CPU of the same bytes sent directly, on every pass of every service.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from pydantic_core import from_json, to_json

from tidegate_operator import errors
from tidegate_operator.kube.sessions import open_session

Manifest = Mapping[str, Any]
"""A Kubernetes object, as JSON has it."""

_HELD = "FieldManagerConflict"
_HOLDER = re.compile(r'conflict with "([^"]*)"')
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


class Cluster(Protocol):
    """The API server; paths are absolute, such as `/api/v1/namespaces/ml/services/churn`.

    Every call returns the object that the server answered, and raises `errors.ApiError`.
    """

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        """The object, or list, at `path`."""
        ...

    async def apply(self, path: str, manifest: Manifest, manager: str, *, force: bool = True) -> Manifest:
        """The object after a server-side apply of `manifest` by field manager `manager`.

        Fields that others have set to something else are taken from them by `force`; without it, FieldsHeld.
        """
        ...

    async def create(self, path: str, manifest: Manifest) -> Manifest:
        """The object that was created in the collection at `path`."""
        ...

    async def replace(self, path: str, manifest: Manifest) -> Manifest:
        """The object after it was replaced; a `metadata.resourceVersion` that is no longer current is a Conflict."""
        ...

    async def delete(self, path: str, uid: str | None = None) -> Manifest:
        """The answer to deleting the object at `path`, in the background; `uid` guards against a namesake."""
        ...


class ApiServer:
    """`Cluster` over HTTP, with the credentials of the pod or of the kubeconfig."""

    def __init__(self, configuration: Configuration, session: aiohttp.ClientSession) -> None:
        self.configuration = configuration
        self._session = session
        self._base = configuration.host.rstrip("/")

    @classmethod
    async def open(cls, configuration: Configuration | None = None) -> Self:
        """A connection by `configuration`; close it after use.

        Left out, it is the pod's service account, or else KUBECONFIG's current context.
        """
        configuration = configuration or await load_configuration()
        return cls(configuration, open_session(configuration, limit=64, timeout=_TIMEOUT))

    async def close(self) -> None:
        """Close the session and its connections."""
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        """See `Cluster.get`."""
        return await self._send("GET", path, query=query)

    async def apply(self, path: str, manifest: Manifest, manager: str, *, force: bool = True) -> Manifest:
        """See `Cluster.apply`."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._send("PATCH", path, manifest, query, "application/apply-patch+yaml")

    async def create(self, path: str, manifest: Manifest) -> Manifest:
        """See `Cluster.create`."""
        return await self._send("POST", path, manifest)

    async def replace(self, path: str, manifest: Manifest) -> Manifest:
        """See `Cluster.replace`."""
        return await self._send("PUT", path, manifest)

    async def merge(self, path: str, patch: Manifest, manager: str) -> Manifest:
        """The object after a JSON merge patch by field manager `manager`.

        A `metadata.resourceVersion` in the patch that is no longer current is a Conflict.
        """
        return await self._send("PATCH", path, patch, {"fieldManager": manager}, "application/merge-patch+json")

    async def delete(self, path: str, uid: str | None = None) -> Manifest:
        """See `Cluster.delete`."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._send("DELETE", path, options)

    async def _send(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            async with self._session.request(
                *(method, self._base + path),
                params=query,
                data=None if body is None else to_json(body),
                headers=headers,
                # A kubeconfig's proxy-url and tls-server-name; a pod has neither.
                proxy=self.configuration.proxy,
                server_hostname=self.configuration.tls_server_name,
            ) as response:
                told = await response.read()
            answer = _parsed(told, failed=response.status >= 400)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise errors.Unavailable(f"{method} {path}: {error or type(error).__name__}", 0) from error
        if response.status >= 400:
            raise refusal(response.status, answer, f"{method} {path}: HTTP {response.status}")
        found: Manifest = answer
        return found


def _parsed(body: bytes, *, failed: bool) -> Any:
    """The JSON of an answer; None where one that `failed` has none, as of what stands between: its status tells."""
    try:
        return from_json(body, cache_strings="keys")
    except ValueError:
        if failed:
            return None
        raise


def refusal(status: int, answer: Any, otherwise: str) -> errors.ApiError:
    """The error that the API server's answer stands for."""
    if not isinstance(answer, Mapping):
        return errors.of_status(status, otherwise)
    message = answer.get("message") or otherwise
    causes = [cause for cause in (answer.get("details") or {}).get("causes") or [] if cause.get("reason") == _HELD]
    if status == 409 and causes:
        holders = [_HOLDER.search(cause["message"]) for cause in causes]
        named = [holder[1] if holder else "another manager" for holder in holders]
        return errors.FieldsHeld(message, status, list(zip((c["field"] for c in causes), named, strict=True)))
    return errors.of_status(status, message)


async def load_configuration() -> Configuration:
    """The official client's configuration: the pod's service account where there is one, else the kubeconfig."""
    configuration = Configuration()
    if in_cluster():
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(client_configuration=configuration)
    return configuration


def in_cluster() -> bool:
    """Whether this process runs in a pod, and nobody pointed it elsewhere by KUBECONFIG."""
    return "KUBECONFIG" not in os.environ and _SERVICE_ACCOUNT.exists()


def own_namespace() -> str:
    """The namespace this process runs in: TIDEGATE_NAMESPACE, the pod's, or `tidegate-system` outside a cluster."""
    if named := os.environ.get("TIDEGATE_NAMESPACE"):
        return named
    mounted = _SERVICE_ACCOUNT / "namespace"
    return mounted.read_text().strip() if mounted.exists() else "tidegate-system"
