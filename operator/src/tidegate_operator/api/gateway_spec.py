"""`spec.routing.gateway`: which Gateway of the Gateway API leads callers to the service, and under which names."""

from typing import Annotated

from pydantic import Field

from tidegate_operator.api.schema import ApiModel, ObjectName

_HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Hostnames = Annotated[
    list[Annotated[str, Field(max_length=253, pattern=_HOSTNAME)]], Field(min_length=1, max_length=16)
]


class GatewaySpec(ApiModel):
    """A Gateway, and the names by which callers ask it for the service."""

    name: ObjectName | None = None
    """The Gateway. Left out: the install's (chart value gateway.name)."""
    namespace: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = None
    """Its namespace. Left out: the install's (gateway.namespace), or with a name of its own the service's."""
    section_name: ObjectName | None = None
    """The one of its listeners that is meant. Left out: all that take the route."""
    hostnames: Hostnames | None = None
    """Names of the service for HTTP. Left out: those that it has in the cluster, such as churn.ml."""
    grpc_hostnames: Hostnames | None = None
    """Names of the service for gRPC, where routing.grpc is true: a Gateway takes either HTTP or gRPC under one name.
    Left out: those that it has in the cluster with grpc. before them, such as grpc.churn.ml."""
