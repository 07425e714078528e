"""Names that others rely on: ports, environment, metrics, reasons. docs/api.md is the page that people read."""

from enum import StrEnum
from typing import Final

DATA_PORT: Final = 8080
GRPC_PORT: Final = 8081
ADMIN_PORT: Final = 8082

TERMINATION_LOG_ENV: Final = "TIDEGATE_TERMINATION_LOG"
TERMINATION_LOG: Final = "/dev/termination-log"

LIVE_PATH: Final = "/v2/health/live"
READY_PATH: Final = "/v2/health/ready"
METRICS_PATH: Final = "/metrics"
EVIDENCE_PATH: Final = "/metrics/evidence"
"""What canaries are judged by: finer than is good for a page that is scraped and kept."""

REFUSED_HEADER: Final = "Tidegate-Refused"

HOP_HEADER: Final = "x-tidegate-hop"
"""On a request that one server has sent on to another: it is answered where it arrives."""
SHADOW: Final = "shadow"
"""That header's value on copies, whose answers are compared and reach nobody."""
HANDOVER: Final = "handover"
"""Its value on requests whose answers go back to whom they came from."""
REVISION_HEADER: Final = "x-tidegate-revision"
"""On an answer that another revision gave than the one that was asked."""
ROUTE_HEADER: Final = "x-tidegate-route"
ROUTED_BY_MATCH: Final = "match"
"""By which a router says that a request came to this revision for what it is, not by chance: it is no evidence then."""

FETCHED_FILE: Final = "model.onnx"

SERVER_NAME: Final = "tidegate"
PLATFORM: Final = "onnx_onnxv1"


def env(option: str) -> str:
    """The environment variable of one of `serve`'s options, e.g. of `MAX_BATCH_SIZE`."""
    return f"TIDEGATE_{option}"


def fetch_env(option: str) -> str:
    """The environment variable of one of `fetch`'s options."""
    return f"TIDEGATE_FETCH_{option}"


class Device(StrEnum):
    """Where a model runs; there is no fallback from one to the other."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class ConvSearch(StrEnum):
    """How cuDNN's kernel for a convolution is chosen."""

    HEURISTIC = "heuristic"
    EXHAUSTIVE = "exhaustive"


class ShadowOutcome(StrEnum):
    """What became of a copy."""

    COMPARED = "compared"
    DIVERGED = "diverged"
    MOVED = "moved"
    FAILED = "failed"
    TIMEOUT = "timeout"
    DROPPED = "dropped"


class HandoverOutcome(StrEnum):
    """What became of a request that was handed over. All but those that were answered are answered here.

    Unless the caller has left by then.
    """

    ANSWERED = "answered"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    OVERLOADED = "overloaded"


class HandoverReason(StrEnum):
    """Why a request is handed over."""

    WEIGHT = "weight"
    MATCH = "match"


class ShareAnswer(StrEnum):
    """What came of a question about the share."""

    NEWS = "news"
    UNCHANGED = "unchanged"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class GrpcTransport(StrEnum):
    """What carries gRPC in a process."""

    GRPCIO = "grpcio"
    NGHTTP2 = "nghttp2"


class Reason(StrEnum):
    """Why a command could not go on; part of the termination message."""

    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_UNREACHABLE = "ModelUnreachable"
    MODEL_URI_FORBIDDEN = "ModelURIForbidden"
    DIGEST_MISMATCH = "DigestMismatch"
    MODEL_TOO_LARGE = "ModelTooLarge"
    MODEL_INVALID = "ModelInvalid"
    UNSUPPORTED_SIGNATURE = "UnsupportedSignature"
    DEVICE_UNAVAILABLE = "DeviceUnavailable"
    WARMUP_FAILED = "WarmupFailed"
    CERTIFICATE_INVALID = "CertificateInvalid"
    TRACING_UNAVAILABLE = "TracingUnavailable"
    TENANTS_INVALID = "TenantsInvalid"


