"""Tensors in shared memory: requests over REST that name regions, and those that must not touch them."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from tidegate_conformance import datatypes, sources
from tidegate_conformance.check import Level, Run, check
from tidegate_conformance.expect import equal
from tidegate_conformance.models.known import Feeds
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.infer import check_answer, datatype_of, decode, document, json_input
from tidegate_conformance.shared_memory import (
    BYTES,
    EXTENSION,
    OFFSET,
    REGION,
    Place,
    Region,
    forget,
    registered,
)
from tidegate_conformance.subject import Subject

SIZE: Final = 32
"""Of each tensor of the model `add_sub`, in bytes."""


def _rest(name: str, level: Level = Level.EXTENSION, model: str = "add_sub") -> Callable[[Run], Run]:
    return check(f"rest.shared-memory.{name}", sources.SHARED_MEMORY, level=level, extension=EXTENSION, model=model)


def send(subject: Subject, feeds: Feeds, given: Mapping[str, Place], wanted: Mapping[str, Place]) -> Answer:
    """The answer to a request whose inputs in `given` are there, the others in JSON; it asks for the outputs `wanted`.

    Outputs whose place is empty are to come in JSON; without `wanted`, all do.
    """
    inputs = [
        json_input(subject.model, name, array)
        if name not in given
        else {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatype_of(subject.model, name).value,
            "parameters": given[name],
        }
        for name, array in feeds.items()
    ]
    outputs = [{"name": name, "parameters": place} for name, place in wanted.items()]
    return subject.post({"inputs": inputs} | ({"outputs": outputs} if outputs else {}))


def infer(subject: Subject, region: Region, feeds: Feeds, given: list[str], wanted: list[str]) -> None:
    """Infers with the inputs `given` and the outputs `wanted` in the region, one behind the other; the rest in JSON.

    Raises `Mismatch` unless the answer is right and nothing else of the object was changed.
    """
    kinds = {spec.name: spec.datatype for spec in (*subject.model.inputs, *subject.model.outputs)}
    at, places = 0, {}
    for name in given:
        data = datatypes.to_bytes(feeds[name], kinds[name])
        region.put(data, at)
        places[name] = region.place(len(data), at)
        at += len(data)
    expected, before = subject.expected(feeds), region.whole()
    asked: dict[str, Place] = {name: {} for name in expected}
    ends, written = {}, at
    for name in wanted:
        size = len(datatypes.to_bytes(expected[name], kinds[name]))
        asked[name] = region.place(size, at)
        ends[name] = (size, at)
        at += size
    answer = send(subject, feeds, places, asked if wanted else {})
    found = {name: region.get(*end) for name, end in ends.items()}
    check_answer(subject.model, decode(answer, found), expected)
    check_untouched(region, before, written, at)


def check_untouched(region: Region, before: bytes, start: int, end: int) -> None:
    """Raises `Mismatch` if the object was changed elsewhere than between `start` and `end` of its region."""
    after, start, end = region.whole(), region.offset + start, region.offset + end
    equal("memory before the outputs' place", before[:start], after[:start])
    equal("memory behind the outputs' place", before[end:], after[end:])


@_rest("input")
def one_input(subject: Subject) -> None:
    """An input in shared memory, another in JSON, the outputs in JSON."""
    with registered(subject, SIZE) as region:
        infer(subject, region, subject.model.example(), ["b"], [])


@_rest("output")
def one_output(subject: Subject) -> None:
    """An output in shared memory, another in JSON."""
    with registered(subject, SIZE) as region:
        infer(subject, region, subject.model.example(1), [], ["difference"])


@_rest("both")
def both(subject: Subject) -> None:
    """All inputs and outputs in one region, each at an offset of its own."""
    with registered(subject, 4 * SIZE) as region:
        infer(subject, region, subject.model.example(2), ["a", "b"], ["sum", "difference"])


@_rest("region-offset")
def region_offset(subject: Subject) -> None:
    """Offsets count from the region's start, not its object's; nothing around the region is written."""
    with registered(subject, 4 * SIZE, offset=48, beyond=48) as region:
        infer(subject, region, subject.model.example(3), ["b", "a"], ["difference", "sum"])


@_rest("rewritten")
def rewritten(subject: Subject) -> None:
    """The same request again has what is in shared memory then."""
    with registered(subject, 4 * SIZE) as region:
        for seed in range(4, 8):
            infer(subject, region, subject.model.example(seed), ["a", "b"], ["sum", "difference"])


@_rest("rows", model="rows")
def rows(subject: Subject) -> None:
    """32 rows in, and 32 rows out."""
    feeds = {"x": np.linspace(-1e6, 1e6, 128, dtype=np.float32).reshape(32, 4)}
    with registered(subject, 1024) as region:
        infer(subject, region, feeds, ["x"], ["y"])


@_rest("bytes", model="identity_bytes")
def strings(subject: Subject) -> None:
    """BYTES have a length before each element there, too."""
    values = datatypes.byte_strings([b"", b"a", b"x" * 500, "漢字".encode()], (1, 4))
    with registered(subject, 2048) as region:
        infer(subject, region, {"x": values}, ["x"], ["y"])


@_rest("unregistered")
def after_unregistering(subject: Subject) -> None:
    """A region that was unregistered can't be used any more."""
    with registered(subject, 4 * SIZE) as region:
        feeds = subject.model.example(9)
        infer(subject, region, feeds, ["a", "b"], ["sum"])
        forget(subject, region)
        _refused(subject, region, {"a": region.place(SIZE)}, {})


