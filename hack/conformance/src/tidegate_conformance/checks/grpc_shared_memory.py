"""Tensors in shared memory over gRPC: registering regions by its methods, and requests that name them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tidegate_conformance import datatypes, sources
from tidegate_conformance.check import Level, Run, Wire, check
from tidegate_conformance.checks.shared_memory import BAD, SIZE, check_untouched
from tidegate_conformance.expect import equal, true
from tidegate_conformance.models.known import Feeds
from tidegate_conformance.rest.infer import check_outputs, datatype_of
from tidegate_conformance.rpc.infer import decode, parameter, raw
from tidegate_conformance.rpc.messages import Message, message
from tidegate_conformance.shared_memory import EXTENSION, Place, Region, fields, forget, registered, unregistered
from tidegate_conformance.subject import Subject

STATUS: Final = "SystemSharedMemoryStatus"
REGISTER: Final = "SystemSharedMemoryRegister"
UNREGISTER: Final = "SystemSharedMemoryUnregister"


def _check(name: str, level: Level = Level.EXTENSION, model: str = "add_sub") -> Callable[[Run], Run]:
    return check(
        f"grpc.shared-memory.{name}",
        sources.SHARED_MEMORY,
        level=level,
        extension=EXTENSION,
        wire=Wire.GRPC,
        model=model,
    )


def _registration(region: Region, **changes: Any) -> Message:
    return message("inference.SystemSharedMemoryRegisterRequest", **(fields(region) | changes))


def _regions(subject: Subject, name: str = "") -> dict[str, dict[str, Any]]:
    """What the server knows of the region, or of all."""
    answer = subject.rpc.offered(STATUS, message("inference.SystemSharedMemoryStatusRequest", name=name))
    return {
        key: {"name": told.name, "key": told.key, "offset": told.offset, "byte_size": told.byte_size}
        for key, told in answer.regions.items()
    }


@_check("register")
def register_and_forget(subject: Subject) -> None:
    """A registered region is in the status as it was registered, alone and among all, until it is unregistered."""
    _regions(subject)
    with unregistered(subject, 64, offset=16) as region:
        subject.rpc.offered(REGISTER, _registration(region))
        try:
            equal("the status of the region", {region.name: fields(region)}, _regions(subject, region.name))
            equal("the region among all", fields(region), _regions(subject).get(region.name))
        finally:
            request = message("inference.SystemSharedMemoryUnregisterRequest", name=region.name)
            subject.rpc.offered(UNREGISTER, request)
        true("the region is not known any more", region.name not in _regions(subject), _regions(subject))


@_check("unregister-all")
def unregister_all(subject: Subject) -> None:
    """Unregistering without a name forgets all regions."""
    _regions(subject)
    with unregistered(subject, 64) as region:
        subject.rpc.offered(REGISTER, _registration(region))
        subject.rpc.offered(UNREGISTER)
        equal("regions", {}, _regions(subject))


@_check("status-unknown")
def status_unknown(subject: Subject) -> None:
    """The status of a region that isn't registered fails."""
    _regions(subject)
    subject.rpc.refusal(STATUS, message("inference.SystemSharedMemoryStatusRequest", name="no-such-region"))


@_check("register-bad", Level.ROBUSTNESS)
def register_bad(subject: Subject) -> None:
    """A region of no object, or beyond its object, isn't registered, nor one whose name is taken."""
    _regions(subject)
    with unregistered(subject, 64) as region:
        try:
            for changes in ({"key": "/tidegate-conformance-no-such"}, {"byte_size": 2**21}, {"byte_size": 0}):
                subject.rpc.refusal(REGISTER, _registration(region, **changes), "INVALID_ARGUMENT", "NOT_FOUND")
            subject.rpc.call(REGISTER, _registration(region))
            subject.rpc.refusal(REGISTER, _registration(region), "ALREADY_EXISTS")
        finally:
            subject.rpc.call(UNREGISTER, message("inference.SystemSharedMemoryUnregisterRequest", name=region.name))


def _request(subject: Subject, feeds: Feeds, given: Mapping[str, Place], wanted: Mapping[str, Place]) -> Message:
    """A request whose inputs in `given` are there, the others raw; it asks for the outputs `wanted`."""
    request = raw(subject.model, feeds)
    request.ClearField("raw_input_contents")
    for tensor in request.inputs:
        if tensor.name in given:
            _set_place(tensor, given[tensor.name])
        else:
            data = datatypes.to_bytes(feeds[tensor.name], datatype_of(subject.model, tensor.name))
            request.raw_input_contents.append(data)
    for name, place in wanted.items():
        _set_place(request.outputs.add(name=name), place)
    return request


