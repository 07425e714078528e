"""The settings of the `metrics-adapter` command, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegate_operator.adapter.names import ADAPTER
from tidegate_operator.kube.client import own_namespace
from tidegate_operator.naming import ADMIN_PORT


class AdapterSettings(BaseSettings):
    """Each field is the environment variable TIDEGATE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True, use_attribute_docstrings=True)

    namespace: str = Field(default_factory=own_namespace)
    """The install's namespace: where the adapter's Service and Secret are."""
    host: str = "0.0.0.0"
    """The address of both ports; `::` for IPv6 and IPv4."""
    port: int = Field(default=6443, ge=0, le=65535)
    """The metrics API, TLS."""
    admin_port: int = Field(default=ADMIN_PORT, ge=0, le=65535)
    """Metrics and health, plain HTTP."""
    owner_cluster_role: str = ADAPTER
    """The ClusterRole of the install that owns what the adapter creates, so that it is removed with it."""
    drain_seconds: float = Field(default=5, ge=0, le=60)
    """How long requests are still answered after SIGTERM while readiness fails."""
