"""`spec.runtime`: how the model is run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.environment_spec import Environment
from tidegate_operator.api.image_spec import ImageSpec
from tidegate_operator.api.schema import ApiModel, Duration, PositiveDuration, Size, at_most, rules


class BatchingSpec(ApiModel):
    """How requests are put together into one run of the model."""

    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Rows in one run at most."""
    max_delay: Annotated[Duration, at_most("10s")] = "5ms"
    """How long a request may wait for others; while the engine is idle, only where that is computed to pay off."""


class LimitsSpec(ApiModel):
    """What one pod takes on before it refuses."""

    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Requests waiting at most; the next one is answered 429."""
    max_body_bytes: Size = "64Mi"
    """Bytes of a request's body at most; a larger one is answered 413."""
    max_element_bytes: Size = "1Mi"
    """Bytes of one element of a BYTES input at most, in UTF-8; a request with a larger one is answered 413."""
    reject_non_finite: bool = False
    """Whether a request with NaN or infinities in its inputs is answered 400. Binary data and gRPC have such."""


class RuntimeSpec(ApiModel):
    """How the model is run."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                # The API server writes the defaults before it looks at rules, so they can't be told from left out.
                "!has(self.image) || (self.batching.maxBatchSize == 32 && self.batching.maxDelay == '5ms'"
                " && self.limits.queueSize == 512 && self.limits.maxBodyBytes == '64Mi'"
                " && self.limits.maxElementBytes == '1Mi' && !self.limits.rejectNonFinite)",
                "batching and limits are the bundled runtime's, which image takes the place of: drop them, or tell the"
                " image by its args",
            ),
        )
    )

    device: Literal["cuda", "cpu"] = "cuda"
    """Where the model runs. Without the device a pod doesn't start: there is no silent fallback."""
    batching: BatchingSpec = BatchingSpec()
    """How requests are batched."""
    limits: LimitsSpec = LimitsSpec()
    """What one pod takes on before it refuses."""
    timeout: Annotated[PositiveDuration, at_most("1h")] = "30s"
    """From a request's last byte to its answer; then 504."""
    environment: Environment = Field(default=[])
    """Variables of the runtime's process, such as OMP_WAIT_POLICY or OTEL_RESOURCE_ATTRIBUTES."""
    image: ImageSpec | None = None
    """A container of one's own in the runtime's place, where the install's images.allowOwn allows it: docs/api.md says
    what it has to do."""
