"""Two runtimes: one hands requests over to the other, and answers those that it can't."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import httpx2
import orjson
import pytest

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, build_double, serving
from .told_share import (
    ROW,
    SECONDS,
    WAYS,
    ShareServer,
    infer,
    infer_grpc,
    message,
    part,
    sampled,
    told,
    turned_round,
    until,
)

pytestmark = pytest.mark.integration

HERE, THERE = [2 * value for value in ROW], [-2 * value for value in ROW]
CONNECT = "/inference.GRPCInferenceService/ModelInfer"


class Pair:
    """A stable runtime, which is told its share, and a canary, which turns answers round."""

    def __init__(self, stable: Process, canary: Process, share: ShareServer) -> None:
        self.stable = stable
        self.canary = canary
        self.share = share
        self._fallbacks: dict[tuple[str, ...], float] = {}

    def hand_over(self, percent: float = 100, **more: Any) -> None:
        """Returns once that share is in force, and nothing is counted of it."""
        # Counts are one canary's, so another one in between has them begin anew.
        self.share.tell(handover=part(percent=1, revision="none"))
        in_force(self.stable, "none", 1)
        self.share.tell(handover=part(self.canary, percent=percent, **more))
        in_force(self.stable, "2", percent)
        until(lambda: sampled(self.stable, "tidegate_handover_reachable_pods") == {("2",): 1})
        assert outcomes(self.stable) == {}
        self._fallbacks = fallbacks(self.stable)

    def fallbacks(self) -> dict[tuple[str, ...], float]:
        """What stable has answered in the canary's stead since then, by code; whichever it is, they are counted on."""
        found = {code: count - self._fallbacks.get(code, 0) for code, count in fallbacks(self.stable).items()}
        return {code: count for code, count in found.items() if count}

    def counts(self) -> tuple[float, float]:
        """The requests that each has answered."""
        return answered(self.stable), answered(self.canary)


def in_force(process: Process, canary: str, percent: float) -> None:
    until(lambda: sampled(process, "tidegate_handover_percent") == {(canary,): percent})


def outcomes(process: Process) -> dict[tuple[str, ...], float]:
    found = sampled(process, "tidegate_handover_requests_total", "by", "outcome")
    return {labels: count for labels, count in found.items() if count}


def fallbacks(process: Process) -> dict[tuple[str, ...], float]:
    return sampled(process, "tidegate_handover_fallbacks_total", "code")


def answered(process: Process) -> float:
    return sum(sampled(process, "tidegate_requests_total", "code").values())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    one, two = tmp_path_factory.mktemp("stable"), tmp_path_factory.mktemp("canary")
    options = ("--no-vetting", "--timeout-seconds", "2", "--model-version")
    with (
        told() as share,
        serving(one, build_double(), *options, "1", "--share-url", share.url) as stable,
        serving(two, turned_round(), *options, "2") as canary,
    ):
        yield Pair(stable, canary, share)


@pytest.mark.parametrize("way", WAYS)
def test_a_request_of_every_way_is_answered_by_the_canary_and_counted_there(pair: Pair, way: str) -> None:
    pair.hand_over()
    ask, count = WAYS[way]
    here, there = pair.counts()
    assert ask(pair.stable, {}) == THERE
    assert outcomes(pair.stable) == {("weight", "answered"): count}
    assert pair.counts() == (here, there + count)


@pytest.mark.parametrize("mark", [{"x-tidegate-hop": "handover"}, {"x-tidegate-route": "weight"}])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_sent_on_or_was_chosen_by_a_router_is_answered_where_it_arrives(
    pair: Pair, way: str, mark: dict[str, str]
) -> None:
    """While a service goes over from one way to another both are there, and a share is drawn once."""
    pair.hand_over()
    ask, _ = WAYS[way]
    assert ask(pair.stable, mark) == HERE
    assert outcomes(pair.stable) == {}


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_the_canary_refuses_is_answered_here_and_told_apart(pair: Pair, way: str) -> None:
    # The canary has no model of that name: it answers 404 to what it would know by another revision's name.
    pair.hand_over()
    ask, count = WAYS[way]
    before = pair.counts()[0]
    httpx2.post(pair.canary.admin_url("/v2/repository/models/m/unload"))
    try:
        assert ask(pair.stable, {}) == HERE
    finally:
        assert httpx2.post(pair.canary.admin_url("/v2/repository/models/m/load")).status_code == 200
    assert sum(outcomes(pair.stable).values()) == count
    assert ("weight", "answered") not in outcomes(pair.stable)
    assert pair.fallbacks() == {("200",): count}
    assert pair.counts()[0] == before + count


