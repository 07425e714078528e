"""Operator tests whose models take any number of rows, so that requests may share a batch, and what is right then.

The tests' shapes are fixed. Here the leading dimension of some inputs and of all outputs is made free; the other inputs
become constants, as weights are. Nobody is told whether rows stay apart in such a model: that is for the server to
find out, and whoever says yes is held to it.

A server doesn't tell which requests it has put together, nor in which order; only how many batches of how many rows it
has run. So ONNX Runtime runs batches of all the orders that these may have had, and the answers are right if there is
one way of putting the requests into the batches in which each answer is its rows of its batch's run, bit by bit.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import Array, Datatype
from tidegate_conformance.expect import Mismatch, fail
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.nodes.cases import Case, in_json
from tidegate_conformance.nodes.direct import Direct, Unfit
from tidegate_conformance.rest.infer import Output, check_outputs

REQUESTS: Final = (1, 2, 1, 3)
"""Rows of the requests that are to share a batch: enough for places to matter, few enough for all 24 orders."""

TOTAL: Final = sum(REQUESTS)

Batch = tuple[int, ...]
"""Requests by their numbers, in the order in which their rows lie below each other."""

TOLERANCE: Final = {Datatype.BF16: 5e-2, Datatype.FP16: 2e-2, Datatype.FP32: 1e-3, Datatype.FP64: 1e-6}
"""How far a row may differ from itself alone, relative to its largest value, since kernels sum in another order for
another number of rows; other datatypes not at all. What depends on its neighbours differs by far more."""

_ROWS: Final = "rows"
_FADING: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class Together:
    """A model with free rows, requests for it, and what ONNX Runtime answers to each, alone and to all in one batch."""

    name: str
    path: Path
    model: KnownModel
    requests: tuple[Feeds, ...]
    alone: tuple[Feeds, ...]
    whole: tuple[Feeds, ...]

    @property
    def in_json(self) -> bool:
        """Whether JSON can say all of it."""
        return in_json(self.model, [*self.requests, *self.alone, *self.whole])

    @property
    def by_company(self) -> bool:
        """Whether the batch changes a bit of what requests get alone."""
        return any(not _same(alone, whole) for alone, whole in zip(self.alone, self.whole, strict=True))

    def by_order(self) -> bool:
        """Whether the batch's order changes a bit of what requests get."""
        run = self._running()
        orders = itertools.permutations(range(len(self.requests)))
        return any(not _same(run(order)[at], self.whole[at]) for order in orders for at in order)

    def check(self, answers: Sequence[Mapping[str, Output]], batches: Sequence[int]) -> None:
        """Raises `Mismatch` unless the answers, in the requests' order, are right; `batches` are the rows of each."""
        self._check_independence()
        run, first = self._running(), dict[int, Feeds]()
        for arrangement in arrangements([_count(request) for request in self.requests], batches):
            expected = {at: right for batch in arrangement for at, right in run(batch).items()}
            if all(_is(answers[at], right) for at, right in expected.items()):
                break
            first = first or expected
        else:
            rows = " + ".join(map(str, batches))
            raise Mismatch(f"in no order of requests in batches of {rows} rows{self._difference(answers, first)}")
        for at, right in expected.items():
            check_outputs(self.model, answers[at], right)

    def _difference(self, answers: Sequence[Mapping[str, Output]], expected: Mapping[int, Feeds]) -> str:
        try:
            for at, right in expected.items():
                check_outputs(self.model, answers[at], right)
        except Mismatch as mismatch:
            return f": {mismatch}"
        return ""

    def _running(self) -> Callable[[Batch], dict[int, Feeds]]:
        """What ONNX Runtime answers to each request of a batch."""
        direct = Direct(self.path)

        @cache
        def run(batch: Batch) -> dict[int, Feeds]:
            requests = [self.requests[at] for at in batch]
            return dict(zip(batch, together(direct, requests), strict=True))

        return run

    def _check_independence(self) -> None:
        for alone, whole in zip(self.alone, self.whole, strict=True):
            for spec in self.model.outputs:
                here, there = alone[spec.name], whole[spec.name]
                if not _close(here, there, TOLERANCE.get(spec.datatype)):
                    what = f'output "{spec.name}" of requests that share batches, though rows depend on each other'
                    fail(what, here.tolist(), there.tolist())


