"""Bounds on what a request's tensors hold, beside their types and shapes, which the signature checks. Pure."""

from collections.abc import Sequence
from math import isnan
from typing import Final, Self

import numpy as np

from tidegate_runtime.errors import BodyTooLarge, InvalidTensor
from tidegate_runtime.tensors import FLOATS, Array, Datatype, Feeds, TensorSpec

_UTF8_BYTES: Final = 4
"""Of a character, at most."""


class ValueBounds:
    """What the inputs of one model may hold, however they came."""

    __slots__ = ("_floats", "_max_element_bytes", "_texts")

    def __init__(self, texts: Sequence[str], max_element_bytes: int, floats: Sequence[str]) -> None:
        """`texts` and `floats` are the inputs whose elements are bounded, and those whose numbers have to be finite."""
        self._texts = texts
        self._max_element_bytes = max_element_bytes
        self._floats = floats

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec], max_element_bytes: int, *, finite: bool = False) -> Self | None:
        """The bounds on inputs; None if there is nothing to look at. `finite`: NaN and infinities are refused."""
        texts = [spec.name for spec in inputs if spec.datatype is Datatype.BYTES]
        floats = [spec.name for spec in inputs if finite and spec.datatype in FLOATS]
        return cls(texts, max_element_bytes, floats) if texts or floats else None

    def check(self, feeds: Feeds, size: int | None = None) -> None:
        """Raises `BodyTooLarge` or `InvalidTensor` for an element beyond its bounds, naming the input and the element.

        In no element of BYTES are more than `size` bytes, if that is known.
        """
        if size is None or size > self._max_element_bytes:
            for name in self._texts:
                self._check_texts(name, feeds[name])
        for name in self._floats:
            _check_finite(name, feeds[name])

    def _check_texts(self, name: str, array: Array) -> None:
        limit, texts = self._max_element_bytes, array.ravel().tolist()
        # The number of characters is there at once, the number of bytes isn't.
        if max(map(len, texts), default=0) * _UTF8_BYTES <= limit:
            return
        for index, text in enumerate(texts):
            if len(text) * _UTF8_BYTES > limit and (size := len(text.encode())) > limit:
                where = f'input "{name}": data[{index}]'
                raise BodyTooLarge(f"{where} has {size} bytes; the limit of an element is {limit}")


def _check_finite(name: str, array: Array) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        index = int(finite.argmin())
        value = float(array.flat[index])
        what = "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise InvalidTensor(f'input "{name}": data[{index}] is {what}; this server takes finite numbers alone')
