"""The settings of the `controller` command that are its own, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegate_operator.naming import ADMIN_PORT


class ControllerSettings(BaseSettings):
    """Each field is the environment variable TIDEGATE_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True, use_attribute_docstrings=True)

    host: str = "0.0.0.0"
    """The address of the port; `::` for IPv6 and IPv4."""
    admin_port: int = Field(default=ADMIN_PORT, ge=0, le=65535)
    """Metrics and health, plain HTTP."""
