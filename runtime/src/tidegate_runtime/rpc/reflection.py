"""gRPC's server reflection from the descriptors of our own messages, for clients without the `.proto` files."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos import health_pb2, inference_pb2, reflection_pb2
from tidegate_runtime.rpc.protos.pool import POOL
from tidegate_runtime.rpc.protos.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from tidegate_runtime.rpc.room import Made

REFLECTION: Final = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
"""Served for older clients, but not listed: it has no descriptors of its own."""

NOT_FOUND: Final = 5
INVALID_ARGUMENT: Final = 3

_FILES: Final = (inference_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)


async def reflect(
    requests: AsyncIterator[ServerReflectionRequest], _call: Call, _made: Made
) -> AsyncGenerator[ServerReflectionResponse, None]:
    """An answer to each request; what isn't found is an answer, too."""
    async for request in requests:
        response = _answer(request)
        response.valid_host = request.host
        response.original_request.CopyFrom(request)
        yield response


def services() -> list[str]:
    """Full names of the services that can be described."""
    return sorted(service.full_name for file in _FILES for service in file.services_by_name.values())


def _answer(request: ServerReflectionRequest) -> ServerReflectionResponse:
    kind = request.WhichOneof("message_request")
    response = ServerReflectionResponse()
    try:
        if kind == "list_services":
            for name in services():
                response.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            _add_files(response, POOL.FindFileByName(request.file_by_filename))
        elif kind == "file_containing_symbol":
            _add_files(response, POOL.FindFileContainingSymbol(request.file_containing_symbol))
        elif kind == "all_extension_numbers_of_type":
            # proto3 messages have no extensions, so the list is empty; an unknown type still is an error.
            name = POOL.FindMessageTypeByName(request.all_extension_numbers_of_type).full_name
            response.all_extension_numbers_response.base_type_name = name
        else:
            code, message = (NOT_FOUND, "no such extension") if kind else (INVALID_ARGUMENT, "the request is empty")
            response.error_response.error_code, response.error_response.error_message = code, message
    except KeyError:
        response.error_response.error_code = NOT_FOUND
        response.error_response.error_message = "no such file, symbol or type"
    return response


def _add_files(response: ServerReflectionResponse, file: FileDescriptor) -> None:
    """The file and all that it imports, each once."""
    found = {file.name: file}
    waiting = [file]
    while waiting:
        for imported in waiting.pop().dependencies:
            if imported.name not in found:
                found[imported.name] = imported
                waiting.append(imported)
    response.file_descriptor_response.file_descriptor_proto.extend(each.serialized_pb for each in found.values())
