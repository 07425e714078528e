"""Administration over gRPC: the model repository, log and trace settings, shared memory, where they are served."""

from typing import Any, NoReturn

from google.protobuf.message import Message

from tidegate_runtime import logs
from tidegate_runtime.errors import InvalidRequest, NotServed
from tidegate_runtime.hosting import Host, refuse_overrides
from tidegate_runtime.naming import ADMIN_PORT
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.service import Service
from tidegate_runtime.shared_memory.regions import CUDA, Region, Regions, served
from tidegate_runtime.tracing.administration import change_settings


class Administrator:
    """Without a `host`, every method raises `NotServed`.

    Whoever may send requests may not, by that alone, change what is served.
    """

    def __init__(self, service: Service, host: Host | None) -> None:
        self._service = service
        self._host = host

    async def index(self, request: pb.RepositoryIndexRequest, _call: Call) -> pb.RepositoryIndexResponse:
        """All versions and their states."""
        entries = await self._served().index(ready=request.ready)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**entry) for entry in entries])

    async def load(self, request: pb.RepositoryModelLoadRequest, _call: Call) -> pb.RepositoryModelLoadResponse:
        """Once it is loaded. Raises `NotFound`, `LoadFailed`, `InvalidRequest`."""
        host, name = self._served(), _model_name(request)
        refuse_overrides(request.parameters)
        await host.load(name)
        return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def unload(self, request: pb.RepositoryModelUnloadRequest, _call: Call) -> pb.RepositoryModelUnloadResponse:
        """Once it takes no more requests. Raises `NotFound`, `InvalidRequest`."""
        host, name = self._served(), _model_name(request)
        refuse_overrides(request.parameters, "unload_dependents")
        await host.unload(name)
        return pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)

    async def log_settings(self, request: pb.LogSettingsRequest, _call: Call) -> pb.LogSettingsResponse:
        """What is logged, after the change that was asked for. Raises `InvalidRequest`."""
        self._served()
        logs.set_levels({name: _chosen(value) for name, value in request.settings.items()})
        if request.settings:
            await self._service.spread()
        answer = pb.LogSettingsResponse()
        for name, value in logs.levels().items():
            if isinstance(value, bool):
                answer.settings[name].bool_param = value
            else:
                answer.settings[name].uint32_param = value
        return answer

    async def trace_setting(self, request: pb.TraceSettingRequest, _call: Call) -> pb.TraceSettingResponse:
        """The trace settings, after the change that was asked for. Raises `InvalidRequest`."""
        self._served()
        wanted = {name: list(setting.value) for name, setting in request.settings.items()}
        answer = pb.TraceSettingResponse()
        told = change_settings(self._service, request.model_name, wanted)
        if wanted:
            await self._service.spread()
        for name, value in told.items():
            answer.settings[name].value.extend([value] if isinstance(value, str) else value)
        return answer

    async def regions(
        self, request: pb.SystemSharedMemoryStatusRequest, _call: Call
    ) -> pb.SystemSharedMemoryStatusResponse:
        """The region of that name, without one all of them. Raises `NotFound`."""
        answer = pb.SystemSharedMemoryStatusResponse()
        for region in self._regions().status(request.name):
            told = answer.regions[region.name]
            told.name, told.key, told.offset, told.byte_size = region.name, region.key, region.offset, region.size
        return answer

    async def register(
        self, request: pb.SystemSharedMemoryRegisterRequest, _call: Call
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Once requests may use the region. Raises `InvalidRequest`, `AlreadyExists`."""
        self._regions().register(Region(request.name, request.key, request.offset, request.byte_size))
        await self._service.spread()
        return pb.SystemSharedMemoryRegisterResponse()

    async def unregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, _call: Call
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Once no request may use the region; without a name, any region."""
        if request.name:
            self._regions().unregister(request.name)
        else:
            self._regions().unregister_all()
        await self._service.spread()
        return pb.SystemSharedMemoryUnregisterResponse()

    async def cuda_shared_memory(self, _request: Message, _call: Call) -> NoReturn:
        """Raises `NotServed`."""
        self._served()
        raise NotServed(CUDA)

    def _regions(self) -> Regions:
        self._served()
        return served(self._service.regions)

    def _served(self) -> Host:
        if self._host is None:
            raise NotServed(
                f"administrative methods are not on this port; they belong to the administration port, {ADMIN_PORT}, "
                "unless --admin-on-data-port opens them here, too"
            )
        return self._host


def _model_name(request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> str:
    """Field 2, or field 1 of KServe's messages of the same path, where that is the model's name."""
    name = request.model_name or request.repository_name
    if not name:
        raise InvalidRequest('"model_name" is missing')
    return name


def _chosen(value: pb.LogSettingsRequest.SettingValue) -> Any:
    choice = value.WhichOneof("parameter_choice")
    return None if choice is None else getattr(value, choice)
