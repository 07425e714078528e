"""Fuzz a connection: `python -m fuzz [SECONDS] [CORPUS]`; a crash, a hang or a wrong answer ends it and is kept."""

import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tidegate_runtime", "uvicorn.protocols"]):
    from fuzz.connection import Server, believable

BODY = b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [0]}]}'
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n" % len(BODY)
SEEDS = {
    "hot": HEAD + b"\r\n" + BODY,
    "cold": HEAD + b"TE: trailers\r\n\r\n" + BODY,
    "pipelined": (HEAD + b"\r\n" + BODY) * 2 + b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "chunked": HEAD[:50] + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
}
STATUSES = frozenset({200, 400, 404, 405, 408, 413, 414, 415, 429, 431, 503, 504})


def main(seconds: str = "60", corpus: str = "artifacts/fuzz") -> None:
    """Runs until the time is over; libFuzzer prints what it sees."""
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    with Server() as server:

        def one(data: bytes) -> None:
            if b"HEAD" in data or b"CONNECT" in data:
                return  # their answers have no body, which only the client that asked can know
            cut = data[0] % len(data) if data else 0
            answers, _ = server.answers(data[:cut], data[cut:])
            unexpected = {status for status, _ in answers} - STATUSES
            if unexpected or not believable(answers, data):
                raise AssertionError(f"{answers} to {data!r}")

        folder = Path(corpus)
        folder.mkdir(parents=True, exist_ok=True)
        for name, seed in SEEDS.items():
            (folder / name).write_bytes(seed)
        options = [sys.argv[0], corpus, f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5"]
        options += ["-dict=hack/fuzz/http.dict", f"-artifact_prefix={corpus}/"]
        atheris.Setup(options, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