def arrangements(rows: Sequence[int], batches: Sequence[int]) -> Iterator[tuple[Batch, ...]]:
    """Every way of putting requests of so many `rows` each into batches of so many each, in every order."""

    def placed(left: frozenset[int], batches: Sequence[int]) -> Iterator[tuple[Batch, ...]]:
        if not batches:
            yield from [()] if not left else []
            return
        for count in range(1, len(left) + 1):
            for batch in itertools.permutations(sorted(left), count):
                if sum(rows[at] for at in batch) == batches[0]:
                    for others in placed(left - set(batch), batches[1:]):
                        yield (batch, *others)

    return placed(frozenset(range(len(rows))), batches)


def ways(feeds: Feeds) -> list[tuple[str, ...]]:
    """The inputs that might hold the rows: all but scalars, the first of those, all but that. The most likely first."""
    names = tuple(name for name, array in feeds.items() if array.ndim)
    return list(dict.fromkeys(found for found in (names, names[:1], names[1:]) if found))


def freed(case: Case, names: Collection[str], number: int, folder: Path) -> Together:
    """The case with the rows in the inputs `names`, its model written below `folder`; `number` tells ways apart.

    Raises `Unfit` if ONNX Runtime doesn't give a row for each row.
    """
    content = with_free_rows(case.proto, case.feeds, names).SerializeToString()
    direct = Direct(content)
    starts = itertools.accumulate(REQUESTS[:-1], initial=0)
    requests = tuple(
        {spec.name: supply(case.feeds[spec.name], spec.datatype, start, count) for spec in direct.inputs}
        for start, count in zip(starts, REQUESTS, strict=True)
    )
    whole = together(direct, requests)
    alone = [answer for request in requests for answer in together(direct, [request])]
    name = f"{case.model.name}-rows-{number}"
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    model = KnownModel(name, direct.inputs, direct.outputs, {"1": lambda feeds: feeds}, {})
    return Together(case.name, path, model, requests, tuple(alone), tuple(whole))


def together(direct: Direct, requests: Sequence[Feeds]) -> list[Feeds]:
    """Each request's rows of what ONNX Runtime answers to all below each other. Raises `Unfit` if that aren't rows."""
    answer = direct.run({name: np.concatenate([request[name] for request in requests]) for name in requests[0]})
    counts = [_count(request) for request in requests]
    if any(array.shape[:1] != (sum(counts),) for array in answer.values()):
        raise Unfit("its outputs don't have a row for each row")
    ends = itertools.accumulate(counts)
    return [
        {name: array[end - count : end] for name, array in answer.items()}
        for end, count in zip(ends, counts, strict=True)
    ]


def with_free_rows(model: onnx.ModelProto, feeds: Feeds, names: Collection[str]) -> onnx.ModelProto:
    """The model with a free leading dimension of the inputs `names` and all outputs; the other inputs are constants.

    Raises `Unfit` if one of them has none.
    """
    free = onnx.ModelProto()
    free.CopyFrom(model)
    graph = free.graph
    inputs = [info for info in model.graph.input if info.name in names]
    del graph.input[:], graph.value_info[:]
    graph.input.extend(inputs)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in feeds.items() if name not in names)
    for info in (*graph.input, *graph.output):
        dims = info.type.tensor_type.shape.dim
        if not dims:
            raise Unfit("an output has no rows")
        dims[0].dim_param = _ROWS
    # Before this one, what has a value had to be an input all the same.
    free.ir_version = max(free.ir_version, 4)
    return free


def supply(array: Array, datatype: Datatype, start: int, count: int) -> Array:
    """Rows from `start` on, of as many as one wants, made of the test's own, since those are what the operator takes.

    Behind the last one come all of them again with their elements moved on by one, real numbers also made smaller.
    """
    rows = np.empty((count, *array.shape[1:]), array.dtype)
    for at in range(count):
        turn, row = divmod(start + at, len(array))
        moved = np.roll(array[row : row + 1], turn)
        rows[at : at + 1] = moved * array.dtype.type(1 - turn * _FADING) if datatype in TOLERANCE else moved
    return rows


def _count(request: Feeds) -> int:
    return len(next(iter(request.values())))


def _is(answer: Mapping[str, Output], right: Feeds) -> bool:
    return answer.keys() == right.keys() and all(datatypes.same(answer[name].array, right[name]) for name in right)


def _same(one: Feeds, other: Feeds) -> bool:
    return all(datatypes.same(one[name], other[name]) for name in one)


def _close(one: Array, other: Array, tolerance: float | None) -> bool:
    if tolerance is None:
        return datatypes.same(one, other)
    one, other = one.astype(np.float64), other.astype(np.float64)
    largest = max((float(abs(value)) for value in (*one.ravel(), *other.ravel()) if np.isfinite(value)), default=0.0)
    return bool(np.allclose(one, other, rtol=0.0, atol=tolerance * largest, equal_nan=True))
