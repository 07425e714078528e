"""Who may ask the adapter: only the API server's front proxy, known by its client certificate.

The API server has authenticated and authorized a request before it passes it on, so nothing more is checked here.
"""

import json
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate_operator.adapter.certificates import Identity
from tidegate_operator.kube.client import Cluster

_CONFIG_MAP = "extension-apiserver-authentication"


class NoFrontProxy(RuntimeError):
    """The cluster isn't set up for aggregated APIs."""


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """The authority of the front proxy's certificates in PEM, and the common names it may have; none: any."""

    authority: str
    names: frozenset[str]

    def admits(self, common_name: str | None) -> bool:
        """Whether a client with a verified certificate of this name is the front proxy."""
        return common_name is not None and (not self.names or common_name in self.names)


async def read_front_proxy(cluster: Cluster) -> FrontProxy:
    """The front proxy that the API server says it is. Raises errors.ApiError, and NoFrontProxy where it has none."""
    return front_proxy(await cluster.get(f"/api/v1/namespaces/kube-system/configmaps/{_CONFIG_MAP}"))


def front_proxy(config_map: Mapping[str, Any]) -> FrontProxy:
    """The front proxy that the ConfigMap `extension-apiserver-authentication` describes; raises NoFrontProxy."""
    data = config_map.get("data") or {}
    authority = data.get("requestheader-client-ca-file")
    if not authority:
        raise NoFrontProxy(
            f"ConfigMap kube-system/{_CONFIG_MAP} has no requestheader-client-ca-file: start kube-apiserver with"
            " --requestheader-client-ca-file and --proxy-client-cert-file to use aggregated APIs"
        )
    return FrontProxy(authority, frozenset(json.loads(data.get("requestheader-allowed-names") or "[]")))


class Doorway:
    """The TLS context of the metrics API; what it serves with and whom it trusts can change while it serves."""

    def __init__(self, identity: Identity, proxy: FrontProxy) -> None:
        self._identity = identity
        self.proxy = proxy
        self._inner = _context(identity, proxy)
        self.context = _context(identity, proxy)
        # Called in every handshake, with or without a server name; the context set here does the rest of it.
        self.context.sni_callback = self._choose

    def update(self, identity: Identity, proxy: FrontProxy) -> None:
        """Use these from the next handshake on."""
        if (identity, proxy) != (self._identity, self.proxy):
            self._inner = _context(identity, proxy)
            self._identity, self.proxy = identity, proxy

    def _choose(self, connection: ssl.SSLObject, name: str | None, outer: ssl.SSLContext) -> None:
        connection.context = self._inner


def _context(identity: Identity, proxy: FrontProxy) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=proxy.authority)
    # A resumed session would skip the check against an authority that is no longer trusted.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files only
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_bytes(identity.certificate)
        key.touch(mode=0o600)
        key.write_bytes(identity.key)
        context.load_cert_chain(certificate, key)
    return context
