"""A model over HTTP: streamed, retried, and never led astray by a redirect."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import IO, Any, Final
from urllib.parse import urlsplit

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.fetch.addresses import refused_as
from tidegate_runtime.fetch.incoming import Incoming
from tidegate_runtime.fetch.patience import SILENCE_SECONDS, PatientResponse
from tidegate_runtime.fetch.uri import HttpSource, forbidden
from tidegate_runtime.naming import Reason

CHUNK_BYTES: Final = 256 * 1024
CONNECT_SECONDS: Final = 3.0
"""How long one address of the host may take to accept a connection."""
PATIENCE_SECONDS: Final = 18.0
"""After this long without an answer no further attempt begins, however many addresses the host has: the service is to
say within half a minute that its model can't be reached."""
MAX_REDIRECTS: Final = 3
MAX_DIGITS: Final = 100
"""Of a length that is told; what is longer is no number to Python."""
BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""Waits between attempts, so there are five attempts in all."""

_GONE: Final = (404, 410)
_RETRIED: Final = (408, 429)


class _Unreachable(Exception):
    """An attempt failed in a way that may pass."""


class _BrokenOff(_Unreachable):
    """The host answered, and its answer ended too early."""


def download(
    source: HttpSource, incoming: Incoming, sleep: Callable[[float], None], clock: Callable[[], float]
) -> None:
    """Writes the body to `incoming`. Connection failures, short bodies and 5xx are retried from the start.

    Raises `StartupFailure`: `ModelNotFound` for 404 and 410, `ModelURIForbidden` for a redirect that isn't allowed or a
    link-local address, or an address that is none, `ModelUnreachable` for everything else that lasts.
    """
    silent_since = clock()
    for attempt, wait in enumerate((*BACKOFF_SECONDS, None), start=1):
        try:
            return _attempt(source, incoming)
        except _Unreachable as failure:
            if isinstance(failure, _BrokenOff):
                silent_since = clock()
            if wait is None or clock() - silent_since > PATIENCE_SECONDS:
                why = f"{failure}, the last of {attempt} attempts; is the host right, and open to pods?"
                raise _unreachable(source, why) from None
            sleep(wait)
    return None


def _attempt(source: HttpSource, incoming: Incoming) -> None:
    with _opened(source) as response:
        declared = response.headers.get("Content-Length")
        known = declared is not None and declared.isdecimal() and len(declared) <= MAX_DIGITS
        total = int(declared) if known else None
        incoming.restart(total)
        try:
            while (left := CHUNK_BYTES if total is None else min(CHUNK_BYTES, total - incoming.received)) > 0:
                # What has come, and not all that is asked for: a slow transfer, too, is to say how far it is.
                chunk = response.read1(left)
                if not chunk:
                    break
                incoming.write(chunk)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOff(f"the transfer broke off after {incoming.received} bytes ({error})") from None
    if total is not None and incoming.received != total:
        # http.client ends a body that was cut short like one that is whole.
        raise _BrokenOff(f"{incoming.received} of {total} bytes came")


@contextmanager
def _opened(source: HttpSource) -> Iterator[Any]:
    opener = urllib.request.build_opener(_Redirects, _HttpHandler, _HttpsHandler)
    request = urllib.request.Request(source.url, headers={"User-Agent": "tidegate-runtime"})
    try:
        response = opener.open(request, timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        with closing(error):  # A redirect that was one too many is closed.
            raise _answered(source, error) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _Unreachable(str(reason)) from None
    except ValueError as error:
        # Of what `uri.parse` lets through: where a redirect leads, and a host's name that IDNA has no form for.
        raise forbidden(f"{_shown(source)} is no URL that can be asked, or redirects to one ({error})") from None
    with response:
        yield response


def _answered(source: HttpSource, error: urllib.error.HTTPError) -> Exception:
    """What an answer other than 200 means."""
    if error.code in _GONE:
        return StartupFailure(Reason.MODEL_NOT_FOUND, f"{_shown(source)} answered {error.code}; check the path")
    if error.code >= 500 or error.code in _RETRIED:
        return _Unreachable(f"it answered {error.code}")
    if 300 <= error.code < 400:
        return forbidden(f"{_shown(source)} redirects more than {MAX_REDIRECTS} times or to another scheme")
    return _unreachable(source, f"it answered {error.code}; is it public?")


def _unreachable(source: HttpSource, why: str) -> StartupFailure:
    return StartupFailure(Reason.MODEL_UNREACHABLE, f"{_shown(source)}: {why}")


def _shown(source: HttpSource) -> str:
    """The URL without its query, which may hold a signature."""
    return source.url.partition("?")[0]


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS

    def http_error_302(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        # Or it is read to its end, which there needn't be.
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new != old and (old, new) != ("http", "https"):
            raise forbidden(f"a redirect leads from {old} to {new}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _HttpConnection(http.client.HTTPConnection):
    response_class = PatientResponse

    def connect(self) -> None:
        super().connect()
        _refuse_metadata(self)
        self.sock.settimeout(SILENCE_SECONDS)


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = PatientResponse

    def connect(self) -> None:
        super().connect()
        _refuse_metadata(self)
        self.sock.settimeout(SILENCE_SECONDS)


def _refuse_metadata(connection: http.client.HTTPConnection) -> None:
    """Raises for a cloud's metadata service and its like. The connected address counts, not the name, which may lie."""
    refused = refused_as(connection.sock.getpeername()[0])
    if refused is not None:
        connection.close()
        raise forbidden(f"{connection.host} is {refused}")


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req, context=ssl.create_default_context())