def _refused(
    subject: Subject, region: Region, given: Mapping[str, Place], wanted: Mapping[str, Place], *statuses: int
) -> None:
    """Raises `Mismatch` unless the request is refused, and nothing is written."""
    before = region.whole()
    send(subject, subject.model.example(10), given, wanted).refusal(*statuses)
    equal("memory after a refusal", before, region.whole())


@_rest("half-a-place")
def half_a_place(subject: Subject) -> None:
    """A region without a size, or a size without a region, is refused."""
    with registered(subject, SIZE) as region:
        for half in (REGION, BYTES):
            place = {half: region.place(SIZE)[half]}
            _refused(subject, region, {"a": place}, {})
            _refused(subject, region, {}, {"sum": place})


@_rest("data-beside")
def data_beside(subject: Subject) -> None:
    """An input that has data in JSON and a place in shared memory is refused."""
    with registered(subject, SIZE) as region:
        request = document(subject.model, subject.model.example())
        request["inputs"][0]["parameters"] = region.place(SIZE)
        subject.post(request).refusal()


BAD: Final[tuple[tuple[str, str, Callable[[Region], Place]], ...]] = (
    ("unknown-region", "A region that nobody registered", lambda region: region.place(SIZE) | {REGION: "no-such"}),
    (
        "beyond-region",
        "An offset beyond the region, though not beyond its object",
        lambda region: region.place(SIZE, 8),
    ),
    ("offset-huge", "An offset near 2^63", lambda region: region.place(SIZE) | {OFFSET: 2**63 - 1}),
    ("offset-negative", "A negative offset", lambda region: region.place(SIZE) | {OFFSET: -SIZE}),
    ("size-negative", "A negative size", lambda region: region.place(-SIZE)),
    ("too-small", "A place that is smaller than its tensor", lambda region: region.place(SIZE - 4)),
)
"""Places that can't be used, in a region of `SIZE` bytes: name, title, parameters."""


def _declare(side: str, tensor: str, name: str, title: str, place: Callable[[Region], Place]) -> None:
    def run(subject: Subject) -> None:
        with registered(subject, SIZE, beyond=4096) as region:
            places = {tensor: place(region)}
            _refused(subject, region, *((places, {}) if side == "input" else ({}, places)), 400)

    check(
        f"rest.shared-memory.bad-{side}.{name}",
        sources.SHARED_MEMORY,
        level=Level.ROBUSTNESS,
        extension=EXTENSION,
        title=f"{title}, for an {side}: 400, and nothing is written.",
    )(run)


for _side, _tensor in (("input", "a"), ("output", "sum")):
    for _row in BAD:
        _declare(_side, _tensor, *_row)
