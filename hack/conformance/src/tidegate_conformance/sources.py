"""Where the rules stand that checks hold servers to, by short names."""

from typing import Final

_OIP: Final = "Open Inference Protocol, inference_rest.md"
_TRITON: Final = "triton-inference-server/server, docs/protocol"

HEALTH: Final = f"{_OIP}: Server Live, Server Ready, Model Ready"
SERVER_METADATA: Final = f"{_OIP}: Server Metadata"
MODEL_METADATA: Final = f"{_OIP}: Model Metadata"
INFERENCE: Final = f"{_OIP}: Inference"
REQUEST: Final = f"{_OIP}: Inference Request JSON Object"
RESPONSE: Final = f"{_OIP}: Inference Response JSON Object"
ERROR: Final = f"{_OIP}: Inference Response JSON Error Object"
TENSOR_DATA: Final = "KServe predict-api v2 required_api.md: Tensor Data"
PARAMETERS: Final = "KServe predict-api v2 required_api.md: Parameters"
DATATYPES: Final = "KServe predict-api v2 required_api.md: Tensor Data Types"

BINARY: Final = f"{_TRITON}/extension_binary_data.md"
CLASSIFICATION: Final = f"{_TRITON}/extension_classification.md"
CONFIGURATION: Final = f"{_TRITON}/extension_model_configuration.md"
STATISTICS: Final = f"{_TRITON}/extension_statistics.md"
REPOSITORY: Final = f"{_TRITON}/extension_model_repository.md"
LOGGING: Final = f"{_TRITON}/extension_logging.md"
TRACE: Final = f"{_TRITON}/extension_trace.md"
SHARED_MEMORY: Final = f"{_TRITON}/extension_shared_memory.md"
COMPRESSION: Final = "triton-inference-server/server, docs/client_guide: compression; RFC 9110 8.4"
V1: Final = "KServe, V1 protocol (TensorFlow Serving's REST API)"

GRPC: Final = "Open Inference Protocol, open_inference_grpc.proto"
GRPC_TRITON: Final = "triton-inference-server/common, grpc_service.proto"
GRPC_HEALTH: Final = "grpc/grpc, doc/health-checking.md"
GRPC_REFLECTION: Final = "grpc/grpc, doc/server-reflection.md"
GRPC_CORE: Final = "grpc/grpc, doc/statuscodes.md and doc/compression.md"

HTTP: Final = "RFC 9110 and RFC 9112 (HTTP/1.1)"


def bad_input(row: int) -> str:
    """A row of the table of bad input: what a server should answer where the specification is silent."""
    return f"Tidegate's table of bad input, row {row}"
