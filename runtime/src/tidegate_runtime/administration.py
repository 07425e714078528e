"""What may be done to a running server: models loaded and unloaded, logs and traces set, memory shared."""

from collections.abc import Mapping
from typing import Protocol

from tidegate_runtime import logs
from tidegate_runtime.hosting import Host
from tidegate_runtime.service import Service
from tidegate_runtime.shared_memory.regions import Region, served
from tidegate_runtime.trace_settings import Told
from tidegate_runtime.tracing.administration import change_settings, settings_of


class Administration(Protocol):
    """Whatever is done holds for every request that comes once the method has returned, on whichever port."""

    async def index(self, *, ready: bool) -> list[dict[str, str]]:
        """As `Host.index` says."""

    async def load(self, name: str) -> None:
        """As `Host.load` says."""

    async def unload(self, name: str) -> None:
        """As `Host.unload` says."""

    async def log_levels(self, wanted: Mapping[str, object]) -> dict[str, bool | int]:
        """What is logged after the change, which may be none. Raises as `logs.set_levels` does."""

    async def traces(self, model: str, wanted: Mapping[str, object]) -> Told:
        """The settings in force after the change, which may be none. Raises as `change_settings` does."""

    async def regions(self, name: str) -> list[Region]:
        """The region of that name, for "" all of them. Raises `NotFound`, `NotServed`."""

    async def register(self, region: Region) -> None:
        """Lets requests use it. Raises `InvalidRequest`, `AlreadyExists`, `NotServed`."""

    async def unregister(self, name: str) -> None:
        """Lets requests use it no more, for "" any region. Raises `NotServed`."""


class Administered:
    """Administration of a service, and the host of its models, in this process."""

    def __init__(self, service: Service, host: Host) -> None:
        self._service = service
        self.index = host.index
        self.load = host.load
        self.unload = host.unload

    async def log_levels(self, wanted: Mapping[str, object]) -> dict[str, bool | int]:
        """As `Administration` says."""
        logs.set_levels(wanted)
        if wanted:
            await self._service.spread()
        return logs.levels()

    async def traces(self, model: str, wanted: Mapping[str, object]) -> Told:
        """As `Administration` says."""
        if not wanted:
            return settings_of(self._service, model)
        told = change_settings(self._service, model, wanted)
        await self._service.spread()
        return told

    async def regions(self, name: str) -> list[Region]:
        """As `Administration` says."""
        return served(self._service.regions).status(name)

    async def register(self, region: Region) -> None:
        """As `Administration` says."""
        served(self._service.regions).register(region)
        await self._service.spread()

    async def unregister(self, name: str) -> None:
        """As `Administration` says."""
        regions = served(self._service.regions)
        if name:
            regions.unregister(name)
        else:
            regions.unregister_all()
        await self._service.spread()
