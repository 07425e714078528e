"""What an install decides for all its services; read from the environment once, by the commands."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegate_operator import naming


def _plain_url(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", url):
        raise ValueError("write http:// or https://, a host, and a path if there is one: no user, query or fragment")
    return url


class Install(BaseSettings):
    """Settings of the install, each the environment variable TIDEGATE_<NAME>; the chart sets them."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True)

    namespace: str = "tidegate-system"
    """Where Tidegate itself runs."""
    cluster_domain: str = "cluster.local"
    """The domain of the cluster's Services."""
    external_domain: str = ""
    """The domain by which callers from outside the cluster reach services; none: they don't."""
    external_scheme: Literal["http", "https"] = "https"
    """What they speak there."""
    kubernetes: tuple[int, int] | None = None
    """The API server's version, which the controller asks for when it starts; None: nobody has asked."""
    watch_namespaces: tuple[str, ...] = ()
    """The namespaces whose services are this install's; none: all namespaces. JSON in the environment."""
    runtime_image_cpu: str = "tidegate.dev/runtime:dev"
    """The runtime's image for device cpu."""
    runtime_image_cuda: str = "tidegate.dev/runtime-cuda:dev"
    """The runtime's image for device cuda."""
    image_pull_policy: str = "IfNotPresent"
    """The pull policy of the runtime's image."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets for pulling the runtime's image, by names that each service's namespace has; JSON in the environment."""
    allow_own_images: bool = False
    """Whether services may run images of their own, spec.runtime.image."""
    allow_http_models: bool = False
    """Whether spec.model.uri may be http://; without TLS only the digest tells that the model is the right one."""
    max_model_bytes: int = 32 * 2**30
    """Bytes of a model at most; also the size of the pod's model volume."""

    prometheus_url: Annotated[str, AfterValidator(_plain_url)] = ""
    """Where Prometheus is asked what services' analyses ask; none: they may not."""
    prometheus_namespaces: tuple[str, ...] = ()
    """The namespaces whose services may ask it; none: all. JSON in the environment."""
    prometheus_parameters: dict[str, str] = Field(default={})
    """Parameters of each request to it, {{namespace}} and {{service}} standing for the service's: what a proxy before
    it needs to narrow a query to a namespace. JSON in the environment."""

    prometheus_token_file: str = ""
    """The file with the bearer token that is sent along; none: no such token."""
    prometheus_login_folder: str = ""
    """The folder with the files `username` and `password` that are sent along in its place; none: neither."""
    prometheus_ca_file: str = ""
    """The file with the authorities, in PEM, of which one has signed its certificate; none: those of the image."""

    gateway_enabled: bool = False
    """Whether services may have routes of the Gateway API."""
    gateway_name: str = ""
    """The Gateway of services that name none."""
    gateway_namespace: str = ""
    """Its namespace; the service's own if this is empty."""
    gateway_section_name: str = ""
    """The one of its listeners that is meant; all, if this is empty."""

    @model_validator(mode="after")
    def _shows_itself_to_whom_it_knows(self) -> Self:
        shown = [self.prometheus_token_file, self.prometheus_login_folder, self.prometheus_ca_file]
        if any(shown) and not self.prometheus_url.startswith("https://"):
            raise ValueError("prometheus_url: credentials, or an authority, need https://, or anyone could read them")
        if all(shown[:2]):
            raise ValueError("prometheus_token_file and prometheus_login_folder: a request carries one of them")
        return self

    @property
    def watched(self) -> tuple[str, ...]:
        """The namespaces to look at, the install's own among them, since the routers are there; none: all."""
        return tuple(sorted({*self.watch_namespaces, self.namespace})) if self.watch_namespaces else ()

    def external_url(self, service: str, namespace: str) -> str | None:
        """Where a service answers callers from outside the cluster; None if there is no domain for them."""
        if not self.external_domain:
            return None
        return f"{self.external_scheme}://{naming.external_host(service, namespace, self.external_domain)}"

    def runtime_image(self, device: str) -> str:
        """The runtime's image for a device."""
        return self.runtime_image_cuda if device == "cuda" else self.runtime_image_cpu
