"""Operator tests as known models: a file, inputs, and what ONNX Runtime itself makes of them."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import JSON
from tidegate_conformance.models.known import Feeds, KnownModel, Spec
from tidegate_conformance.nodes.direct import Direct, Unfit, taken

RUNS: Final = 3
"""So many more show what is drawn at random: with a seed of its own, a Dropout's first two runs are alike."""

LARGE: Final = 10_000
"""So many numbers that a test takes longer than others, and shows no more."""


@dataclass(frozen=True, slots=True)
class Case:
    """One operator test. `model.example` isn't meant here: `feeds` are the test's own inputs."""

    name: str
    paths: tuple[Path, ...]
    """Its model, and the same with free sizes of outputs: those declared needn't hold for other inputs of the shape."""
    model: KnownModel
    feeds: Feeds
    proto: onnx.ModelProto

    @property
    def in_json(self) -> bool:
        """Whether JSON can say all of it."""
        return in_json(self.model, [self.feeds, self.model.answer(self.feeds)])


def in_json(model: KnownModel, tensors: Iterable[Feeds]) -> bool:
    """Whether JSON can say all of the tensors: no 16-bit floats, nothing that isn't finite."""
    if any(spec.datatype not in JSON for spec in (*model.inputs, *model.outputs)):
        return False
    arrays = [array for feeds in tensors for array in feeds.values()]
    return all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in arrays)


def sample(tests: Mapping[str, Any], size: int) -> list[str]:
    """The names of `size` tests that differ most; of all for 0.

    One after the other that has most of what those before lack, of operators, types and ranks; of equals one that isn't
    `LARGE`, then the first by name. What becomes of a test is not looked at.
    """
    if not 0 < size < len(tests):
        return list(tests)
    lacking = {name: features(test.model) for name, test in tests.items()}
    small = {name: _size(test.model) < LARGE for name, test in tests.items()}
    chosen: list[str] = []
    while len(chosen) < size:
        best = max(lacking, key=lambda name: (len(lacking[name]), small[name]))
        found = lacking.pop(best)
        chosen.append(best)
        for rest in lacking.values():
            rest.difference_update(found)
    return sorted(chosen)


def features(model: onnx.ModelProto) -> set[str]:
    """What tells tests apart: operators, and datatypes and ranks of inputs and of outputs."""
    graph = model.graph
    found = {f"{node.domain}.{node.op_type}" for node in graph.node}
    for side, tensors in (("in", graph.input), ("out", graph.output)):
        found |= {f"{side} {info.type.tensor_type.elem_type}" for info in tensors}
        found |= {f"{side} of rank {len(info.type.tensor_type.shape.dim)}" for info in tensors}
    return found | {f"{len(graph.input)} in", f"{len(graph.output)} out"}


def _size(model: onnx.ModelProto) -> int:
    shapes = [info.type.tensor_type.shape.dim for info in model.graph.input]
    return sum(math.prod(dim.dim_value for dim in shape) for shape in shapes)


def all_tests() -> dict[str, Any]:
    """The operator tests that the onnx package holds, by name, in alphabetical order."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # The package computes its expectations while it is imported, infinities among them.
        warnings.simplefilter("ignore")
        from onnx.backend.test import loader  # noqa: PLC0415

        tests = loader.load_model_tests(kind="node")
    return {test.name: test for test in sorted(tests, key=lambda test: str(test.name))}


def fitting(tests: Sequence[Any], folder: Path) -> tuple[list[Case], dict[str, str]]:
    """The tests that can be sent, their models written below `folder`, and why the others can't be, by name."""
    cases, reasons = [], dict[str, str]()
    for test in tests:
        try:
            cases.append(_case(test, folder))
        except Unfit as unfit:
            reasons[test.name] = str(unfit)
    return cases, reasons


def _case(test: Any, folder: Path) -> Case:
    """Raises `Unfit`."""
    direct = Direct(test.model.SerializeToString())
    feeds = _feeds(test.data_sets[0][0], direct.inputs)
    if any(array.size == 0 for array in feeds.values()):
        raise Unfit("an input has no elements")
    answer = direct.run(feeds)
    again = [direct.run(feeds) for _ in range(RUNS)]
    if any(not datatypes.same(value, answer[name]) for run in again for name, value in run.items()):
        raise Unfit("ONNX Runtime answers otherwise each time")
    # V2's names of models have no place for every character that tests' names have.
    name = test.name.replace("_", "-")
    model = KnownModel(name, direct.inputs, direct.outputs, {"1": lambda _feeds: answer}, {})
    paths = tuple(folder / f"{name}{end}.onnx" for end in ("", "-free"))
    for path, proto in zip(paths, (test.model, with_free_outputs(test.model)), strict=True):
        onnx.save(proto, path)
    return Case(test.name, paths, model, feeds, test.model)


def with_free_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the sizes of its outputs."""
    free = onnx.ModelProto()
    free.CopyFrom(model)
    for info in free.graph.output:
        for dim in info.type.tensor_type.shape.dim:
            dim.Clear()
    return free


def _feeds(values: Sequence[Any], specs: Sequence[Spec]) -> Feeds:
    if len(values) != len(specs):
        raise Unfit("the test leaves out optional inputs")
    if not all(isinstance(value, np.ndarray | np.generic) for value in values):
        raise Unfit("an input is no tensor")
    return {spec.name: taken(value, spec) for value, spec in zip(values, specs, strict=True)}