def _set_place(tensor: Message, place: Place) -> None:
    for name, value in place.items():
        tensor.parameters[name].CopyFrom(parameter(value))


def _infer(subject: Subject, region: Region, feeds: Feeds, given: list[str], wanted: list[str]) -> None:
    """Infers with the inputs `given` and the outputs `wanted` in the region, one behind the other.

    Raises `Mismatch` unless the answer is right and nothing else of the object was changed.
    """
    expected = subject.expected(feeds)
    places: dict[str, Place] = {}
    for at, name in enumerate(given):
        region.put(datatypes.to_bytes(feeds[name], datatype_of(subject.model, name)), at * SIZE)
        places[name] = region.place(SIZE, at * SIZE)
    start, before = len(given) * SIZE, region.whole()
    asked: dict[str, Place] = {name: {} for name in expected} if wanted else {}
    asked |= {name: region.place(SIZE, start + at * SIZE) for at, name in enumerate(wanted)}
    answer = subject.rpc.call("ModelInfer", _request(subject, feeds, places, asked))
    found = {name: region.get(SIZE, start + at * SIZE) for at, name in enumerate(wanted)}
    check_outputs(subject.model, decode(answer, found), expected)
    check_untouched(region, before, start, start + len(wanted) * SIZE)


@_check("input")
def one_input(subject: Subject) -> None:
    """An input in shared memory, another raw, the outputs in the answer."""
    with registered(subject, SIZE) as region:
        _infer(subject, region, subject.model.example(), ["b"], [])


@_check("output")
def one_output(subject: Subject) -> None:
    """An output in shared memory, another in the answer."""
    with registered(subject, SIZE) as region:
        _infer(subject, region, subject.model.example(1), [], ["difference"])


@_check("both")
def both(subject: Subject) -> None:
    """All inputs and outputs in one region, each at an offset of its own, and again with other data."""
    with registered(subject, 4 * SIZE, offset=48, beyond=48) as region:
        for seed in (2, 3):
            _infer(subject, region, subject.model.example(seed), ["a", "b"], ["sum", "difference"])


@_check("stream")
def stream(subject: Subject) -> None:
    """A request of a stream may have its tensors there, too."""
    feeds = subject.model.example(4)
    with registered(subject, 2 * SIZE) as region:
        region.put(datatypes.to_bytes(feeds["a"], datatype_of(subject.model, "a")))
        wanted: dict[str, Place] = {"sum": region.place(SIZE, SIZE), "difference": {}}
        (answer,) = subject.rpc.stream([_request(subject, feeds, {"a": region.place(SIZE)}, wanted)])
        equal("error_message", "", answer.error_message)
        found = {"sum": region.get(SIZE, SIZE)}
        check_outputs(subject.model, decode(answer.infer_response, found), subject.expected(feeds))


@_check("unregistered")
def after_unregistering(subject: Subject) -> None:
    """A region that was unregistered can't be used any more."""
    feeds = subject.model.example(5)
    with registered(subject, SIZE) as region:
        _infer(subject, region, feeds, ["a"], [])
        forget(subject, region)
        subject.rpc.refusal("ModelInfer", _request(subject, feeds, {"a": region.place(SIZE)}, {}))


def _declare(side: str, tensor: str, name: str, title: str, place: Callable[[Region], Place]) -> None:
    def run(subject: Subject) -> None:
        with registered(subject, SIZE, beyond=4096) as region:
            places, before = {tensor: place(region)}, region.whole()
            given, wanted = (places, {}) if side == "input" else ({}, places)
            request = _request(subject, subject.model.example(6), given, wanted)
            subject.rpc.refusal("ModelInfer", request, "INVALID_ARGUMENT")
            equal("memory after a refusal", before, region.whole())

    check(
        f"grpc.shared-memory.bad-{side}.{name}",
        sources.SHARED_MEMORY,
        level=Level.ROBUSTNESS,
        extension=EXTENSION,
        wire=Wire.GRPC,
        title=f"{title}, for an {side}: INVALID_ARGUMENT, and nothing is written.",
    )(run)


for _side, _tensor in (("input", "a"), ("output", "sum")):
    for _row in BAD:
        _declare(_side, _tensor, *_row)
