"""Bounds on what a request's tensors hold, beside their types and shapes, which the signature checks. Pure."""

from collections.abc import Sequence
from typing import Final, Self

from tidegate_runtime.errors import BodyTooLarge
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

_UTF8_BYTES: Final = 4
"""Of a character, at most."""


class ValueBounds:
    """What the inputs of one model may hold, however they came."""

    __slots__ = ("_max_element_bytes", "_texts")

    def __init__(self, texts: Sequence[str], max_element_bytes: int) -> None:
        self._texts = texts
        self._max_element_bytes = max_element_bytes

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec], max_element_bytes: int) -> Self | None:
        """The bounds on a model's inputs; None if there is nothing to look at."""
        texts = [spec.name for spec in inputs if spec.datatype is Datatype.BYTES]
        return cls(texts, max_element_bytes) if texts else None

    def check(self, feeds: Feeds, size: int | None = None) -> None:
        """Raises `BodyTooLarge` for an element of BYTES over its limit, naming the input and the element.

        In no element are more than `size` bytes, if that is known.
        """
        if size is None or size > self._max_element_bytes:
            for name in self._texts:
                self._check_texts(name, feeds[name])

    def _check_texts(self, name: str, array: Array) -> None:
        limit, texts = self._max_element_bytes, array.ravel().tolist()
        # The number of characters is there at once, the number of bytes isn't.
        if max(map(len, texts), default=0) * _UTF8_BYTES <= limit:
            return
        for index, text in enumerate(texts):
            if len(text) * _UTF8_BYTES > limit and (size := len(text.encode())) > limit:
                where = f'input "{name}": data[{index}]'
                raise BodyTooLarge(f"{where} has {size} bytes; the limit of an element is {limit}")
