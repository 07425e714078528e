"""Requests sent so that they share a batch, and proof that they did.

They are written while the server is paused: when it goes on, it finds all of them at once, as it does under load. Then
its own statistics must say that it has run fewer batches than there were requests; until they do, it is done again.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import grpc

from tidegate_conformance.expect import Mismatch, Skip, member
from tidegate_conformance.rest.client import Exchange, RestClient, model_path, written
from tidegate_conformance.rest.infer import Output, decode
from tidegate_conformance.rpc import infer as rpc_infer
from tidegate_conformance.rpc.messages import Message
from tidegate_conformance.subject import Subject

TRIES: Final = 10
TRIED_SECONDS: Final = 1.0
CALL_SECONDS: Final = 15.0
_WRITTEN_SECONDS: Final = 0.005

Answers = list[dict[str, Output]]
Paused = Callable[[], AbstractContextManager[None]]
Packed = tuple[bytes, dict[str, str]]
"""A body and its headers."""


def in_batches(subject: Subject, rows: int, ask: Callable[[], Answers]) -> tuple[Answers, list[int]]:
    """What `ask` gives once its requests, of `rows` in all, have run as one batch, and the rows of that.

    How many rows run at once is the server's to choose; so after a few tries what has shared several batches will do.
    Raises `Skip` if they never share any.
    """
    found: tuple[Answers, list[int]] | None = None
    ends_at = time.monotonic() + TRIED_SECONDS
    for _ in range(TRIES):
        before = runs_by_rows(subject.rest, subject.model.name)
        answers = ask()
        batches = sorted((runs_by_rows(subject.rest, subject.model.name) - before).elements())
        if batches == [rows]:
            return answers, batches
        if sum(batches) == rows and len(batches) < len(answers):
            found = answers, batches
        if time.monotonic() >= ends_at:
            break
    if found is None:
        raise Skip("the server runs each of its requests by itself")
    return found


def runs_by_rows(client: RestClient, model: str) -> Counter[int]:
    """How many batches of how many rows the server has run. Raises `Skip` if it doesn't say."""
    answer = client.get(model_path(model, verb="stats"))
    if answer.status != 200:
        raise Skip("the server has no statistics, which say what shared a batch")
    (version,) = member(answer.json(), "model_stats", list, "statistics")
    batches = member(version, "batch_stats", list, "a model's statistics")
    return Counter({int(batch["batch_size"]): int(batch["compute_infer"]["count"]) for batch in batches})


def shares_batches(client: RestClient, model: str) -> tuple[int, str]:
    """The most rows in a batch, 0 if requests share none, and why, by the model's configuration."""
    answer = client.get(model_path(model, verb="config"))
    if answer.status != 200:
        raise Skip("the server has no configuration of models, which says whether requests share batches")
    config = answer.json()
    why = config.get("parameters", {}).get("batching", {}).get("string_value", "")
    return member(config, "max_batch_size", int, "a configuration"), str(why)


def over_rest(subject: Subject, requests: Sequence[Packed], paused: Paused) -> Answers:
    """The answers, in order, each by a connection of its own."""
    client = subject.rest
    with ExitStack() as stack:
        connections = [stack.enter_context(client.connect(CALL_SECONDS)) for _ in requests]
        for connection in connections:
            # An answer to this shows that the server has accepted it.
            client.request("GET", "/v2/health/live", connection=connection)
        whole = [
            written("POST", subject.infer_path, body, headers, connection)
            for (body, headers), connection in zip(requests, connections, strict=True)
        ]
        for data, connection in zip(whole, connections, strict=True):
            connection.send(data[:-1])
        for connection in connections:
            connection.wait_sent()
        with paused():
            # A request isn't one before its last byte, however many come before, for which there may be no room now.
            for data, connection in zip(whole, connections, strict=True):
                connection.send(data[-1:], fresh=False)
        answers = []
        for connection in connections:
            try:
                answers.append(decode(connection.receive()).outputs)
            finally:
                client.last = Exchange(connection.sent, connection.received)
        return answers


def over_grpc(subject: Subject, requests: Sequence[Message], paused: Paused) -> Answers:
    """The answers, in order, all by one connection."""
    call: Any = subject.rpc.callable("ModelInfer")
    subject.rpc.call("ServerLive")  # Now it is connected.
    with paused():
        calls = [call.future(request, timeout=CALL_SECONDS) for request in requests]
        time.sleep(_WRITTEN_SECONDS)  # They are written on a thread of grpcio's own.
    try:
        return [rpc_infer.decode(made.result()) for made in calls]
    except grpc.RpcError as error:
        raise Mismatch(f"ModelInfer fails with {error.code().name}: {error.details()}") from None
