"""The few requests of a measurement to the API server, as an administrator, and watches of metadata."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from lab.kubectl import Failed, Object
from scale.controlplane import ControlPlane

METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
MERGE = "application/merge-patch+json"


class Client:
    """A session with the API server; close it after use."""

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
        context.load_cert_chain(plane.pki / "admin.crt", plane.pki / "admin.key")
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        self._session = aiohttp.ClientSession(plane.server, connector=connector)

    async def close(self) -> None:
        """End it."""
        await self._session.close()

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Object:
        """What is answered; raises Failed where that is an error."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type}
        try:
            async with self._session.request(method, path, data=data, headers=headers) as answer:
                found: Object = await answer.json(content_type=None)
        except aiohttp.ClientError as error:
            raise Failed(f"{method} {path}: {error!r}") from error
        if answer.status >= 400:
            raise Failed(f"{method} {path}: {found.get('message', answer.status)}")
        return found

    async def events(self, path: str, selector: str) -> AsyncIterator[Object]:
        """Events of the objects at `path` with their metadata alone, from those that are there on."""
        # Only metadata: what is measured shares its processors with this.
        query = {"watch": "true", "labelSelector": selector, "timeoutSeconds": "86400"}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
        headers = {"Accept": METADATA_ONLY}
        async with self._session.get(path, params=query, headers=headers, timeout=timeout) as stream:
            buffer = b""
            async for part in stream.content.iter_any():
                *lines, buffer = (buffer + part).split(b"\n")
                for line in lines:
                    yield json.loads(line)