QUEUE_DEPTH: Final = "tidegate_queue_depth"
INFLIGHT: Final = "tidegate_inflight"
REQUESTS: Final = "tidegate_requests_total"
REQUEST_DURATION: Final = "tidegate_request_duration_seconds"
FAILED_DURATION: Final = "tidegate_failed_request_duration_seconds"
PARSE_SECONDS: Final = "tidegate_parse_seconds"
QUEUE_SECONDS: Final = "tidegate_queue_seconds"
ASSEMBLE_SECONDS: Final = "tidegate_assemble_seconds"
BATCH_ROWS: Final = "tidegate_batch_rows"
COMPUTE_SECONDS: Final = "tidegate_compute_seconds"
ENCODE_SECONDS: Final = "tidegate_encode_seconds"
EVIDENCE_SECONDS: Final = "tidegate_evidence_seconds"
REFUSED: Final = "tidegate_refused_total"
OUT_OF_MEMORY: Final = "tidegate_out_of_memory_total"
ANSWERS_TOGETHER: Final = "tidegate_answers_together_total"
REQUESTS_UNQUEUED: Final = "tidegate_requests_unqueued_total"
UTILIZATION: Final = "tidegate_utilization"
PREDICTION_MARGIN: Final = "tidegate_prediction_margin"
RUN_COST_MEAN: Final = "tidegate_run_cost_mean_seconds"
RUN_COST_P99: Final = "tidegate_run_cost_p99_seconds"
MODEL_INFO: Final = "tidegate_model_info"
CUDA_GRAPHS: Final = "tidegate_cuda_graphs"
SPANS_DROPPED: Final = "tidegate_spans_dropped_total"
ENGINE_RESTARTS: Final = "tidegate_engine_restarts_total"
FRONT_ENDS: Final = "tidegate_front_ends"
FRONT_END_RESTARTS: Final = "tidegate_front_end_restarts_total"
FRONT_END_CPU: Final = "tidegate_front_end_cpu_seconds_total"
FRONT_END_MEMORY: Final = "tidegate_front_end_resident_memory_bytes"
GRPC_INFO: Final = "tidegate_grpc_info"

SHADOW_REQUESTS: Final = "tidegate_shadow_requests_total"
SHADOW_RELATIVE: Final = "tidegate_shadow_relative_difference"
SHADOW_LARGEST: Final = "tidegate_shadow_largest_difference"
SHADOW_ROWS: Final = "tidegate_shadow_argmax_rows_total"
SHADOW_MOVED: Final = "tidegate_shadow_argmax_changes_total"
SHADOW_PERCENT: Final = "tidegate_shadow_percent"
SHARE_ANSWERS: Final = "tidegate_share_answers_total"

HANDOVER_PERCENT: Final = "tidegate_handover_percent"
HANDOVER_PODS: Final = "tidegate_handover_reachable_pods"
HANDOVER_REQUESTS: Final = "tidegate_handover_requests_total"
HANDOVER_FALLBACKS: Final = "tidegate_handover_fallbacks_total"

TENANT_RATE: Final = "TenantRate"

REFUSALS: Final = ("QueueFull", "QueueBytes", "Deadline", TENANT_RATE)
"""Why requests are refused for how many there are: the values of `Tidegate-Refused` and of the label `reason`."""

DURATION_BOUNDS: Final = tuple(0.0001 * 1.25**k for k in range(61))
"""Upper bounds of every duration histogram, in seconds: a percentile read from them is off by at most 12.5 %."""

EVIDENCE_BOUNDS: Final = tuple(0.0001 * 1.2 ** (k / 4) for k in range(305))
"""Upper bounds of the histogram by which a canary is judged, in seconds: the operator's own list has to be the same."""

DIFFERENCE_BOUNDS: Final = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Upper bounds of the histogram of relative differences; what can't be compared is beyond them."""

BATCH_ROWS_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the batch size histogram, in rows."""
