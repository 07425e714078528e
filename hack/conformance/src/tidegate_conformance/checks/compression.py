"""Compressed requests and answers over REST."""

import gzip
import json
import zlib
from collections.abc import Callable

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.checks.binary import ALL_BINARY
from tidegate_conformance.expect import Mismatch, Skip, fail
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.infer import LENGTH, binary_input, check_answer, decode, document, with_blobs
from tidegate_conformance.subject import Subject

_PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
_UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


def _plain(answer: Answer, coding: str) -> Answer:
    """The answer unpacked. Raises `Skip` if it isn't packed: a server may always answer without."""
    found = answer.must_be(200).header("content-encoding")
    if found in (None, "identity"):
        raise Skip(f"the server doesn't compress its answers with {coding}")
    if found != coding:
        fail("Content-Encoding", coding, found)
    try:
        body = _UNPACK[coding](answer.body)
    except (OSError, zlib.error, EOFError) as error:
        raise Mismatch(f"the answer is not {coding}: {error}") from None
    return Answer(answer.status, answer.headers, body)


def _request(coding: str) -> Callable[[Subject], None]:
    def run(subject: Subject) -> None:
        feeds = subject.model.example(1, free=16)
        body = _PACK[coding](json.dumps(document(subject.model, feeds)).encode())
        answer = subject.post(body, {"Content-Encoding": coding})
        if answer.status in (400, 415):
            raise Skip(f"the server doesn't take {coding}")
        check_answer(subject.model, decode(answer), subject.expected(feeds))

    return run


def _answer(coding: str) -> Callable[[Subject], None]:
    def run(subject: Subject) -> None:
        feeds = subject.model.example(2, free=32)
        answer = subject.post(document(subject.model, feeds), {"Accept-Encoding": coding})
        check_answer(subject.model, decode(_plain(answer, coding)), subject.expected(feeds))

    return run


def _binary(coding: str) -> Callable[[Subject], None]:
    def run(subject: Subject) -> None:
        feeds = subject.model.example(3, free=32)
        entry, blob = binary_input(subject.model, "x", feeds["x"])
        body, headers = with_blobs({"inputs": [entry]} | ALL_BINARY, blob)
        headers |= {"Content-Encoding": coding, "Accept-Encoding": coding}
        answer = subject.post(_PACK[coding](body), headers)
        if answer.status in (400, 415):
            raise Skip(f"the server doesn't take {coding}")
        unpacked = _plain(answer, coding)
        length = unpacked.header(LENGTH) or ""
        if not length.isdigit() or int(length) > len(unpacked.body):
            fail(f"{LENGTH}, which counts bytes before compression", f"at most {len(unpacked.body)}", length)
        check_answer(subject.model, decode(unpacked), subject.expected(feeds))

    return run


for _coding in _PACK:
    _level, _source = Level.EXTENSION, sources.COMPRESSION
    check(
        f"rest.compression.{_coding}-request",
        _source,
        level=_level,
        model="rows",
        title=f"A request in {_coding} is answered, or refused.",
    )(_request(_coding))
    check(
        f"rest.compression.{_coding}-answer",
        _source,
        level=_level,
        model="rows",
        title=f"An answer in {_coding}, where {_coding} is accepted, unpacks to the right one.",
    )(_answer(_coding))
    check(
        f"rest.compression.{_coding}-binary",
        _source,
        level=_level,
        model="rows",
        extension="binary_tensor_data",
        title=f"Binary tensors in {_coding}, both ways: the JSON's length counts unpacked bytes.",
    )(_binary(_coding))


@check("rest.compression.not-accepted", sources.COMPRESSION, model="rows")
def not_accepted(subject: Subject) -> None:
    """An answer isn't compressed for a client that doesn't accept it."""
    feeds = subject.model.example(4, free=32)
    for accepted in ("identity", "gzip;q=0, deflate;q=0", "unheard-of"):
        answer = subject.post(document(subject.model, feeds), {"Accept-Encoding": accepted})
        if answer.header("content-encoding") not in (None, "identity"):
            fail(f"Content-Encoding for Accept-Encoding: {accepted}", None, answer.header("content-encoding"))
        check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.compression.identity", sources.COMPRESSION, model="rows")
def identity(subject: Subject) -> None:
    """`Content-Encoding: identity` is no encoding."""
    feeds = subject.model.example(5)
    answer = subject.post(document(subject.model, feeds), {"Content-Encoding": "identity"})
    check_answer(subject.model, decode(answer), subject.expected(feeds))
