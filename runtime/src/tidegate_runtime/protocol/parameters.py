"""The parameters that the protocol and its extensions reserve, on a request, an input and a requested output.

A name that nothing reserves is ignored if its value is a scalar, as the protocol asks. A reserved one is honoured, or
refused with the reason: Triton's parameters extension forbids clients `headers` and all that begins with `triton_`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol.json_document import Members, object_of
from tidegate_runtime.tensors import SharedSlice

MAX_PARAMETERS_BYTES: Final = 4096
MAX_INTEGER: Final = 2**63 - 1
MAX_REGION_NAME: Final = 256

REGION: Final = "shared_memory_region"
"""The parameter that says that a tensor is in shared memory."""

Scalar = str | int | float | bool


class Place(StrEnum):
    """What parameters belong to."""

    REQUEST = "the request"
    INPUT = "an input"
    OUTPUT = "a requested output"


_PLACES: Final = {
    "priority": Place.REQUEST,
    "timeout": Place.REQUEST,
    "binary_data_output": Place.REQUEST,
    "binary_data_size": Place.INPUT,
    "binary_data": Place.OUTPUT,
    "classification": Place.OUTPUT,
}
_REGION_SIZE: Final = "shared_memory_byte_size"
_REGION_OFFSET: Final = "shared_memory_offset"
_SHARED_MEMORY: Final = frozenset({REGION, _REGION_SIZE, _REGION_OFFSET})
_SEQUENCE: Final = "sequences are not served: models here keep no state between requests"
_RESERVED: Final = "the protocol reserves this name; use another, or a header of the HTTP request"
_NEUTRAL: Final = frozenset({"sequence_id", "sequence_start", "sequence_end"})
"""0, "" and false say that the request is part of no sequence; clients that always send them are right."""

_STREAM_END: Final = "triton_enable_empty_final_response"
"""Asks for a mark behind the last answer of many; one request has one answer here, so nothing is left to do."""

_GIVEN_TIME: Final = re.compile(rb'"timeout"[ \t\r\n]*:[ \t\r\n]*([0-9]{1,19})(?![0-9.eE])')


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """`priority` is 0 for the default, 1 for the highest; `timeout_seconds` None without one."""

    priority: int = 0
    timeout_seconds: float | None = None
    binary: bool = False


_DEFAULT: Final = RequestParameters()


def request_parameters(owner: Mapping[str, Any], members: Members) -> RequestParameters:
    """What the whole request asks for. Raises `InvalidRequest` naming the parameter."""
    if owner.get("parameters") is None:
        return _DEFAULT
    return asked(_checked(owner["parameters"], Place.REQUEST, "the request", members))


def asked(given: Mapping[str, Scalar]) -> RequestParameters:
    """What a request's parameters ask for; those that are not reserved may be among them."""
    microseconds = _integer(given, "timeout", "the request")
    return RequestParameters(
        _integer(given, "priority", "the request"),
        microseconds / 1e6 if microseconds else None,
        _boolean(given, "binary_data_output", "the request") or False,
    )


def glimpsed_seconds(body: bytes | bytearray, json_length: int | None = None) -> float | None:
    """What a request that isn't parsed gives itself, as far as that can be seen; None if it gives itself nothing.

    The first `json_length` bytes of the body are JSON; None: all. The first member named `timeout` counts that is a
    number, wherever it is: elsewhere than in the request's parameters it is refused, or passed over, by whoever parses
    it. One whose name is spelled with escapes isn't seen, and one whose name ends in such quotes is taken for it.
    """
    found = _GIVEN_TIME.search(body, 0, len(body) if json_length is None else min(json_length, len(body)))
    microseconds = 0 if found is None else int(found[1])
    return microseconds / 1e6 if microseconds else None


def input_form(owner: Mapping[str, Any], where: str, members: Members) -> tuple[int | None, SharedSlice | None]:
    """How many bytes of the body behind the JSON are this input's, or where in shared memory it is.

    Neither, if its data are in the JSON. `owner` has parameters.
    """
    given = _checked(owner.get("parameters"), Place.INPUT, where, members)
    size = _integer(given, "binary_data_size", where) if "binary_data_size" in given else None
    place = shared_slice(given, where)
    if place is not None and size is not None:
        raise InvalidRequest(f'{where}: "binary_data_size" and "{REGION}" exclude each other; send one')
    return size, place


