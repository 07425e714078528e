"""Fuzz what strangers' bytes meet first: `python -m fuzz [http|grpc] [SECONDS] [CORPUS]`.

A crash, a hang or a wrong answer ends it and is kept.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tidegate_runtime", "uvicorn.protocols"]):
    from fuzz import calls, connection

BODY = b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [0]}]}'
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n" % len(BODY)
HTTP_SEEDS = {
    "hot": HEAD + b"\r\n" + BODY,
    "cold": HEAD + b"TE: trailers\r\n\r\n" + BODY,
    "pipelined": (HEAD + b"\r\n" + BODY) * 2 + b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "asking": HEAD + b"Expect: 100-continue\r\n\r\n" + BODY,
    "chunked": HEAD[:50] + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
}
STATUSES = frozenset({200, 400, 404, 405, 408, 413, 414, 415, 429, 431, 503, 504})

Test = Callable[[bytes], None]


@contextmanager
def http() -> Iterator[Test]:
    """A connection's bytes, with h11 as the oracle, and another connection, which has seen the like."""
    with connection.Server() as server:

        def one(data: bytes) -> None:
            if b"HEAD" in data or b"CONNECT" in data:
                return  # their answers have no body, which only the client that asked can know
            cut = data[0] % len(data) if data else 0
            answers, _ = server.answers(data[:cut], data[cut:])
            unexpected = {status for status, _ in answers} - STATUSES
            if unexpected or not connection.believable(answers, data):
                raise AssertionError(f"{answers} to {data!r}")
            # By then a connection knows them as a whole.
            known = [HTTP_SEEDS["hot"]] * 4
            after, _ = server.answers(*known, data)
            first, _ = server.answers(data)
            if after[len(known) :] != first:
                raise AssertionError(f"{after} to {data!r} after {len(known)} good ones, and else {first}")

        yield one


@contextmanager
def grpc() -> Iterator[Test]:
    """A message's bytes, to both transports, each with the other as the oracle."""
    with calls.Calls() as server:
        good = GRPC_SEEDS["raw m"]

        def one(data: bytes) -> None:
            for message in (data, good):
                outcomes = server.outcomes(message)
                if not calls.believable(message, outcomes):
                    raise AssertionError(f"{outcomes} to {message!r}, after {data!r}")

        yield one


GRPC_SEEDS = calls.seeds()
TARGETS: Mapping[str, tuple[Callable[[], AbstractContextManager[Test]], Mapping[str, bytes], list[str]]] = {
    "http": (http, HTTP_SEEDS, ["-dict=hack/fuzz/http.dict"]),
    "grpc": (grpc, GRPC_SEEDS, []),
}


def main(target: str = "http", seconds: str = "60", corpus: str = "") -> None:
    """Runs until the time is over; libFuzzer prints what it sees."""
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    opened, seeds, further = TARGETS[target]
    folder = Path(corpus or f"artifacts/fuzz/{target}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds.items():
        (folder / name).write_bytes(seed)
    options = [sys.argv[0], str(folder), f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5"]
    with opened() as one:
        atheris.Setup([*options, f"-artifact_prefix={folder}/", *further], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