def test_the_answer_says_which_revision_gave_it(pair: Pair) -> None:
    pair.hand_over()
    content = {"id": "7", "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    for headers in ({}, {"te": "trailers"}):
        answer = httpx2.post(pair.stable.url("/v2/models/m/infer"), json=content, headers=headers)
        assert answer.headers["x-tidegate-revision"] == "2"
        assert (answer.json()["model_version"], answer.json()["id"]) == ("2", "7")
        assert answer.headers.get_list("content-length") == [str(len(answer.content))]


def test_a_version_that_is_named_is_this_ones_to_answer(pair: Pair) -> None:
    pair.hand_over()
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    for headers in ({}, {"te": "trailers"}):
        answer = httpx2.post(pair.stable.url("/v2/models/m/versions/1/infer"), json=content, headers=headers)
        assert answer.json()["outputs"][0]["data"] == HERE
    asked = message()
    asked.model_version = "1"
    with grpc.insecure_channel(f"127.0.0.1:{pair.stable.grpc_port}") as channel:
        infer_ = channel.unary_unary(
            CONNECT,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        assert infer_(asked, timeout=SECONDS).model_version == "1"
    assert outcomes(pair.stable) == {}


def test_requests_go_by_chance_and_those_that_fit_a_match_always(pair: Pair) -> None:
    pair.hand_over(0, match=[{"header": {"X-Beta": "1"}, "cookie": {"tried": "new"}}])
    assert infer(pair.stable, {}) == HERE
    assert infer(pair.stable, {"x-beta": "1"}) == HERE
    chosen = {"x-beta": "1", "cookie": "tried=new"}
    assert infer(pair.stable, chosen) == THERE
    assert infer(pair.stable, chosen | {"te": "trailers"}) == THERE
    assert infer_grpc(pair.stable, chosen) == THERE
    assert outcomes(pair.stable) == {("match", "answered"): 3}


def test_a_share_is_what_was_asked_for(pair: Pair) -> None:
    pair.hand_over(30)
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    with httpx2.Client() as client:
        answers = [client.post(pair.stable.url("/v2/models/m/infer"), json=content).json() for _ in range(1000)]
    there = sum(answer["model_version"] == "2" for answer in answers)
    # 300, by a standard deviation of 14.5.
    assert abs(there - 300) < 73
    assert outcomes(pair.stable) == {("weight", "answered"): there}


def test_a_request_that_is_bad_everywhere_is_told_so(pair: Pair) -> None:
    pair.hand_over()
    answer = httpx2.post(pair.stable.url("/v2/models/m/infer"), json={"inputs": []})
    assert answer.status_code == 400
    assert outcomes(pair.stable) == {("weight", "failed"): 1}
    assert pair.fallbacks() == {("400",): 1}


def test_a_canary_that_hangs_or_dies_costs_no_request(tmp_path: Path) -> None:
    (tmp_path / "stable").mkdir()
    (tmp_path / "canary").mkdir()
    options = ("--no-vetting", "--timeout-seconds", "2", "--drain-seconds", "0.1", "--model-version")
    with (
        told() as share,
        serving(tmp_path / "stable", build_double(), *options, "1", "--share-url", share.url) as stable,
        serving(tmp_path / "canary", turned_round(), *options, "2") as canary,
    ):
        pair = Pair(stable, canary, share)
        pair.hand_over()
        os.kill(canary.popen.pid, signal.SIGSTOP)
        assert infer(stable, {}) == HERE
        assert infer_grpc(stable, {}) == HERE
        assert set(outcomes(stable)) <= {("weight", "timeout"), ("weight", "unreachable")}
        canary.popen.kill()
        canary.popen.wait()
        assert infer(stable, {}) == HERE
        assert infer(stable, {"te": "trailers"}) == HERE
        assert sum(outcomes(stable).values()) == 4
        assert fallbacks(stable) == {("200",): 4}
        # The times of answers in another's stead are no evidence about this one.
        assert sum(sampled(stable, "tidegate_evidence_seconds_count", path="/metrics/evidence").values()) == 0
        # Who tells the share is gone, too: what was told last holds.
        share.shutdown()
        share.socket.close()
        assert infer(stable, {}) == HERE
        stable.popen.terminate()
        assert stable.popen.wait(SECONDS) == 0


def test_a_canary_of_a_longer_time_out_that_hangs_costs_no_request(tmp_path: Path) -> None:
    """Half of its time may be all that stable gives: it was answered that its time is over."""
    (tmp_path / "stable").mkdir()
    (tmp_path / "canary").mkdir()
    options = ("--no-vetting", "--drain-seconds", "0.1", "--model-version")
    with (
        told() as share,
        serving(
            tmp_path / "stable", build_double(), *options, "1", "--timeout-seconds", "2", "--share-url", share.url
        ) as stable,
        serving(tmp_path / "canary", turned_round(), *options, "2", "--timeout-seconds", "4") as canary,
        ThreadPoolExecutor() as pool,
    ):
        Pair(stable, canary, share).hand_over(timeoutSeconds=4)
        os.kill(canary.popen.pid, signal.SIGSTOP)
        asked = [pool.submit(WAYS[way][0], stable, {}) for way in ("hot, JSON", "cold", "V1", "gRPC", "gRPC stream")]
        assert [each.result() for each in asked] == [HERE] * 5
        assert outcomes(stable) == {("weight", "timeout"): 5}
        assert fallbacks(stable) == {("200",): 5}
        canary.popen.kill()


def bounded(process: Process, microseconds: int, headers: dict[str, str]) -> httpx2.Response:
    """The answer to a request that gives itself so much."""
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}
    content = {"inputs": [tensor], "parameters": {"timeout": microseconds}}
    return httpx2.post(process.url("/v2/models/m/infer"), json=content, headers=headers, timeout=SECONDS)


@pytest.mark.parametrize("headers", [{}, {"te": "trailers"}], ids=["hot", "cold"])
def test_a_request_over_http_that_gives_itself_too_little_is_no_share_of_the_canarys(
    pair: Pair, headers: dict[str, str]
) -> None:
    """Anybody could end any rollout by it: the canary's 504 would be its failure."""
    assert infer(pair.stable, {"x-tidegate-hop": "handover"}) == HERE
    pair.hand_over()
    assert bounded(pair.stable, 1, headers).status_code in {429, 504}
    assert outcomes(pair.stable) == {}
    assert bounded(pair.stable, 10**9, headers).json()["model_version"] == "2"
    assert outcomes(pair.stable) == {("weight", "answered"): 1}


def test_a_request_that_gives_itself_half_of_the_limit_is_answered_within_that_where_the_canary_hangs(
    tmp_path: Path,
) -> None:
    (tmp_path / "stable").mkdir()
    (tmp_path / "canary").mkdir()
    options = ("--no-vetting", "--timeout-seconds", "8", "--model-version")
    with (
        told() as share,
        serving(tmp_path / "stable", build_double(), *options, "1", "--share-url", share.url) as stable,
        serving(tmp_path / "canary", turned_round(), *options, "2") as canary,
        ThreadPoolExecutor() as pool,
    ):
        Pair(stable, canary, share).hand_over()
        os.kill(canary.popen.pid, signal.SIGSTOP)
        asked = [pool.submit(bounded, stable, 4_000_000, headers) for headers in ({}, {"te": "trailers"})]
        answers = [each.result() for each in asked]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.json()["outputs"][0]["data"] for answer in answers] == [HERE] * 2
        canary.popen.kill()


