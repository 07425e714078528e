"""Sessions with the API server: TLS and credentials from the configuration, and connections that notice a dead peer."""

import socket
import ssl
from collections.abc import Sequence

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from kubernetes.aio.client import Configuration

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 25_000}
"""A peer whose kernel doesn't answer for 25 seconds is gone: a watch of rare events would wait for it for ever."""


def open_session(
    configuration: Configuration,
    *,
    limit: int,
    timeout: aiohttp.ClientTimeout,
    traces: Sequence[aiohttp.TraceConfig] = (),
) -> aiohttp.ClientSession:
    """A session of at most `limit` connections (0: any number); close it after use."""

    async def authorized(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        # Asked for on each call: the official client re-reads a service account's token as it is rotated.
        if token := await configuration.get_api_key_with_prefix("BearerToken", alias="authorization"):
            request.headers["Authorization"] = token
        return await handler(request)

    connector = aiohttp.TCPConnector(
        ssl=_ssl_context(configuration), limit=limit, ttl_dns_cache=60, socket_factory=watchful_socket
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trace_configs=list(traces),
        middlewares=(authorized,),
        # Writes that aren't applies are told by their user agent in managedFields.
        headers={"User-Agent": "tidegate"},
    )


def watchful_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for an address, with which the kernel asks a peer that says nothing whether it is still there."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        # Where a system lacks one, kopf's own limit of silence remains.
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Cluster CAs made by older tools lack the key usage that Python's strict mode asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
