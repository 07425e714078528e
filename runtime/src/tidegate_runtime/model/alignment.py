"""Where a run's inputs lie in memory."""

from typing import Final

import numpy as np

from tidegate_runtime.tensors import Array, Feeds

ALIGNMENT: Final = 16
"""Bytes. ONNX Runtime takes an input where it is. Its kernels for sums begin at a multiple of so many, and add what is
before that by itself, so an answer's last bits would depend on what else lies in a request's body, or in a batch."""


def aligned(feeds: Feeds) -> Feeds:
    """The inputs, each beginning at such a place: copied there, if it doesn't by itself, as few do."""
    for array in feeds.values():
        if not _begins_its_memory(array) and _address(array) % ALIGNMENT:
            return {name: each.copy() if _address(each) % ALIGNMENT else each for name, each in feeds.items()}
    return feeds


def _begins_its_memory(array: Array) -> bool:
    """Whether it is what numpy has allocated, or a view of all of that; so it begins right, or ONNX Runtime copies it.

    It does the latter with what isn't contiguous. To look at the address takes a microsecond, an eighth of a tiny run.
    """
    base = array.base
    return base is None or (type(base) is np.ndarray and base.base is None and base.nbytes == array.nbytes)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
