"""Lengths that lie: binary tensors over REST whose sizes contradict each other."""

import json
import struct
from collections.abc import Callable

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.checks.binary import EXTENSION
from tidegate_conformance.rest.infer import binary_input
from tidegate_conformance.subject import Subject


def _lies(name: str, title: str, model: str, build: Callable[[bytes, bytes], tuple[bytes, dict[str, str]]]) -> None:
    def run(subject: Subject) -> None:
        feeds = subject.model.example(free=1)
        entry, blob = binary_input(subject.model, "x", feeds["x"])
        body, headers = build(json.dumps({"inputs": [entry]}).encode(), blob)
        subject.post(body, {"Content-Type": "application/octet-stream"} | headers).refusal(400)

    check(
        f"rest.bad.binary.{name}",
        sources.bad_input(28),
        level=Level.ROBUSTNESS,
        extension=EXTENSION,
        model=model,
        title=title,
    )(run)


def _length(value: object) -> dict[str, str]:
    return {"Inference-Header-Content-Length": str(value)}


_FP32 = "identity_fp32"
_lies(
    "length-beyond", "A JSON length beyond the body is refused.", _FP32, lambda t, b: (t + b, _length(len(t + b) + 1))
)
_lies("length-negative", "A negative JSON length is refused.", _FP32, lambda t, b: (t + b, _length(-1)))
_lies("length-word", "A JSON length that is no number is refused.", _FP32, lambda t, b: (t + b, _length("many")))
_lies("length-short", "A JSON length that cuts the JSON is refused.", _FP32, lambda t, b: (t + b, _length(len(t) - 1)))
_lies("length-huge", "A JSON length beyond 64 bits is refused.", _FP32, lambda t, b: (t + b, _length(10**30)))
_lies("blob-short", "Fewer bytes than binary_data_size are refused.", _FP32, lambda t, b: (t + b[:-1], _length(len(t))))
_lies(
    "blob-long", "More bytes than binary_data_size are refused.", _FP32, lambda t, b: (t + b + b"\0", _length(len(t)))
)
_lies(
    "size-unlike-shape", "A binary_data_size that isn't the shape's is refused.", _FP32, lambda t, b: _resized(t, b, 12)
)
_lies("size-negative", "A negative binary_data_size is refused.", _FP32, lambda t, b: _resized(t, b, -16))
_lies("size-fraction", "A binary_data_size with a fraction is refused.", _FP32, lambda t, b: _resized(t, b, 16.0))
_lies("size-string", "A binary_data_size that is a string is refused.", _FP32, lambda t, b: _resized(t, b, "16"))
_lies("size-huge", "A binary_data_size of 2^63 is refused.", _FP32, lambda t, b: _resized(t, b, 2**63))


def _resized(text: bytes, blob: bytes, size: object) -> tuple[bytes, dict[str, str]]:
    request = json.loads(text)
    request["inputs"][0]["parameters"]["binary_data_size"] = size
    changed = json.dumps(request).encode()
    return changed + (blob[:size] if isinstance(size, int) and 0 <= size <= len(blob) else blob), _length(len(changed))


def _and_data(text: bytes, blob: bytes) -> tuple[bytes, dict[str, str]]:
    request = json.loads(text)
    request["inputs"][0]["data"] = [1, 2, 3, 4]
    changed = json.dumps(request).encode()
    return changed + blob, _length(len(changed))


def _elements(*sizes: int) -> Callable[[bytes, bytes], tuple[bytes, dict[str, str]]]:
    def build(text: bytes, _blob: bytes) -> tuple[bytes, dict[str, str]]:
        blob = b"".join(struct.pack("<I", size) + b"ab" for size in sizes)
        request = json.loads(text)
        request["inputs"][0]["parameters"]["binary_data_size"] = len(blob)
        changed = json.dumps(request).encode()
        return changed + blob, _length(len(changed))

    return build


_lies("data-and-size", "Data beside binary_data_size is refused.", _FP32, _and_data)
_lies("size-without-header", "binary_data_size in JSON alone is refused.", _FP32, lambda t, _: (t, {}))
_lies(
    "bytes-length-lies",
    "BYTES whose element is longer than what is left are refused.",
    "identity_bytes",
    _elements(2, 2, 2, 2**32 - 1),
)
_lies("bytes-too-few", "Too few elements of BYTES are refused.", "identity_bytes", _elements(2, 2, 2))
_lies("bytes-too-many", "Too many elements of BYTES are refused.", "identity_bytes", _elements(2, 2, 2, 2, 2))
