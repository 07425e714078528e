"""What a front end and the hub say to each other: records, several in a packet. Pure.

Both say SLAB (with a descriptor: a slab to read from), DROP (a slab that nothing lies in any more), RELEASE (tensors of
the other that aren't used any more). The front end: READY once it listens, SHOWN once it does as MODELS said, REQUEST,
or REQUESTS for several of one shape, WITHDRAW, COUNTS, ASK (a question), LET_GO of a model version that it has nothing
more for. The hub: OUTCOME or FAULT, or OUTCOMES for several that ran together, MODELS (all that is served), ASK_COUNTS,
ANSWER, LONG_ANSWER or FAULT to a question, HANDED (a descriptor, of which the next MODELS tells), LEAVE. READY, MODELS,
COUNTS and LONG_ANSWER come with a descriptor: they are long. COUNTS without one says that they can't be told.

Each record is a multiple of 16 bytes, so that tensors in it are aligned.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple


class Kind(IntEnum):
    """The first byte of a record."""

    SLAB = 1
    DROP = 2
    RELEASE = 3
    READY = 4
    REQUEST = 5
    WITHDRAW = 6
    LET_GO = 7
    COUNTS = 8
    ASK = 9
    OUTCOME = 10
    FAULT = 11
    MODELS = 12
    ASK_COUNTS = 13
    ANSWER = 14
    LEAVE = 15
    SHOWN = 16
    REQUESTS = 17
    OUTCOMES = 18
    HANDED = 19
    LONG_ANSWER = 20


HEAD: Final = struct.Struct("<BBHIQ")
"""Kind; marks, of the first bit whether times follow; bytes of text that follow; two numbers of the kind's meaning."""

_TIMED: Final = 1
_LEADS: Final = 2

_REQUEST: Final = struct.Struct("<BBHIQIIIIQdQQ")
_OUTCOME: Final = struct.Struct("<BBHIQIIQ")
_TIMES: Final = struct.Struct("<5dQ")
_REQUESTS: Final = struct.Struct("<BBHIQIIIIQQ")
_EACH: Final = struct.Struct("<IxxxxdQ")

_ALIGNMENT: Final = 16
MAX_TEXT_BYTES: Final = 0xFFFF

LEAST_TOGETHER: Final = 4
MOST_TOGETHER: Final = 1024
"""Requests in one record; for fewer, one for each is cheaper."""


class Cargo(NamedTuple):
    """Tensors as `layout.pack` describes them: `size` bytes at `offset` of a slab, or, of slab 0, of the packet itself.

    `blob` are those that travel in the packet, to be sent.
    """

    description: bytes
    slab: int
    offset: int
    size: int
    blob: bytes = b""


class Request(NamedTuple):
    """One request, by its number on the line, for a model version by its own; `timed` asks for the run's times.

    `client` tells the front end's clients apart; 0: of no known one.
    """

    number: int
    model: int
    rows: int
    priority: int
    deadline: float
    timed: bool
    cargo: Cargo
    client: int = 0


Each = tuple[int, float, int]
"""Of several requests, what each has to itself: its number, its deadline, and its client."""


class Requests(NamedTuple):
    """Several requests of one shape for a model version; `cargo` are their tensors, stacked."""

    model: int
    rows: int
    priority: int
    cargo: Cargo
    each: list[Each]


class Times(NamedTuple):
    """The arguments of `RequestTrace.ran`."""

    admitted: float
    started: float
    assembly: float
    compute: float
    ended: float
    rows: int


class Outcome(NamedTuple):
    """The outputs for a request; `leads` says whether it led its batch."""

    number: int
    cargo: Cargo
    times: Times | None
    leads: bool = False


def plain(kind: Kind, number: int = 0, value: int = 0) -> bytes:
    """A record of nothing but two numbers: RELEASE, DROP, WITHDRAW, LET_GO and those that come with a descriptor."""
    return HEAD.pack(kind, 0, 0, number, value)


def request(request: Request) -> bytes:
    """REQUEST. Raises `struct.error` if the tensors' description is longer than `MAX_TEXT_BYTES`."""
    cargo = request.cargo
    head = _REQUEST.pack(
        Kind.REQUEST,
        request.timed,
        len(cargo.description),
        request.number,
        cargo.offset,
        request.model,
        request.rows,
        request.priority,
        cargo.slab,
        cargo.size,
        request.deadline,
        request.client,
        0,
    )
    return head + _loaded(cargo)


def read_request(packet: bytes, at: int) -> tuple[Request, int]:
    """The REQUEST at `at`, and where it ends."""
    head = _REQUEST.unpack_from(packet, at)
    _, timed, length, number, offset, model, rows, priority, slab, size, deadline, client, _ = head
    cargo, end = _cargo(packet, at + _REQUEST.size, length, slab, offset, size)
    return Request(number, model, rows, priority, deadline, bool(timed), cargo, client), end


