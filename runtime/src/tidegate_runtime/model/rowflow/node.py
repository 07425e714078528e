"""One operator of the graph with what is known of its inputs, as the rules see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import onnx

from tidegate_runtime.model.rowflow.values import Dims, Extents, Rows, Unproved, Value, fresh
from tidegate_runtime.tensors import Array

Rule = Callable[["Node"], Sequence[Value]]
"""What an operator's outputs are. Raises `Unproved` where it can't say."""

RULES: Final[dict[tuple[str, str], Rule]] = {}


def rule(*operators: str, domain: str = "") -> Callable[[Rule], Rule]:
    """Registers a rule for operators of a domain ("" is ONNX's own)."""

    def register(function: Rule) -> Rule:
        RULES.update({(domain, operator): function for operator in operators})
        return function

    return register


@dataclass(frozen=True, slots=True)
class Node:
    """An operator with its inputs' values, None for those left out; `inferred` are ONNX's inferred output shapes."""

    proto: onnx.NodeProto
    inputs: tuple[Value | None, ...]
    inferred: tuple[Dims | None, ...]
    opset: int

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute's Python value."""
        for attribute in self.proto.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def input(self, index: int) -> Value | None:
        """The input's value; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def rows(self, index: int = 0) -> Rows:
        """The input as rows; `Unproved` if it is anything else."""
        value = self.input(index)
        if not isinstance(value, Rows):
            raise Unproved(f"input {index} is not made of rows")
        return value

    def rank(self, index: int = 0) -> int:
        """The rank of an input of rows; `Unproved` if it isn't known."""
        rank = self.rows(index).rank
        if rank is None:
            raise Unproved(f"the rank of input {index} is not known")
        return rank

    def only_first_is_rows(self) -> Rows:
        """Input 0, if every other input is the same for all batches: parameters, not data."""
        if any(isinstance(value, Rows) or mentions_batch(value) for value in self.inputs[1:]):
            raise Unproved("a parameter depends on the batch")
        return self.rows(0)

    def constant(self, index: int) -> Array | None:
        """A small constant's value; None if the input is left out; `Unproved` if it isn't constant."""
        value = self.input(index)
        if value is None:
            return None
        if isinstance(value, Rows) or value.array is None:
            raise Unproved(f"input {index} is not a constant")
        return value.array

    def axis(self, default: int, rank: int) -> int:
        """The axis attribute, counted from the front."""
        axis = int(self.attribute("axis", default))
        return axis + rank if axis < 0 else axis

    def axes(self, index: int, rank: int) -> tuple[int, ...] | None:
        """Axes from the attribute or, in newer operator sets, from input `index`; None if left out."""
        given = self.attribute("axes")
        if given is None:
            constant = self.constant(index)
            given = None if constant is None else constant.ravel().tolist()
        return None if given is None else tuple(int(axis) + rank if axis < 0 else int(axis) for axis in given)

    def same_rank(self, rows: Rows, rank: int, output: int = 0) -> Rows:
        """Rows of `rank` with the same lead; sizes behind it from ONNX's inference where it knows them."""
        inferred = self.inferred[output]
        if inferred is not None and len(inferred) == rank:
            return Rows(rows.lead, tuple(dim if dim.known is not None else fresh() for dim in inferred[1:]))
        return Rows(rows.lead, tuple(fresh() for _ in range(rank - 1)))


def mentions_batch(value: Value | None) -> bool:
    """Whether the batch's size is among what is known of a shape."""
    return isinstance(value, Extents) and any(dim.batches for dim in value.dims)