def output_form(owner: Mapping[str, Any], where: str, members: Members) -> tuple[bool | None, int, SharedSlice | None]:
    """Whether the output is to be binary (None: as the request says), how many classes it asks for, else 0, its place.

    That is where in shared memory it is to be, if it is to be there.
    """
    if owner.get("parameters") is None:
        return None, 0, None
    given = _checked(owner["parameters"], Place.OUTPUT, where, members)
    binary, place = _boolean(given, "binary_data", where), output_place(given, where)
    if place is not None and binary:
        raise InvalidRequest(f'{where}: "binary_data" and "{REGION}" exclude each other; send one')
    return binary, classes(given, where), place


def output_place(given: Mapping[str, Scalar], where: str) -> SharedSlice | None:
    """Where in shared memory a requested output's parameters want it."""
    place = shared_slice(given, where)
    if place is not None and classes(given, where):
        raise InvalidRequest(f'{where}: "classification" and "{REGION}" exclude each other; send one')
    return place


def shared_slice(given: Mapping[str, Scalar], where: str) -> SharedSlice | None:
    """Where in shared memory a tensor's parameters say that it is; None if they don't speak of it."""
    if _SHARED_MEMORY.isdisjoint(given):
        return None
    if REGION not in given or _REGION_SIZE not in given:
        raise InvalidRequest(f'{where}: shared memory needs both "{REGION}" and "{_REGION_SIZE}"')
    region = given[REGION]
    if type(region) is not str or not 1 <= len(region) <= MAX_REGION_NAME:
        raise InvalidRequest(
            f'parameter "{REGION}" of {where} must be a string of 1 to {MAX_REGION_NAME} characters: '
            "the name of a registered region"
        )
    size = _integer(given, _REGION_SIZE, where)
    if size == 0:
        raise InvalidRequest(f'parameter "{_REGION_SIZE}" of {where} is 0; send the tensor\'s size in bytes')
    return SharedSlice(region, _integer(given, _REGION_OFFSET, where), size)


def classes(given: Mapping[str, Scalar], where: str) -> int:
    """How many of its best classes a requested output's parameters ask for; 0 for its values."""
    return _integer(given, "classification", where)


def refuse_unserved(parameters: Mapping[str, Scalar], place: Place, where: str) -> None:
    """Raises `InvalidRequest` for a reserved name that is not served, or not there."""
    for name, value in parameters.items():
        if _PLACES.get(name) is place:
            continue
        why = _refusal(name, value, place)
        if why is not None:
            raise InvalidRequest(f'parameter "{name[:64]}" of {where}: {why}')


def _checked(value: object, place: Place, where: str, members: Members) -> dict[str, Scalar]:
    """The parameters: scalars, together at most 4 KiB, none that asks for what isn't served."""
    parameters = object_of(value, f'"parameters" of {where}')
    members.total += len(parameters)
    for name, parameter in parameters.items():
        if type(parameter) not in (str, int, float, bool):
            raise InvalidRequest(f'parameter "{name[:64]}" of {where} must be a string, a number or a boolean')
    refuse_unserved(parameters, place, where)
    if len(members.text) > MAX_PARAMETERS_BYTES and len(orjson.dumps(parameters)) > MAX_PARAMETERS_BYTES:
        raise InvalidRequest(f'"parameters" of {where} are over {MAX_PARAMETERS_BYTES} bytes')
    return parameters


def _refusal(name: str, value: Scalar, place: Place) -> str | None:
    if name == "headers":
        return _RESERVED
    if name in _SHARED_MEMORY:
        return "it belongs to an input or a requested output" if place is Place.REQUEST else None
    if name.startswith("sequence_"):
        return None if name in _NEUTRAL and not value else _SEQUENCE
    if name.startswith("triton_"):
        return None if name == _STREAM_END and type(value) is bool else _RESERVED
    belongs = _PLACES.get(name, place)
    return None if belongs is place else f"it belongs to {belongs}"


def _integer(given: Mapping[str, Scalar], name: str, where: str) -> int:
    """0 if it isn't given."""
    value = given.get(name, 0)
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise InvalidRequest(f'parameter "{name}" of {where} must be an integer from 0 to 2^63-1')
    return value


def _boolean(given: Mapping[str, Scalar], name: str, where: str) -> bool | None:
    value = given.get(name)
    if value is not None and type(value) is not bool:
        raise InvalidRequest(f'parameter "{name}" of {where} must be true or false')
    return value
