"""Lists of numbers that requests of one layout have for one of their tensors, read together."""

from array import array as number_array
from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from tidegate_numbers import Reader
from tidegate_runtime.protocol.plain import Text
from tidegate_runtime.tensors import Array

FEW: Final = 64
"""Up to so many numbers their sum in Python is cheaper than the first of numpy's calls."""


class NumberColumn(NamedTuple):
    """The numbers of one tensor, of `dtype`; `code` is the standard library's for arrays of it."""

    name: str
    code: str
    dtype: "np.dtype[Any]"
    may_overflow: bool

    def read(self, texts: Sequence[Text], size: int, reader: Reader | None) -> tuple[Array, bytearray | None]:
        """A row of `size` numbers for each of the texts, which are to be flat lists of so many and nothing else.

        The second has a 0 for each that isn't, whose row holds anything; None if there is none.
        """
        if reader is None:
            return self._read_in_python([bytes(text) for text in texts], size)
        if len(texts) == 1 and type(texts[0]) is memoryview:
            row = np.empty((1, size), self.dtype)
            return row, None if reader.read(texts[0], 0, len(texts[0]), row) == size else bytearray(1)
        rows = reader.read_rows(texts, size, self.dtype)
        if rows is not None:
            return rows, None
        table = np.empty((len(texts), size), self.dtype)
        whole = reader.read_many(texts, table)
        return table, whole if 0 in whole else None

    def _read_in_python(self, texts: Sequence[bytes], size: int) -> tuple[Array, bytearray | None]:
        made = self._joined(texts, size)
        if made is not None:
            return np.ndarray((len(texts), size), self.dtype, made), None
        table = np.empty((len(texts), size), self.dtype)
        whole = self._apart(texts, table)
        return table, whole if 0 in whole else None

    def _apart(self, texts: Sequence[bytes], table: Array) -> bytearray:
        """As the library's `read_many`."""
        whole = bytearray(len(texts))
        for place, text in enumerate(texts):
            made = self._joined([text], table.shape[1])
            if made is not None:
                table[place] = made
                whole[place] = 1
        return whole

    def _joined(self, texts: Sequence[bytes], size: int) -> "number_array[Any] | None":
        """All numbers in order, read as one list.

        Each text is in brackets, with as many commas as its count of numbers wants; if the whole is a list of so many
        numbers and of nothing else, no comma stands within a string or a deeper list, and none at an end, so each has
        its count.
        """
        commas = size - 1
        for text in texts:
            if text.count(b",") != commas or not (text.startswith(b"[") and text.endswith(b"]")):
                return None
        joined = b"[%b]" % b",".join([text[1:-1] for text in texts])
        # Python takes true for 1 wherever it compares or converts numbers.
        if b"t" in joined or b"f" in joined or joined.find(b"[", 1) >= 0:
            return None
        try:
            made = number_array(self.code, orjson.loads(joined))
        except (orjson.JSONDecodeError, TypeError, OverflowError):
            return None
        if len(made) != len(texts) * size:
            return None
        return made if not self.may_overflow or finite(made) else None


def finite(numbers: "number_array[Any]") -> bool:
    """Whether all are finite. A sum of finite FP32 values, in double, can't overflow.

    A list first: to walk through an array ends in an error with a text, at five times the cost of the whole sum.
    """
    return isfinite(sum(numbers.tolist())) if len(numbers) <= FEW else bool(np.isfinite(numbers).all())
