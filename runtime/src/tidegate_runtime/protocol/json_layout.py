"""Bodies that differ in their numbers alone: what stands around the numbers of one tensor is read once.

A client's requests are written by one program, so all but the numbers repeats, and takes more time to read than they
do. What stands around them is known by its bytes; only bodies that were read whole and found plain are remembered.
"""

from typing import Any, Final, NamedTuple

import orjson

MAX_LAYOUTS: Final = 64
"""A client whose requests have more row counts than these has them forgotten and read anew."""

_DATA: Final = b'"data"'


class Layout(NamedTuple):
    """What follows the numbers' list, and the shape that such a body states."""

    behind: bytes
    shape: tuple[int, ...]


class Layouts:
    """The layouts of one model with a single input, by what stands before its numbers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Layout] = {}

    def numbers(self, body: bytes | bytearray) -> tuple[list[Any], tuple[int, ...]] | None:
        """The list that stands for the numbers, and the stated shape; None if the body has no known layout.

        The list is JSON, without true or false; what its elements are is not looked at.
        """
        begin = body.find(_DATA) + len(_DATA) + 1
        layout = self._known.get(body[:begin]) if type(body) is bytes else None
        if layout is None or not body.endswith(layout.behind):
            return None
        text = body[begin : len(body) - len(layout.behind)]
        # Python takes true for 1 wherever it compares or converts numbers.
        if b"t" in text or b"f" in text:
            return None
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return (data, layout.shape) if type(data) is list else None

    def remember(self, body: bytes | bytearray, root: dict[str, Any]) -> None:
        """Notes the layout of `body`, which was read as `root` and is a request with one flat tensor.

        That it may be cut where it is cut is proved: with an empty list in the middle it is the same document but for
        the numbers. JSON being context-free, any other list may stand there, too.
        """
        before, found, rest = bytes(body).partition(_DATA + b":")
        end = rest.find(b"]") + 1
        tensor = root["inputs"][0]
        if not found or not end:
            return
        before, behind = before + found, rest[end:]
        try:
            emptied = orjson.loads(b"[]".join((before, behind)))
        except orjson.JSONDecodeError:
            return
        if emptied == {**root, "inputs": [{**tensor, "data": []}]}:
            if len(self._known) >= MAX_LAYOUTS:
                self._known.clear()
            self._known[before] = Layout(behind, tuple(tensor["shape"]))
