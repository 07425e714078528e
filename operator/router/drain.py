"""What a router's pod does before it is stopped (preStop): leave without losing a request. Standard library only.

1. Fail the health checks: `/ready` says 503, so that Services leave this pod out, and answers say `Connection: close`
   (or GOAWAY), so that clients open their next connection elsewhere.
2. Keep accepting until every node has heard.
3. Take no more connections, and wait for the requests in progress, up to a deadline. Then return: Envoy gets SIGTERM.
"""

import argparse
import json
import sys
import time
import urllib.parse
import urllib.request

ACTIVE_REQUESTS = r"^http\.data\.downstream_rq_active$"


def main() -> int:
    """Drain; 0 when no request was left, 1 when the deadline came first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--admin", default="http://127.0.0.1:9901", help="Envoy's administration")
    parser.add_argument("--settle-seconds", type=float, default=8, help="until Services have left this pod out")
    parser.add_argument("--deadline-seconds", type=float, default=50, help="for all of it; below the grace period")
    options = parser.parse_args()
    deadline = time.monotonic() + options.deadline_seconds

    call(options.admin, "/healthcheck/fail", "POST")
    time.sleep(min(options.settle_seconds, options.deadline_seconds))
    call(options.admin, "/drain_listeners?inboundonly", "POST")
    while time.monotonic() < deadline:
        if active_requests(options.admin) == 0:
            return 0
        # The administration offers no way to wait for it.
        time.sleep(0.2)
    return 1


def active_requests(admin: str) -> int:
    """Requests that are not answered yet, probes of the administration port not counted."""
    query = urllib.parse.urlencode({"format": "json", "filter": ACTIVE_REQUESTS})
    stats = json.loads(call(admin, f"/stats?{query}", "GET"))["stats"]
    return sum(int(stat["value"]) for stat in stats if "value" in stat)


def call(admin: str, path: str, method: str) -> bytes:
    """The body of the administration's answer."""
    request = urllib.request.Request(admin + path, method=method)
    with urllib.request.urlopen(request, timeout=5) as response:
        body: bytes = response.read()
        return body


if __name__ == "__main__":
    sys.exit(main())
