"""Many requests at a time: each gets its own answer."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Wire, check
from tidegate_conformance.checks.binary import ALL_BINARY
from tidegate_conformance.expect import Mismatch
from tidegate_conformance.rest.client import RestClient
from tidegate_conformance.rest.infer import binary_input, check_answer, decode, document, with_blobs
from tidegate_conformance.rpc import infer as rpc_infer
from tidegate_conformance.subject import Subject

PARALLEL = 64
EACH = 8


def _together(work: Callable[[int], None]) -> None:
    """Runs `work` on 64 threads. Raises the first `Mismatch`, saying how many there were."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        errors = [error for error in pool.map(lambda number: _error(work, number), range(PARALLEL)) if error]
    if errors:
        raise Mismatch(f"{len(errors)} of {PARALLEL} clients got a wrong answer; the first: {errors[0]}")


def _error(work: Callable[[int], None], number: int) -> Exception | None:
    try:
        work(number)
    except (Mismatch, OSError) as error:
        return error
    return None


def _json(client: RestClient, subject: Subject, seed: int, rows: int) -> None:
    feeds = subject.model.example(seed, free=rows)
    inferred = decode(client.post(subject.infer_path, document(subject.model, feeds, id=f"request-{seed}")))
    check_answer(subject.model, inferred, subject.expected(feeds), f"request-{seed}")


def _each(subject: Subject, rows: Callable[[int], int]) -> None:
    def work(number: int) -> None:
        # A client of its own: the subject's notes its last exchange, and is one thread's.
        client = RestClient(subject.rest.base)
        for turn in range(EACH):
            seed = number * EACH + turn
            _json(client, subject, seed, rows(seed))

    _together(work)


@check("concurrency.json", sources.INFERENCE, model="rows")
def json_requests(subject: Subject) -> None:
    """64 clients with distinct JSON requests of one row get the answers to their own."""
    _each(subject, lambda _seed: 1)


@check("concurrency.rows", sources.INFERENCE, model="rows")
def mixed_rows(subject: Subject) -> None:
    """64 clients with requests of 1 to 7 rows get the answers to their own."""
    _each(subject, lambda seed: 1 + seed % 7)


@check("concurrency.shapes", sources.INFERENCE, model="add_sub_free")
def mixed_shapes(subject: Subject) -> None:
    """64 clients with requests of different shapes get the answers to their own."""
    _each(subject, lambda seed: 1 + seed % 5)


@check("concurrency.good-and-bad", sources.INFERENCE, level=Level.ROBUSTNESS, model="rows")
def good_and_bad(subject: Subject) -> None:
    """Bad requests among good ones get errors, the good ones their own answers."""

    def work(number: int) -> None:
        client = RestClient(subject.rest.base)
        for turn in range(EACH):
            seed = number * EACH + turn
            if seed % 3:
                _json(client, subject, seed, 1)
            else:
                client.post(subject.infer_path, {"inputs": [], "id": f"bad-{seed}"}).refusal(400)

    _together(work)


@check("concurrency.keep-alive", sources.INFERENCE, model="rows")
def kept_connections(subject: Subject) -> None:
    """64 connections that are kept, each with distinct requests, get the answers to their own."""

    def work(number: int) -> None:
        client = RestClient(subject.rest.base)
        with client.connect() as connection:
            for turn in range(EACH):
                seed = number * EACH + turn
                feeds = subject.model.example(seed, free=1 + seed % 3)
                body = json.dumps(document(subject.model, feeds, id=str(seed))).encode()
                answer = client.request("POST", subject.infer_path, body, connection=connection)
                check_answer(subject.model, decode(answer), subject.expected(feeds), str(seed))

    _together(work)


@check("concurrency.binary", sources.BINARY, level=Level.EXTENSION, extension="binary_tensor_data", model="rows")
def binary(subject: Subject) -> None:
    """64 clients with distinct binary requests get the answers to their own."""

    def work(number: int) -> None:
        client = RestClient(subject.rest.base)
        for turn in range(EACH):
            seed = number * EACH + turn
            feeds = subject.model.example(seed, free=1 + seed % 7)
            entry, blob = binary_input(subject.model, "x", feeds["x"])
            body, headers = with_blobs({"inputs": [entry], "id": str(seed)} | ALL_BINARY, blob)
            inferred = decode(client.post(subject.infer_path, body, headers))
            check_answer(subject.model, inferred, subject.expected(feeds), str(seed))

    _together(work)


@check("concurrency.grpc", sources.GRPC, wire=Wire.GRPC, model="rows")
def grpc(subject: Subject) -> None:
    """64 threads with distinct gRPC requests on one connection get the answers to their own."""
    call = subject.rpc.callable("ModelInfer")

    def work(number: int) -> None:
        for turn in range(EACH):
            seed = number * EACH + turn
            feeds = subject.model.example(seed, free=1 + seed % 7)
            answer = call(rpc_infer.raw(subject.model, feeds, id=str(seed)), timeout=15)
            rpc_infer.check_answer(subject.model, answer, subject.expected(feeds), str(seed))

    _together(work)