def test_a_deadline_that_nobody_can_keep_is_no_share_of_the_canarys(pair: Pair) -> None:
    assert infer(pair.stable, {"x-tidegate-hop": "handover"}) == HERE
    pair.hand_over()
    asked = message()
    asked.parameters["timeout"].int64_param = 1
    with grpc.insecure_channel(f"127.0.0.1:{pair.stable.grpc_port}") as channel:
        infer_ = channel.unary_unary(
            CONNECT,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        with pytest.raises(grpc.RpcError):
            infer_(asked, timeout=SECONDS)
    assert outcomes(pair.stable) == {}


class NoMessages(ThreadingHTTPServer):
    """Says that it is ready, and answers 200 with what is no message."""

    daemon_threads = True
    media_type = ""
    content = b""


class _NoMessage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, NoMessages)
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-type", self.server.media_type)
        self.send_header("content-length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    do_POST = do_GET

    def log_message(self, *args: Any, **_: Any) -> None: ...


@pytest.mark.parametrize("way", ["gRPC", "gRPC stream"])
@pytest.mark.parametrize(
    ("media_type", "content"),
    [("text/html", b"<html>"), ("application/json", b"{}"), ("text/html", b""), ("application/proto", b"\xff\xff")],
)
def test_what_is_no_message_is_the_canarys_failure_and_not_the_callers(
    pair: Pair, media_type: str, content: bytes, way: str
) -> None:
    with NoMessages(("127.0.0.1", 0), _NoMessage) as server:
        server.media_type, server.content = media_type, content
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            pair.share.tell(handover=part(percent=1, revision="none"))
            in_force(pair.stable, "none", 1)
            target = f"127.0.0.1:{server.server_address[1]}"
            pair.share.tell(handover=part(percent=100) | {"targets": [target]})
            until(lambda: sampled(pair.stable, "tidegate_handover_reachable_pods") == {("2",): 1})
            assert WAYS[way][0](pair.stable, {}) == HERE
            assert outcomes(pair.stable) == {("weight", "failed"): 1}
        finally:
            pair.share.tell()
            in_force(pair.stable, "", 0)
            server.shutdown()
            thread.join()


def test_a_server_that_callers_are_to_leave_ends_their_connections(pair: Pair) -> None:
    pair.hand_over()
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    with httpx2.Client() as client:
        assert "connection" not in client.post(pair.stable.url("/v2/models/m/infer"), json=content).headers
        pair.hand_over(leaving=True)
        answer = client.post(pair.stable.url("/v2/models/m/infer"), json=content)
        assert (answer.json()["model_version"], answer.headers["connection"]) == ("2", "close")
        # It is as ready as it was: who comes is answered.
        assert client.get(pair.stable.url("/v2/health/ready")).status_code == 200
        pair.hand_over()
        assert "connection" not in client.post(pair.stable.url("/v2/models/m/infer"), json=content).headers


def connect(process: Process, body: bytes, **headers: str) -> httpx2.Response:
    return httpx2.post(process.url(CONNECT), content=body, headers={"content-type": "application/proto"} | headers)


def test_a_message_over_http_is_answered_as_over_grpc(pair: Pair) -> None:
    pair.share.tell()
    in_force(pair.stable, "", 0)
    answer = connect(pair.stable, message().SerializeToString(), **{"connect-timeout-ms": "2000"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/proto")
    assert pb.ModelInferResponse.FromString(answer.content).model_version == "1"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"\xff", {}, 400, "invalid_argument"),
        (pb.ModelInferRequest(model_name="other").SerializeToString(), {}, 404, "not_found"),
        (message().SerializeToString(), {"connect-timeout-ms": "soon"}, 400, "invalid_argument"),
        (message().SerializeToString(), {"content-type": "application/json"}, 415, "invalid_argument"),
    ],
)
def test_a_message_that_cant_be_answered_gets_the_protocols_error(
    pair: Pair, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = connect(pair.stable, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    told = orjson.loads(answer.content)
    assert told["code"] == code
    assert told["message"]


def test_a_connection_that_is_old_ends_with_its_next_answer(pair: Pair) -> None:
    pair.share.tell(connectionSeconds=1)
    in_force(pair.stable, "", 0)
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    with httpx2.Client() as client:

        def ends() -> bool:
            answer = client.post(pair.stable.url("/v2/models/m/infer"), json=content)
            assert answer.json()["outputs"][0]["data"] == HERE
            return answer.headers.get("connection") == "close"

        assert not ends()
        until(ends)
        # The next one is on a connection that isn't old.
        assert not ends()
    pair.share.tell()
