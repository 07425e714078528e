"""A request's failure on its way from one process to another."""

from collections.abc import Mapping
from typing import Final

import orjson

from tidegate_runtime import errors
from tidegate_runtime.errors import ExecutionFailed, Overloaded, RuntimeFault

MAX_TEXT_BYTES: Final = 1024

_FAULTS: Final[Mapping[str, type[RuntimeFault]]] = {
    name: fault for name, fault in vars(errors).items() if isinstance(fault, type) and issubclass(fault, RuntimeFault)
}


def encode_fault(fault: RuntimeFault) -> bytes:
    """Its class, text, and when to come back."""
    text = str(fault).encode(errors="backslashreplace")[:MAX_TEXT_BYTES].decode(errors="ignore")
    told: list[object] = [type(fault).__name__, text]
    if isinstance(fault, Overloaded):
        told += [fault.refusal, fault.retry_after_seconds]
    return orjson.dumps(told)


def decode_fault(content: bytes) -> RuntimeFault:
    """What `encode_fault` was given; of a class that isn't known, `ExecutionFailed`."""
    name, text, *refusal = orjson.loads(content)
    if refusal:
        return Overloaded(text, *refusal)
    return _FAULTS.get(name, ExecutionFailed)(text)
