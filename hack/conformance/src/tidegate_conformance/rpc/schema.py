"""The messages and methods of gRPC, as tables: field numbers from the specification and from Triton's extensions.

Sources: `open_inference_grpc.proto` of kserve/open-inference-protocol for the core, `grpc_service.proto` and
`model_config.proto` of triton-inference-server/common for what Triton adds, `health.proto` and `reflection.proto` of
grpc/grpc. Of ModelConfig only the fields that checks look at; protobuf keeps the others as unknown.

A field is `number type name`; `repeated`, `map` (string to the type) and `oneof` stand before the type.
"""

from typing import Final

PACKAGE: Final = "inference"
SERVICE: Final = "inference.GRPCInferenceService"

MESSAGES: Final[dict[str, dict[str, str]]] = {
    "inference": {
        "ServerLiveRequest": "",
        "ServerLiveResponse": "1 bool live",
        "ServerReadyRequest": "",
        "ServerReadyResponse": "1 bool ready",
        "ModelReadyRequest": "1 string name, 2 string version",
        "ModelReadyResponse": "1 bool ready",
        "ServerMetadataRequest": "",
        "ServerMetadataResponse": "1 string name, 2 string version, 3 repeated string extensions",
        "ModelMetadataRequest": "1 string name, 2 string version",
        "ModelMetadataResponse": "1 string name, 2 repeated string versions, 3 string platform, "
        "4 repeated TensorMetadata inputs, 5 repeated TensorMetadata outputs",
        "TensorMetadata": "1 string name, 2 string datatype, 3 repeated int64 shape",
        "InferParameter": "1 oneof bool bool_param, 2 oneof int64 int64_param, 3 oneof string string_param, "
        "4 oneof double double_param, 5 oneof uint64 uint64_param",
        "InferTensorContents": "1 repeated bool bool_contents, 2 repeated int32 int_contents, "
        "3 repeated int64 int64_contents, 4 repeated uint32 uint_contents, 5 repeated uint64 uint64_contents, "
        "6 repeated float fp32_contents, 7 repeated double fp64_contents, 8 repeated bytes bytes_contents",
        "InferTensor": "1 string name, 2 string datatype, 3 repeated int64 shape, 4 map InferParameter parameters, "
        "5 InferTensorContents contents",
        "RequestedOutput": "1 string name, 2 map InferParameter parameters",
        "ModelInferRequest": "1 string model_name, 2 string model_version, 3 string id, "
        "4 map InferParameter parameters, 5 repeated InferTensor inputs, 6 repeated RequestedOutput outputs, "
        "7 repeated bytes raw_input_contents",
        "ModelInferResponse": "1 string model_name, 2 string model_version, 3 string id, "
        "4 map InferParameter parameters, 5 repeated InferTensor outputs, 6 repeated bytes raw_output_contents",
        "ModelStreamInferResponse": "1 string error_message, 2 ModelInferResponse infer_response",
        "ModelConfigRequest": "1 string name, 2 string version",
        "ModelTensorConfig": "1 string name, 2 int32 data_type",
        "ModelConfig": "1 string name, 2 string platform, 4 int32 max_batch_size, 5 repeated ModelTensorConfig input, "
        "6 repeated ModelTensorConfig output, 17 string backend",
        "ModelConfigResponse": "1 ModelConfig config",
        "StatisticDuration": "1 uint64 count, 2 uint64 ns",
        "InferStatistics": "1 StatisticDuration success, 2 StatisticDuration fail, 3 StatisticDuration queue, "
        "4 StatisticDuration compute_input, 5 StatisticDuration compute_infer, 6 StatisticDuration compute_output, "
        "7 StatisticDuration cache_hit, 8 StatisticDuration cache_miss",
        "InferBatchStatistics": "1 uint64 batch_size, 2 StatisticDuration compute_input, "
        "3 StatisticDuration compute_infer, 4 StatisticDuration compute_output",
        "ModelStatistics": "1 string name, 2 string version, 3 uint64 last_inference, 4 uint64 inference_count, "
        "5 uint64 execution_count, 6 InferStatistics inference_stats, 7 repeated InferBatchStatistics batch_stats",
        "ModelStatisticsRequest": "1 string name, 2 string version",
        "ModelStatisticsResponse": "1 repeated ModelStatistics model_stats",
        "ModelIndex": "1 string name, 2 string version, 3 string state, 4 string reason",
        "RepositoryIndexRequest": "1 string repository_name, 2 bool ready",
        "RepositoryIndexResponse": "1 repeated ModelIndex models",
        "ModelRepositoryParameter": "1 oneof bool bool_param, 2 oneof int64 int64_param, "
        "3 oneof string string_param, 4 oneof bytes bytes_param",
        "RepositoryModelLoadRequest": "1 string repository_name, 2 string model_name, "
        "3 map ModelRepositoryParameter parameters",
        "RepositoryModelLoadResponse": "",
        "RepositoryModelUnloadRequest": "1 string repository_name, 2 string model_name, "
        "3 map ModelRepositoryParameter parameters",
        "RepositoryModelUnloadResponse": "",
        "SystemSharedMemoryStatusRequest": "1 string name",
        "SystemRegion": "1 string name, 2 string key, 3 uint64 offset, 4 uint64 byte_size",
        "SystemSharedMemoryStatusResponse": "1 map SystemRegion regions",
        "SystemSharedMemoryRegisterRequest": "1 string name, 2 string key, 3 uint64 offset, 4 uint64 byte_size",
        "SystemSharedMemoryRegisterResponse": "",
        "SystemSharedMemoryUnregisterRequest": "1 string name",
        "SystemSharedMemoryUnregisterResponse": "",
        "CudaSharedMemoryStatusRequest": "1 string name",
        "CudaRegion": "1 string name, 2 uint64 device_id, 3 uint64 byte_size",
        "CudaSharedMemoryStatusResponse": "1 map CudaRegion regions",
        "CudaSharedMemoryRegisterRequest": "1 string name, 2 bytes raw_handle, 3 int64 device_id, 4 uint64 byte_size",
        "CudaSharedMemoryRegisterResponse": "",
        "CudaSharedMemoryUnregisterRequest": "1 string name",
        "CudaSharedMemoryUnregisterResponse": "",
        "TraceSettingValue": "1 repeated string value",
        "TraceSettingRequest": "1 map TraceSettingValue settings, 2 string model_name",
        "TraceSettingResponse": "1 map TraceSettingValue settings",
        "LogSettingValue": "1 oneof bool bool_param, 2 oneof uint32 uint32_param, 3 oneof string string_param",
        "LogSettingsRequest": "1 map LogSettingValue settings",
        "LogSettingsResponse": "1 map LogSettingValue settings",
    },
    "grpc.health.v1": {
        "HealthCheckRequest": "1 string service",
        "HealthCheckResponse": "1 int32 status",
    },
    "grpc.reflection.v1alpha": {
        "ServerReflectionRequest": "1 string host, 3 oneof string file_by_filename, "
        "4 oneof string file_containing_symbol, 7 oneof string list_services",
        "FileDescriptorResponse": "1 repeated bytes file_descriptor_proto",
        "ServiceResponse": "1 string name",
        "ListServiceResponse": "1 repeated ServiceResponse service",
        "ErrorResponse": "1 int32 error_code, 2 string error_message",
        "ServerReflectionResponse": "1 string valid_host, 4 FileDescriptorResponse file_descriptor_response, "
        "6 ListServiceResponse list_services_response, 7 ErrorResponse error_response",
    },
}

STREAMING: Final = "ModelStreamInfer"
METHODS: Final[dict[str, tuple[str, str]]] = {
    # Each takes <name>Request and answers <name>Response, apart from the stream.
    **{
        f"/{SERVICE}/{message.removesuffix('Request')}": (
            f"inference.{message}",
            f"inference.{message.removesuffix('Request')}Response",
        )
        for message in MESSAGES["inference"]
        if message.endswith("Request")
    },
    f"/{SERVICE}/{STREAMING}": ("inference.ModelInferRequest", "inference.ModelStreamInferResponse"),
    "/grpc.health.v1.Health/Check": ("grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse"),
    "/grpc.health.v1.Health/Watch": ("grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse"),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (
        "grpc.reflection.v1alpha.ServerReflectionRequest",
        "grpc.reflection.v1alpha.ServerReflectionResponse",
    ),
}
