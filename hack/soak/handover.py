"""A canary beside the server, which gets a share of its requests: whoever answers, each answer is its request's."""

import contextlib
import json
import threading
import time
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from soak import page

VERSION: Final = "2"
"""The canary's; it serves the same models by this number."""

HELD_SECONDS: Final = 20.0
READY_SECONDS: Final = 30.0


@contextlib.contextmanager
def telling(port: int, percent: float) -> Iterator[str]:
    """The URL of a share by which the server at `port` gets `percent` of requests."""
    handover = {"percent": percent, "revision": VERSION, "targets": [f"127.0.0.1:{port}"]}
    document = json.dumps({"version": 1, "revision": "1", "handover": handover}).encode()
    over = threading.Event()

    class Told(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = self.headers.get("if-none-match") is not None
            if known:
                over.wait(HELD_SECONDS)
            self.send_response(304 if known else 200)
            self.send_header("content-length", "0" if known else str(len(document)))
            self.end_headers()
            if not known:
                self.wfile.write(document)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/share/soak/1"
        finally:
            over.set()
            server.shutdown()


def outcomes(admin_port: int) -> dict[str, float]:
    """What became of requests that were handed over, and how many pods take them, by the server's own page."""
    found: dict[str, float] = {}
    for name, value in page.samples(admin_port):
        if name.startswith("tidegate_handover_requests_total"):
            outcome = name.partition('outcome="')[2].partition('"')[0]
            found[outcome] = found.get(outcome, 0.0) + value
        elif name.startswith("tidegate_handover_reachable_pods"):
            found["pods"] = value
    return found


def wait_until_reached(admin_port: int) -> None:
    """Returns once the canary takes requests. Raises `TimeoutError`."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if outcomes(admin_port).get("pods"):
                return
        time.sleep(0.1)
    raise TimeoutError("the canary isn't reached")
