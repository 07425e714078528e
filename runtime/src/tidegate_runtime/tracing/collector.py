"""How a receiver of traces is asked over HTTP: its answer's status counts, whatever else it sends, and for how long."""

from contextlib import suppress
from typing import Any, Final

import urllib3
from requests import HTTPError, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from tidegate_runtime.timed_response import TimedResponse

MAX_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer, so that its connection can be kept; what it says is of no use."""


class CollectorSession(Session):
    """Takes a request's time-out for all of it, and no redirect for an answer."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def request(self, method: Any, url: Any, *args: Any, timeout: Any = None, **keywords: Any) -> Response:
        """The answer, less its body. Raises `HTTPError` for a redirect: the SDK takes that for success."""
        keywords |= {"stream": True, "timeout": urllib3.Timeout(total=timeout)}
        response = super().request(method, url, *args, **keywords)
        with response:
            if 300 <= response.status_code < 400:
                raise HTTPError(f"it answered {response.status_code}; redirects aren't followed", response=response)
            with suppress(OSError, urllib3.exceptions.HTTPError):
                response.raw.read(MAX_ANSWER_BYTES, decode_content=False)
        return response

    def get_redirect_target(self, resp: Response) -> str | None:
        """None: or requests would read what a redirect says to its end."""
        return None


class _Connection(HTTPConnection):
    response_class = TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = TimedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, **keywords)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
