"""Sends requests from inside the cluster: run in a pod, told what to do as a line of JSON on standard input.

Needs the standard library alone, and for gRPC the package grpcio. Prints one JSON object: answers by HTTP status and by
model version, what failed, and latencies; a good answer by gRPC counts as 200, others by their status code's name.
"""

import asyncio
import json
import struct
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_MOMENT_SECONDS = 0.05
_REACHED_SECONDS = 5.0


class Load:
    """A closed loop of `concurrency` clients, each with one connection, which pauses for `pause` seconds in between.

    It ends after `count` requests, or after `seconds`, or, with `until_told`, when standard input does. For `patience`
    seconds, a request whose connection broke, or that found nobody, is sent again by another connection.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        url = urlsplit(told["url"])
        assert url.hostname is not None
        self.scheme, self.host, self.port, self.path = url.scheme, url.hostname, url.port or 80, url.path
        self.told = told["body"]
        self.body = json.dumps(told["body"]).encode()
        self.left = told.get("count", sys.maxsize)
        self.until = time.monotonic() + told.get("seconds", 3600)
        self.until_told = told.get("until_told", False)
        self.concurrency = told.get("concurrency", 4)
        self.keep_alive = told.get("keep_alive", True)
        self.pause = told.get("pause", 0.0)
        self.headers = told.get("headers", {})
        self.patience = told.get("patience", 0.0)
        self.codes: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.again: Counter[str] = Counter()
        self.first: Any = None
        self.first_seen: dict[str, float] = {}
        self.last_seen: dict[str, float] = {}

    async def run(self) -> dict[str, Any]:
        """Send everything; returns the summary."""
        begun = time.monotonic()
        if self.until_told:
            threading.Thread(target=self._listen, daemon=True).start()
        client = self._grpc_client if self.scheme == "grpc" else self._client
        await asyncio.gather(*(client() for _ in range(self.concurrency)))
        taken = sorted(self.latencies)

        def quantile(share: float) -> float | None:
            return round(taken[min(len(taken) - 1, int(share * len(taken)))], 6) if taken else None

        return {
            "codes": self.codes,
            "versions": self.versions,
            "failures": len(self.failures),
            "failed": self.failures[:20],
            "again": self.again,
            "seconds": round(time.monotonic() - begun, 3),
            "p50": quantile(0.5),
            "p95": quantile(0.95),
            "p99": quantile(0.99),
            "first": self.first,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
        }

    async def reached(self) -> "Load":
        """Itself, once the address takes connections, or after some seconds, for callers to find out what it does.

        A service is ready once its pods are; until kube-proxy has heard of them, which nothing tells, a node refuses
        what is sent to the service's address.
        """
        until = time.monotonic() + _REACHED_SECONDS
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(1):
                    _close(await asyncio.open_connection(self.host, self.port))
            except (OSError, TimeoutError):
                await asyncio.sleep(_MOMENT_SECONDS)
            else:
                break
        return self

    def _listen(self) -> None:
        sys.stdin.read()
        self.left = 0

    async def _client(self) -> None:
        connection: Connection | None = None
        while self.left > 0 and time.monotonic() < self.until:
            self.left -= 1
            if self.pause:
                await asyncio.sleep(self.pause)
            begun, said = time.monotonic(), None
            while said is None:
                try:
                    connection = connection or await asyncio.open_connection(self.host, self.port)
                    said = await self._exchange(*connection)
                except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                    _close(connection)
                    connection = None
                    if not await self._again(begun, type(error).__name__):
                        self.failures.append(f"{type(error).__name__}: {error}")
                        break
            if connection is None or said is None:
                continue
            status, headers, body = said
            answer = json.loads(body) if body[:1] == b"{" else {}
            self._answered(begun, str(status), str(answer.get("model_version")))
            if status != 200:
                self.failures.append(f"{status}: {body[:200].decode(errors='replace')}")
            elif self.first is None:
                self.first = answer
            if not self.keep_alive or headers.get("connection", "").lower() == "close":
                _close(connection)
                connection = None
        _close(connection)

    async def _again(self, begun: float, why: str) -> bool:
        """Whether a request that nobody has answered is sent again, once a moment is over."""
        if time.monotonic() - begun >= self.patience:
            return False
        self.again[why] += 1
        await asyncio.sleep(_MOMENT_SECONDS)
        return True

    def _answered(self, begun: float, code: str, version: str) -> None:
        self.latencies.append(time.monotonic() - begun)
        self.codes[code] += 1
        self.versions[version] += 1
        self.last_seen[version] = datetime.now(UTC).timestamp()
        self.first_seen.setdefault(version, self.last_seen[version])

    async def _grpc_client(self) -> None:
        from grpc import StatusCode, aio  # noqa: PLC0415 - only where it is asked for

        # Or clients of one process share a connection.
        alone = (("grpc.use_local_subchannel_pool", 1),)
        async with aio.insecure_channel(f"{self.host}:{self.port}", options=alone) as channel:
            infer: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            message = _message(self.path.split("/")[-1], self.told)
            metadata = tuple((name.lower(), value) for name, value in self.headers.items())
            while self.left > 0 and time.monotonic() < self.until:
                self.left -= 1
                if self.pause:
                    await asyncio.sleep(self.pause)
                begun, answer = time.monotonic(), None
                while answer is None:
                    try:
                        answer = await infer(message, timeout=30, metadata=metadata)
                    except aio.AioRpcError as error:
                        # What a router or a pod says itself comes with metadata.
                        broke = error.code() is StatusCode.UNAVAILABLE and not error.trailing_metadata()
                        why = f"{error.code().name}: {error.details()}"
                        if not broke or not await self._again(begun, why):
                            self.failures.append(why)
                            self.codes[error.code().name] += 1
                            break
                if answer is None:
                    continue
                self._answered(begun, "200", _texts(answer)[2])

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, dict[str, str], bytes]:
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {self.host}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + self.body)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection[1].close()


def _message(model: str, body: dict[str, Any]) -> bytes:
    """The ModelInferRequest that says what a V2 request of FP32 tensors says. By hand: there are no stubs in a pod."""
    inputs, contents = b"", b""
    for tensor in body["inputs"]:
        shape = b"".join(_varint(size) for size in tensor["shape"])
        fields = _field(1, tensor["name"].encode()) + _field(2, tensor["datatype"].encode()) + _field(3, shape)
        inputs += _field(5, fields)
        contents += _field(7, struct.pack(f"<{len(tensor['data'])}f", *tensor["data"]))
    return _field(1, model.encode()) + inputs + contents


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def _texts(message: bytes) -> dict[int, str]:
    """The texts among the first fields of a message, by their number."""
    found, at = {}, 0
    while at + 1 < len(message) and message[at] & 7 == 2 and message[at + 1] < 128:
        end = at + 2 + message[at + 1]
        found[message[at] >> 3] = message[at + 2 : end].decode("latin-1")
        at = end
    return found


async def _main() -> None:
    load = await Load(json.loads(sys.stdin.readline())).reached()
    json.dump(await load.run(), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
