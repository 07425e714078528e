"""Operator tests as known models: a file, inputs, and what ONNX Runtime itself makes of them."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from tidegate_conformance.datatypes import Array, Datatype, byte_strings
from tidegate_conformance.models.known import Feeds, KnownModel, Spec

_TYPES: Final[dict[str, Datatype]] = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(string)": Datatype.BYTES,
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    **{f"tensor({kind.lower()})": kind for kind in Datatype if "INT" in kind},
}


class Unfit(Exception):
    """Why a case can't be sent: what the protocol has no form for, or what ONNX Runtime itself doesn't run."""


@dataclass(frozen=True, slots=True)
class Case:
    """One operator test. `model.example` isn't meant here: `feeds` are the test's own inputs."""

    name: str
    path: Path
    model: KnownModel
    feeds: Feeds

    @property
    def in_json(self) -> bool:
        """Whether JSON can say all of it: no 16-bit floats, nothing that isn't finite."""
        arrays = [*self.feeds.values(), *self.model.answer(self.feeds).values()]
        specs = (*self.model.inputs, *self.model.outputs)
        if any(spec.datatype is Datatype.FP16 for spec in specs):
            return False
        return all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in arrays)


def sample(names: Sequence[str], size: int) -> list[str]:
    """`size` of the names, spread evenly; all of them for 0."""
    if not 0 < size < len(names):
        return list(names)
    return [names[at * len(names) // size] for at in range(size)]


def all_tests() -> dict[str, Any]:
    """The operator tests that the onnx package holds, by name, in alphabetical order."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # The package computes its expectations while it is imported, infinities among them.
        warnings.simplefilter("ignore")
        from onnx.backend.test import loader  # noqa: PLC0415

        tests = loader.load_model_tests(kind="node")
    return {test.name: test for test in sorted(tests, key=lambda test: str(test.name))}


def fitting(tests: Sequence[Any], folder: Path) -> tuple[list[Case], Counter[str]]:
    """The tests that can be sent, their models written below `folder`, and how many can't be, by reason."""
    cases, reasons = [], Counter[str]()
    for test in tests:
        path = folder / test.name / "model.onnx"
        path.parent.mkdir(parents=True)
        onnx.save(test.model, path)
        try:
            cases.append(_case(test.name, path, test.data_sets[0][0]))
        except Unfit as unfit:
            reasons[str(unfit)] += 1
    return cases, reasons


def _case(name: str, path: Path, values: Sequence[Any]) -> Case:
    """The case with these inputs, in the graph's order. Raises `Unfit`."""
    import onnxruntime  # noqa: PLC0415 -- an extra: the checks alone don't need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no class
        raise Unfit("ONNX Runtime doesn't load it") from error
    inputs, outputs = _specs(session.get_inputs()), _specs(session.get_outputs())
    raw = _feeds(values, [spec.name for spec in inputs])
    try:
        found = session.run(None, raw)
    except Exception as error:  # as above
        raise Unfit("ONNX Runtime doesn't run it") from error
    feeds = {spec.name: _ours(raw[spec.name], spec) for spec in inputs}
    answer = {spec.name: _ours(value, spec) for spec, value in zip(outputs, found, strict=True)}
    if any(array.size == 0 for array in (*feeds.values(), *answer.values())):
        raise Unfit("a tensor has no elements")
    # V2's names of models have no place for every character that tests' names have.
    model = KnownModel(name.replace("_", "-"), inputs, outputs, {"1": lambda _feeds: answer}, {})
    return Case(name, path, model, feeds)


def _specs(declared: Sequence[Any]) -> tuple[Spec, ...]:
    specs = []
    for tensor in declared:
        if tensor.type not in _TYPES:
            raise Unfit(f"{tensor.type} is exchanged by no wire, or not by numpy")
        shape = tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
        specs.append(Spec(tensor.name, _TYPES[tensor.type], shape))
    if not specs:
        raise Unfit("it has no inputs")
    return tuple(specs)


def _feeds(values: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    if len(values) != len(names):
        raise Unfit("the test leaves out optional inputs")
    if not all(isinstance(value, np.ndarray | np.generic) for value in values):
        raise Unfit("an input is no tensor")
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _ours(value: Any, spec: Spec) -> Array:
    array = np.asarray(value)
    if spec.datatype is Datatype.BYTES:
        encoded = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel().tolist()]
        return byte_strings(encoded, array.shape)
    return array
