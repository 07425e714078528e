"""Requests of one shape made to fit a batch of a longer one, where the model's configuration declares it safe. Pure.

A padded input is filled up along one axis with a value that the model ignores (a mask's 0); an output that has the
padded dimension is cut back to what the request had.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tidegate_runtime.tensors import Array, Feeds


@dataclass(frozen=True, slots=True)
class Padding:
    """`inputs` are axis and value by input, `outputs` the axis by output; axes count from 1, behind the batch's.

    All inputs have one length along their axes. `names` are the model's outputs in declared order.
    """

    inputs: Mapping[str, tuple[int, float]]
    outputs: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def length(self, feeds: Feeds) -> int:
        """The length of a request whose inputs have one."""
        return next(int(feeds[name].shape[axis]) for name, (axis, _) in self.inputs.items())

    def family(self, key: Hashable) -> tuple[Hashable, int] | None:
        """What shapes that differ in length alone have in common, and the length; None if inputs differ in it.

        `key` is `compatibility`'s.
        """
        shapes: Any = key
        lengths = set()
        common = []
        for name, dtype, sizes in (shapes,) if isinstance(shapes[0], str) else shapes:
            if name in self.inputs:
                axis = self.inputs[name][0] - 1
                lengths.add(sizes[axis])
                common.append((name, dtype, (*sizes[:axis], None, *sizes[axis + 1 :])))
            else:
                common.append((name, dtype, sizes))
        return (tuple(common), lengths.pop()) if len(lengths) == 1 else None

    def padded(self, feeds: Feeds, length: int) -> Feeds:
        """The request with `length` in place of its own, which is at most as long."""
        return {name: self._filled(name, array, length) for name, array in feeds.items()}

    def cut(self, outputs: tuple[Array, ...], length: int) -> tuple[Array, ...]:
        """A padded request's outputs as they are without padding, as views; `length` is its own."""
        return tuple(
            [
                output[(slice(None),) * self.outputs[name] + (slice(length),)] if name in self.outputs else output
                for name, output in zip(self.names, outputs, strict=True)
            ]
        )

    def _filled(self, name: str, array: Array, length: int) -> Array:
        if name not in self.inputs:
            return array
        axis, value = self.inputs[name]
        missing = length - array.shape[axis]
        widths = [(0, missing if position == axis else 0) for position in range(array.ndim)]
        return np.pad(array, widths, constant_values=array.dtype.type(value)) if missing else array
