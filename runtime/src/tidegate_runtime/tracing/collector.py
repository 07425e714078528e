"""How a receiver of traces is asked over HTTP: its answer's status counts, whatever else it sends, and for how long.

A time-out is for all of a request, by whichever way: urllib3 has one for each step, and one that goes through a proxy
has several, some of which are over only when nothing comes for so long.
"""

import socket
from contextlib import suppress
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import Any, Final

import urllib3
from requests import HTTPError, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from tidegate_runtime.timed_response import TimedResponse

MAX_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer, so that its connection can be kept; what it says is of no use."""

LEAST_SECONDS: Final = 0.001
"""A socket with a time-out of 0 never waits, and what it says then isn't taken for being late."""

_late_at: Final[ContextVar[float]] = ContextVar("late_at")
"""When the request is late that is being made."""


class CollectorSession(Session):
    """Takes a request's time-out for all of it, and no redirect for an answer."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def request(self, method: Any, url: Any, *args: Any, timeout: Any = None, **keywords: Any) -> Response:
        """The answer, less its body. Raises `HTTPError` for a redirect: the SDK takes that for success."""
        keywords |= {"stream": True, "timeout": urllib3.Timeout(total=timeout)}
        before = _late_at.set(inf if timeout is None else monotonic() + timeout)
        try:
            response = super().request(method, url, *args, **keywords)
            with response:
                if 300 <= response.status_code < 400:
                    raise HTTPError(f"it answered {response.status_code}; redirects aren't followed", response=response)
                with suppress(OSError, urllib3.exceptions.HTTPError):
                    response.raw.read(MAX_ANSWER_BYTES, decode_content=False)
        finally:
            _late_at.reset(before)
        return response

    def get_redirect_target(self, resp: Response) -> str | None:
        """None: or requests would read what a redirect says to its end."""
        return None


class _Connection(HTTPConnection):
    """Each step of a request has what the steps before it have left of the time."""

    response_class = TimedResponse

    @property
    def timeout(self) -> float | None:
        """What is left."""
        left = _late_at.get() - monotonic()
        return None if left == inf else max(LEAST_SECONDS, left)

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        """What urllib3 has for the next step; it isn't looked at."""

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        made.settimeout(self.timeout)
        return made

    def _tunnel(self) -> None:
        self.sock.settimeout(self.timeout)
        super()._tunnel()
        self.sock.settimeout(self.timeout)

    def send(self, data: Any) -> None:
        """Sends it. Raises `OSError`."""
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Final = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, **keywords)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        """One whose connections keep to the time, too. SOCKS has connections of its own, and isn't installed."""
        made = super().proxy_manager_for(proxy, **keywords)
        if isinstance(made, urllib3.ProxyManager):
            made.pool_classes_by_scheme = _POOLS
        return made
