"""`spec.routing`: how requests reach the pods."""

from typing import Literal

from tidegate_operator.api.schema import ApiModel


class RoutingSpec(ApiModel):
    """How requests reach the pods."""

    provider: Literal["Router"] = "Router"
    """Router: the bundled Envoy."""
    grpc: bool = False
    """Whether callers reach the service by gRPC, too, on ports 80 and 8081 of the same address. Each router then keeps
    twice as many connections and health checks for it."""