def requests(requests: Requests) -> bytes:
    """REQUESTS, for at most `MOST_TOGETHER`. Raises `struct.error` for tensors whose description is too long."""
    cargo = requests.cargo
    head = _REQUESTS.pack(
        Kind.REQUESTS,
        0,
        len(cargo.description),
        len(requests.each),
        cargo.offset,
        requests.model,
        requests.rows,
        requests.priority,
        cargo.slab,
        cargo.size,
        0,
    )
    return head + _padded(b"".join([_EACH.pack(*each) for each in requests.each])) + _loaded(cargo)


def read_requests(packet: bytes, at: int) -> tuple[Requests, int]:
    """The REQUESTS at `at`, and where it ends. Raises `ValueError` if they are none, or too many."""
    head = _REQUESTS.unpack_from(packet, at)
    _, _, length, count, offset, model, rows, priority, slab, size, _ = head
    if not 1 <= count <= MOST_TOGETHER:
        raise ValueError(f"{count} requests together")
    at += _REQUESTS.size
    bytes_of_each = count * _EACH.size
    each = list(_EACH.iter_unpack(packet[at : at + bytes_of_each]))
    if len(each) != count:
        raise ValueError("a record that is cut short")
    cargo, end = _cargo(packet, at + _aligned(bytes_of_each), length, slab, offset, size)
    return Requests(model, rows, priority, cargo, each), end


def outcomes(numbers: list[int], cargo: Cargo, leads: bool = False) -> bytes:
    """OUTCOMES: the outputs for these requests, stacked. `leads` says whether the first of them led its batch."""
    count = len(numbers)
    marks = _LEADS if leads else 0
    head = _OUTCOME.pack(Kind.OUTCOMES, marks, len(cargo.description), count, cargo.offset, cargo.slab, 0, cargo.size)
    return head + _padded(struct.pack(f"<{count}I", *numbers)) + _loaded(cargo)


def read_outcomes(packet: bytes, at: int) -> tuple[tuple[int, ...], Cargo, bool, int]:
    """The numbers and the outputs of the OUTCOMES at `at`, whether the first led its batch, and where it ends."""
    _, marks, length, count, offset, slab, _, size = _OUTCOME.unpack_from(packet, at)
    at += _OUTCOME.size
    numbers = struct.unpack_from(f"<{count}I", packet, at)
    cargo, end = _cargo(packet, at + _aligned(4 * count), length, slab, offset, size)
    return numbers, cargo, bool(marks & _LEADS), end


def outcome(number: int, cargo: Cargo, times: Times | None, leads: bool = False) -> bytes:
    """OUTCOME."""
    marks = (_TIMED if times is not None else 0) | (_LEADS if leads else 0)
    head = _OUTCOME.pack(Kind.OUTCOME, marks, len(cargo.description), number, cargo.offset, cargo.slab, 0, cargo.size)
    return (head if times is None else head + _TIMES.pack(*times)) + _loaded(cargo)


def read_outcome(packet: bytes, at: int) -> tuple[Outcome, int]:
    """The OUTCOME at `at`, and where it ends."""
    _, marks, length, number, offset, slab, _, size = _OUTCOME.unpack_from(packet, at)
    at += _OUTCOME.size
    times = None
    if marks & _TIMED:
        times = Times(*_TIMES.unpack_from(packet, at))
        at += _TIMES.size
    cargo, end = _cargo(packet, at, length, slab, offset, size)
    return Outcome(number, cargo, times, bool(marks & _LEADS)), end


def fault(number: int, text: bytes) -> bytes:
    """FAULT; `text` is what `encode_fault` made."""
    return said(Kind.FAULT, number, text)


def said(kind: Kind, number: int, text: bytes) -> bytes:
    """FAULT, ASK or ANSWER. Raises `struct.error` for a text that is longer than `MAX_TEXT_BYTES`."""
    return HEAD.pack(kind, 0, len(text), number, 0) + _padded(text)


def read_said(packet: bytes, at: int) -> tuple[int, bytes, int]:
    """The number and the text of the FAULT, ASK or ANSWER at `at`, and where it ends."""
    _, _, length, number, _ = HEAD.unpack_from(packet, at)
    at += HEAD.size
    return number, packet[at : at + length], at + _aligned(length)


def _loaded(cargo: Cargo) -> bytes:
    return _padded(cargo.description) + _padded(cargo.blob)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)


def _cargo(packet: bytes, at: int, length: int, slab: int, offset: int, size: int) -> tuple[Cargo, int]:
    description = packet[at : at + length]
    at += _aligned(length)
    if slab:
        return Cargo(description, slab, offset, size), at
    return Cargo(description, 0, at, size), at + _aligned(size)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
