"""HTTP requests of every kind as bytes, each with a judge of its answer."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from soak.asking import LAYOUTS, Asked, alike, draw, packed, spell

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
LENGTH: Final = "inference-header-content-length"
_ALWAYS: Final = frozenset({"date", "content-type", "content-length"})
REVISION: Final = "x-tidegate-revision"
"""On an answer that another server gave, whose models have that version."""
_SOMETIMES: Final = frozenset({"vary", "connection", REVISION})


class Answer(NamedTuple):
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(NamedTuple):
    """A request, and whether an answer is the one to it."""

    kind: str
    sent: bytes
    right: Callable[[Answer], bool]


def _post(path: str, body: bytes, *lines: str, chunked: bool = False) -> bytes:
    if chunked:
        middle = len(body) // 2
        parts = [part for part in (body[:middle], body[middle:]) if part]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: soak", length, *lines, "", ""])
    return head.encode() + body


def _plain(answer: Answer, media: str, *further: str) -> bool:
    """Whether the head is that of an answer of this kind, and holds nothing that belongs to another."""
    names = set(answer.headers)
    return (
        answer.headers.get("content-type") == media
        and _ALWAYS | set(further) <= names <= _ALWAYS | _SOMETIMES | set(further)
        and answer.headers.get("vary", "Accept-Encoding") == "Accept-Encoding"
    )


def _path(asked: Asked) -> str:
    return f"/v2/models/{asked.model.name}/infer"


def _document(asked: Asked, **members: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": asked.shape, "datatype": asked.model.datatype, "data": asked.values}
    return _named(asked) | {"inputs": [tensor | members]}


def _named(asked: Asked) -> dict[str, str]:
    return {"id": asked.id} if asked.id else {}


def _answers(asked: Asked, answer: Answer, text: bytes) -> bool:
    document = orjson.loads(text)
    return bool(
        document
        == {
            "model_name": asked.model.name,
            "model_version": answer.headers.get(REVISION, "1"),
            **_named(asked),
            "outputs": [
                {
                    "name": "y",
                    "datatype": asked.model.datatype,
                    "shape": list(asked.shape),
                    "data": asked.expected,
                }
            ],
        }
    )


def _json(asked: Asked, kind: str, *lines: str, chunked: bool = False) -> Exchange:
    body = orjson.dumps(_document(asked))

    def right(answer: Answer) -> bool:
        return answer.status == 200 and _plain(answer, JSON) and _answers(asked, answer, answer.body)

    return Exchange(kind, _post(_path(asked), body, *lines, chunked=chunked), right)


def _packed(asked: Asked, encoding: str) -> Exchange:
    body = orjson.dumps(_document(asked))
    body = gzip.compress(body, 1) if encoding == "gzip" else zlib.compress(body, 1)
    sent = _post(_path(asked), body, f"Content-Encoding: {encoding}", f"Accept-Encoding: {encoding}")

    def right(answer: Answer) -> bool:
        text = answer.body
        further = ["content-encoding"] if "content-encoding" in answer.headers else []
        if further:
            if answer.headers["content-encoding"] != encoding:
                return False
            text = gzip.decompress(text) if encoding == "gzip" else zlib.decompress(text)
        return answer.status == 200 and _plain(answer, JSON, *further) and _answers(asked, answer, text)

    return Exchange(encoding, sent, right)


def _binary(asked: Asked, kind: str) -> Exchange:
    raw = packed(asked.values, asked.model.datatype)
    document = _document(asked, parameters={"binary_data_size": len(raw)})
    del document["inputs"][0]["data"]
    text = orjson.dumps(document | {"parameters": {"binary_data_output": True}})
    expected = packed(asked.expected, asked.model.datatype)

    def right(answer: Answer) -> bool:
        if answer.status != 200 or not _plain(answer, BINARY, LENGTH):
            return False
        length = int(answer.headers[LENGTH])
        document = orjson.loads(answer.body[:length])
        (output,) = document["outputs"]
        return (
            (document.get("id", ""), document["model_name"]) == (asked.id, asked.model.name)
            and output["shape"] == list(asked.shape)
            and answer.body[length:] == expected
        )

    return Exchange(kind, _post(_path(asked), text + raw, f"{LENGTH}: {len(text)}", f"Content-Type: {BINARY}"), right)


def _v1(asked: Asked) -> Exchange:
    rows, columns = asked.shape
    expected = asked.expected
    nested = [expected[row * columns : (row + 1) * columns] for row in range(rows)]

    def right(answer: Answer) -> bool:
        return answer.status == 200 and _plain(answer, JSON) and orjson.loads(answer.body) == {"predictions": nested}

    body = orjson.dumps({"instances": asked.nested})
    return Exchange("V1", _post(f"/v1/models/{asked.model.name}:predict", body), right)


def _refused(kind: str, sent: bytes, status: int, *words: str) -> Exchange:
    """`words` are in the message; among them is what only this request said."""

    def right(answer: Answer) -> bool:
        document = orjson.loads(answer.body)
        return (
            answer.status == status
            and _plain(answer, JSON)
            and list(document) == ["error"]
            and all(word in document["error"] for word in words)
        )

    return Exchange(kind, sent, right)


def _bad(asked: Asked, random: Random) -> Exchange:
    path, values = _path(asked), asked.values
    which = random.randrange(7)
    if which == 0:
        body = orjson.dumps(_document(asked, name=f"q{asked.id}"))
        return _refused("misnamed", _post(path, body), 400, f'"q{asked.id}"')
    if which == 1:
        body = orjson.dumps(_document(asked, data=[*values, *values, values[0]]))
        return _refused("too many elements", _post(path, body), 400, f"data has {2 * len(values) + 1}")
    if which == 2:
        body = orjson.dumps(_document(asked, datatype=asked.id[:16]))
        return _refused("unknown datatype", _post(path, body), 400, f'"{asked.id[:16]}"')
    if which == 3:
        body = orjson.dumps(_document(asked))[:-2]
        return _refused("truncated JSON", _post(path, body), 400, "JSON")
    if which == 4:
        path = f"/v2/models/{asked.id}/infer"
        return _refused("unknown model", _post(path, orjson.dumps(_document(asked))), 404, "no model")
    if which == 5:
        sent = _post(path, orjson.dumps(_document(asked)), "Content-Type: text/plain")
        return _refused("text/plain", sent, 415, "application/json")
    body = orjson.dumps(_document(asked, parameters={f"q{asked.id}": [1]}))
    return _refused("a parameter that is a list", _post(path, body), 400, f'"q{asked.id}"')


def _alike(asked: Asked, kind: str) -> Exchange:
    return _binary(asked, kind) if kind == "alike binary" else _json(asked, kind)


_KINDS: Final = ("alike", "alike binary", "hot", "cold", "chunked", "binary", "gzip", "deflate", "V1", "bad")
_WEIGHTS: Final = (40, 20, 50, 8, 4, 15, 5, 2, 4, 12)


def make(random: Random, number: int) -> Exchange:
    """The request of that number, of any kind."""
    at = spell(number)
    if at is not None:
        return _alike(alike(number, at.http), "alike binary" if at.binary else "alike")
    asked = draw(random, number)
    kind = random.choices(_KINDS, _WEIGHTS)[0]
    if kind.startswith("alike"):
        return _alike(alike(number, random.choice(LAYOUTS)), kind)
    if kind == "bad":
        return _bad(asked, random)
    if kind in {"gzip", "deflate"}:
        return _packed(asked, kind)
    if kind == "binary":
        return _binary(asked, kind)
    if kind == "V1":
        return _v1(asked)
    return _json(asked, kind, *(["TE: trailers"] if kind == "cold" else []), chunked=kind == "chunked")
