"""Administration over gRPC: the model repository, log and trace settings, shared memory, where they are served."""

from typing import Any, NoReturn

from google.protobuf.message import Message

from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import InvalidRequest, NotServed
from tidegate_runtime.hosting import refuse_overrides
from tidegate_runtime.naming import ADMIN_PORT
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.shared_memory.regions import CUDA, Region


class Administrator:
    """Without what may be administered, every method raises `NotServed`.

    Whoever may send requests may not, by that alone, change what is served.
    """

    def __init__(self, administered: Administration | None) -> None:
        self._administered = administered

    async def index(self, request: pb.RepositoryIndexRequest, _call: Call) -> pb.RepositoryIndexResponse:
        """All versions and their states."""
        entries = await self._served().index(ready=request.ready)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**entry) for entry in entries])

    async def load(self, request: pb.RepositoryModelLoadRequest, _call: Call) -> pb.RepositoryModelLoadResponse:
        """Once it is loaded. Raises `NotFound`, `LoadFailed`, `InvalidRequest`."""
        administered, name = self._served(), _model_name(request)
        refuse_overrides(request.parameters)
        await administered.load(name)
        return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def unload(self, request: pb.RepositoryModelUnloadRequest, _call: Call) -> pb.RepositoryModelUnloadResponse:
        """Once it takes no more requests. Raises `NotFound`, `InvalidRequest`."""
        administered, name = self._served(), _model_name(request)
        refuse_overrides(request.parameters, "unload_dependents")
        await administered.unload(name)
        return pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)

    async def log_settings(self, request: pb.LogSettingsRequest, _call: Call) -> pb.LogSettingsResponse:
        """What is logged, after the change that was asked for. Raises `InvalidRequest`."""
        wanted = {name: _chosen(value) for name, value in request.settings.items()}
        answer = pb.LogSettingsResponse()
        for name, value in (await self._served().log_levels(wanted)).items():
            if isinstance(value, bool):
                answer.settings[name].bool_param = value
            else:
                answer.settings[name].uint32_param = value
        return answer

    async def trace_setting(self, request: pb.TraceSettingRequest, _call: Call) -> pb.TraceSettingResponse:
        """The trace settings, after the change that was asked for. Raises `InvalidRequest`."""
        wanted = {name: list(setting.value) for name, setting in request.settings.items()}
        answer = pb.TraceSettingResponse()
        for name, value in (await self._served().traces(request.model_name, wanted)).items():
            answer.settings[name].value.extend([value] if isinstance(value, str) else value)
        return answer

    async def regions(
        self, request: pb.SystemSharedMemoryStatusRequest, _call: Call
    ) -> pb.SystemSharedMemoryStatusResponse:
        """The region of that name, without one all of them. Raises `NotFound`."""
        answer = pb.SystemSharedMemoryStatusResponse()
        for region in await self._served().regions(request.name):
            told = answer.regions[region.name]
            told.name, told.key, told.offset, told.byte_size = region.name, region.key, region.offset, region.size
        return answer

    async def register(
        self, request: pb.SystemSharedMemoryRegisterRequest, _call: Call
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Once requests may use the region. Raises `InvalidRequest`, `AlreadyExists`."""
        await self._served().register(Region(request.name, request.key, request.offset, request.byte_size))
        return pb.SystemSharedMemoryRegisterResponse()

    async def unregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, _call: Call
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Once no request may use the region; without a name, any region."""
        await self._served().unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    async def cuda_shared_memory(self, _request: Message, _call: Call) -> NoReturn:
        """Raises `NotServed`."""
        self._served()
        raise NotServed(CUDA)

    def _served(self) -> Administration:
        if self._administered is None:
            raise NotServed(
                f"administrative methods are not on this port; they belong to the administration port, {ADMIN_PORT}, "
                "unless --admin-on-data-port opens them here, too"
            )
        return self._administered


def _model_name(request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> str:
    """Field 2, or field 1 of KServe's messages of the same path, where that is the model's name."""
    name = request.model_name or request.repository_name
    if not name:
        raise InvalidRequest('"model_name" is missing')
    return name


def _chosen(value: pb.LogSettingsRequest.SettingValue) -> Any:
    choice = value.WhichOneof("parameter_choice")
    return None if choice is None else getattr(value, choice)
