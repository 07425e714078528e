"""A container of the user's own has the life of the bundled runtime's, judged by what callers see."""

from collections.abc import Callable
from typing import Any

import pytest

from lab import filetype, install
from lab.kubectl import Object
from lab.pods import Pods
from lab.service import Service

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"import this\n" * 50)

# A server that knows nothing of Tidegate but its variables: it tells the size of its model, and its revision.
SERVER = """
import http.server, json, os

model = os.environ.get("TIDEGATE_MODEL_PATH")
answer = {"model_version": os.environ["TIDEGATE_MODEL_VERSION"], "bytes": os.path.getsize(model) if model else 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.say(200 if self.path == os.environ["TIDEGATE_HEALTH_PATH"] else 404, b"{}")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(STATUS, json.dumps(answer).encode())

    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("", int(os.environ["TIDEGATE_PORT"])), Handler).serve_forever()
"""
ROLLOUT: dict[str, Any] = {
    "steps": [{"weight": 50, "hold": "2s"}],
    "scaleDownDelay": "1s",
    "analysis": {"interval": "1s", "minRequests": 50},
}


def of_own_image(status: int = 200) -> Object:
    """The bundled runtime's image, of which the Python alone is used."""
    program = SERVER.replace("STATUS", str(status))
    image = {"name": install.runtime_image(), "command": ["python3", "-c", program], "healthPath": "/healthz"}
    return {"device": "cpu", "image": image}


def test_an_image_takes_over_from_the_runtime_and_one_that_fails_does_not_take_over_from_it(
    ready: Service, spec: Callable[..., Object], pods: Pods
) -> None:
    first = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        ready.apply(spec(runtime=of_own_image(), rollout={**ROLLOUT, "approval": "Manual"}))
        judged = ready.until(
            lambda status: status["rollout"].get("analysis", {}).get("reason") == "NoTimes", "to be judged", 120
        )
        assert judged["rollout"]["analysis"]["verdict"] == "Pass"
        ready.request("Promote", judged["canary"]["revision"], "promote-1")
        own = ready.until(lambda status: status["stable"]["revision"] != first, "to have promoted")["stable"]
        assert own["healthPath"] == "/healthz"
        ready.until(lambda status: "retiring" not in status, "to have removed the runtime's pods")
    assert load.answers.failures == 0, load.answers.failed
    assert load.answers.versions.keys() == {first, own["revision"]}

    with pods.load(ready.url, BODY):
        ready.apply(spec(runtime=of_own_image(500), rollout=ROLLOUT))
        status = ready.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be taken back", 120)
    assert status["rollout"]["reason"] in ("ErrorsIncreased", "ErrorRateExceeded")
    assert pods.send(ready.url, BODY, count=200).versions == {own["revision"]: 200}


def test_an_image_that_brings_its_model_serves_without_one(service: Service, pods: Pods) -> None:
    service.apply(
        {"runtime": of_own_image(), "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}, "rollout": ROLLOUT}
    )
    revision = service.until_condition("Ready")["stable"]["revision"]
    answers = pods.send(service.url, BODY, count=50)
    assert answers.versions == {revision: 50}, answers.failed
    assert answers.first["bytes"] == 0
