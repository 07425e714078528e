"""The settings of the `xds` command, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegate_operator.xds.names import ADMIN_PORT, XDS_PORT


class XdsSettings(BaseSettings):
    """Each field is the environment variable TIDEGATE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True)

    cluster_domain: str = "cluster.local"
    """The domain of the cluster's Services."""
    external_domain: str = ""
    """The domain by which callers from outside the cluster reach services; none: they don't."""
    exposed: bool = False
    """Whether callers from outside the cluster may reach the routers, with or without such a domain."""
    watch_namespaces: tuple[str, ...] = ()
    """The namespaces whose services are routed to; none: all namespaces. JSON in the environment."""
    host: str = "0.0.0.0"
    """The address of both ports; `::` for IPv6 and IPv4."""
    port: int = Field(default=XDS_PORT, ge=0, le=65535)
    """REST xDS, plain HTTP."""
    admin_port: int = Field(default=ADMIN_PORT, ge=0, le=65535)
    """Metrics and health, plain HTTP."""
    relist_seconds: float = Field(default=300, ge=10)
    """How often everything is listed again: a watch that had to start over doesn't tell what was deleted meanwhile."""
