"""`spec.routing`: how requests reach the pods."""

from typing import Literal

from pydantic import ConfigDict

from tidegate_operator.api.gateway_spec import GatewaySpec
from tidegate_operator.api.schema import ApiModel, rules

ProviderName = Literal["Router", "Service", "Gateway", "Direct"]


class RoutingSpec(ApiModel):
    """How requests reach the pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.provider == 'Gateway' || !has(self.gateway)",
                "gateway is read by provider Gateway alone: drop it, or set provider: Gateway",
            ),
        )
    )

    provider: ProviderName = "Router"
    """Router: the bundled Envoy, by exact weights. Service: no proxy between callers and pods; a canary's share follows
    its part of the pods, by connections. Gateway: routes of the Gateway API, by the weights of a Gateway that is there
    already; callers within the cluster come by the bundled Envoy. Direct: no proxy either, and exact weights: callers
    come to the stable pods, which hand the canary's share of requests over to its pods during a rollout."""
    grpc: bool = False
    """Whether callers reach the service by gRPC, too: on ports 80 and 8081 of the same address, with providers Service
    and Direct on 8081 alone. Each router then keeps twice as many connections and health checks for it."""
    gateway: GatewaySpec | None = None
    """Which Gateway, with provider Gateway."""
