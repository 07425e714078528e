"""Administration over gRPC: the model repository, log and trace settings, shared memory, where they are served."""

from typing import Any, NoReturn

from google.protobuf.message import Message

from tidegate_runtime.access.guard import Guard
from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import InvalidRequest, NotServed
from tidegate_runtime.hosting import refuse_overrides
from tidegate_runtime.naming import ADMIN_PORT
from tidegate_runtime.rpc.access import administer, permit
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.shared_memory.regions import CUDA, Region


class Administrator:
    """Without what may be administered, every method raises `NotServed`.

    Whoever may send requests may not, by that alone, change what is served.
    """

    def __init__(self, administered: Administration | None, guard: Guard | None = None) -> None:
        """With a `guard`, every method that is served raises what `Guard.administer` does."""
        self._administered = administered
        self._guard = guard

    async def index(self, request: pb.RepositoryIndexRequest, call: Call) -> pb.RepositoryIndexResponse:
        """All versions that the caller may ask for, and their states."""
        entries = await self._served(call).index(ready=request.ready)
        may = permit(self._guard, call).may
        index = pb.RepositoryIndexResponse.ModelIndex
        return pb.RepositoryIndexResponse(models=[index(**entry) for entry in entries if may(entry["name"])])

    async def load(self, request: pb.RepositoryModelLoadRequest, call: Call) -> pb.RepositoryModelLoadResponse:
        """Once it is loaded. Raises `NotFound`, `LoadFailed`, `InvalidRequest`."""
        administered, name = self._served(call), _model_name(request)
        administer(self._guard, call, name)
        refuse_overrides(request.parameters)
        await administered.load(name)
        return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def unload(self, request: pb.RepositoryModelUnloadRequest, call: Call) -> pb.RepositoryModelUnloadResponse:
        """Once it takes no more requests. Raises `NotFound`, `InvalidRequest`."""
        administered, name = self._served(call), _model_name(request)
        administer(self._guard, call, name)
        refuse_overrides(request.parameters, "unload_dependents")
        await administered.unload(name)
        return pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)

    async def log_settings(self, request: pb.LogSettingsRequest, call: Call) -> pb.LogSettingsResponse:
        """What is logged, after the change that was asked for. Raises `InvalidRequest`."""
        wanted = {name: _chosen(value) for name, value in request.settings.items()}
        answer = pb.LogSettingsResponse()
        for name, value in (await self._served(call).log_levels(wanted)).items():
            if isinstance(value, bool):
                answer.settings[name].bool_param = value
            else:
                answer.settings[name].uint32_param = value
        return answer

    async def trace_setting(self, request: pb.TraceSettingRequest, call: Call) -> pb.TraceSettingResponse:
        """The trace settings, after the change that was asked for. Raises `InvalidRequest`."""
        wanted = {name: list(setting.value) for name, setting in request.settings.items()}
        answer = pb.TraceSettingResponse()
        administered, model = self._served(call), request.model_name
        if model:
            administer(self._guard, call, model)
        for name, value in (await administered.traces(model, wanted)).items():
            answer.settings[name].value.extend([value] if isinstance(value, str) else value)
        return answer

    async def regions(
        self, request: pb.SystemSharedMemoryStatusRequest, call: Call
    ) -> pb.SystemSharedMemoryStatusResponse:
        """The region of that name, without one all of them. Raises `NotFound`."""
        answer = pb.SystemSharedMemoryStatusResponse()
        for region in await self._served(call).regions(request.name):
            told = answer.regions[region.name]
            told.name, told.key, told.offset, told.byte_size = region.name, region.key, region.offset, region.size
        return answer

    async def register(
        self, request: pb.SystemSharedMemoryRegisterRequest, call: Call
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Once requests may use the region. Raises `InvalidRequest`, `AlreadyExists`."""
        await self._served(call).register(Region(request.name, request.key, request.offset, request.byte_size))
        return pb.SystemSharedMemoryRegisterResponse()

    async def unregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, call: Call
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Once no request may use the region; without a name, any region."""
        await self._served(call).unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    async def cuda_shared_memory(self, _request: Message, call: Call) -> NoReturn:
        """Raises `NotServed`."""
        self._served(call)
        raise NotServed(CUDA)

    def _served(self, call: Call) -> Administration:
        if self._administered is None:
            raise NotServed(
                f"administrative methods are not on this port; they belong to the administration port, {ADMIN_PORT}, "
                "unless --admin-on-data-port opens them here, too"
            )
        administer(self._guard, call)
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
