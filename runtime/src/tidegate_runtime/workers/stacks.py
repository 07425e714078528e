"""Tensors of several requests of one shape, one behind the other along axis 0, and each one's share of them. Pure."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from tidegate_runtime.tensors import Array

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


def stacked(requests: Sequence[Sequence[Array]]) -> list[Array]:
    """Each tensor of the requests as one. Raises `ValueError` for tensors of no dimensions."""
    return [np.concatenate(arrays) for arrays in zip(*requests, strict=True)]


def shares(stacks: Sequence[Array], count: int) -> list[tuple[Array, ...]]:
    """The tensors of each of `count` ≥ 1 requests, as views. Raises `ValueError` for what has no equal shares."""
    # Iterating over an array makes the views in C.
    return list(zip(*[list(_by_request(stack, count)) for stack in stacks], strict=True))


def sorted_out(
    items: Sequence[_T], keys: Iterable[_K], stacks: Sequence[Array]
) -> Iterator[tuple[_K, list[_T], Sequence[Array]]]:
    """Each key, the items that have it, in order, and their tensors, of `stacks` that are those of all items.

    Raises `ValueError` as `shares` does.
    """
    places: dict[_K, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    if len(places) == 1:
        (key,) = places
        yield key, list(items), stacks
        return
    parts = [_by_request(stack, len(items)) for stack in stacks]
    for key, wanted in places.items():
        own = [part[wanted].reshape(len(wanted) * part.shape[1], *part.shape[2:]) for part in parts]
        yield key, [items[place] for place in wanted], own


def _by_request(stack: Array, count: int) -> Array:
    if stack.ndim == 0 or stack.shape[0] % count:
        raise ValueError(f"a tensor of shape {list(stack.shape)} has no {count} equal shares")
    return stack.reshape(count, stack.shape[0] // count, *stack.shape[1:])
