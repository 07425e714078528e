"""gRPC's health checking: the server as "", the inference service and the models by their names.

Where callers are asked for tokens, those who show none are told of the first two: to them, as to who may not ask for
it, there is no model.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection

from tidegate_runtime.errors import NotFound, NotReady
from tidegate_runtime.rpc.access import whoever
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)
from tidegate_runtime.service import Service

SERVER = ""
_WHOLE = (SERVER, "inference.GRPCInferenceService")


class Health:
    """Answers from the service's state. Whoever changes that state calls `changed`, and `close` at the end."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._changed = asyncio.Event()
        self._closed = False

    def changed(self) -> None:
        """Wakes whoever watches."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Ends every watch, which else would go on for as long as its client likes."""
        self._closed = True
        self.changed()

    async def check(self, request: HealthCheckRequest, call: Call) -> HealthCheckResponse:
        """The state of one service. Raises `NotFound`."""
        names = self._names(call)
        if request.service not in names:
            raise NotFound("no such service; List names those there are")
        return HealthCheckResponse(status=self._state(request.service, names))

    async def list_all(self, _request: HealthListRequest, call: Call) -> HealthListResponse:
        """The state of every service."""
        names = self._names(call)
        return HealthListResponse(
            statuses={name: HealthCheckResponse(status=self._state(name, names)) for name in names}
        )

    async def watch(self, request: HealthCheckRequest, call: Call) -> AsyncGenerator[HealthCheckResponse, None]:
        """The state at once and each change of it; SERVICE_UNKNOWN for a service that there isn't.

        Raises `NotReady` once the server stops.
        """
        told = None
        while not self._closed:
            change = self._changed
            state = self._state(request.service, self._names(call))
            if state != told:
                told = state
                yield HealthCheckResponse(status=state)
            else:
                await change.wait()
        raise NotReady("the server is shutting down; watch another")

    def _state(self, service: str, names: Collection[str]) -> HealthCheckResponse.ServingStatus:
        if service not in names:
            return HealthCheckResponse.SERVICE_UNKNOWN
        ready = self._service.ready
        if service not in _WHOLE:
            ready = bool(self._service.versions(service)) and not self._service.draining
        return HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING

    def _names(self, call: Call) -> tuple[str, ...]:
        """Those that the caller is told of."""
        return (*_WHOLE, *filter(whoever(self._service.guard, call).may, self._service.names()))
