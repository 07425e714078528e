"""`spec.routing`: how requests reach the pods."""

from typing import Literal

from tidegate_operator.api.schema import ApiModel


class RoutingSpec(ApiModel):
    """How requests reach the pods."""

    provider: Literal["Router"] = "Router"
    """Router: the bundled Envoy."""
