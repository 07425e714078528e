"""Whether a model's requests may share a batch: proved from its graph, then on numbers. Pure.

A wrong "yes" mixes users' answers, so the answer is "no" wherever there is doubt: an unknown operator, a leading
dimension that is fixed, rows that come out differently alone, together or in another order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

if TYPE_CHECKING:
    import onnx

PROBE_ROWS: Final = 5
PROBE_SCALES: Final = (1.0, 1e-3, 100.0, 0.05, 7.0)
"""Magnitudes of the probe's rows: what a batch shares (a scale, a mean, a maximum) shows in the small ones."""

TOLERANCE: Final = {Datatype.BF16: 5e-2, Datatype.FP16: 2e-2, Datatype.FP32: 1e-3, Datatype.FP64: 1e-6}
"""How far a row may differ between batches, relative to its own largest value. Kernels sum in another order for another
batch size; a quantisation scale shared with a row 1,000 times larger is off by the whole value."""

Run = Callable[[Feeds], Sequence[Array]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` says why not, or how it was proved."""

    batched: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BatchingRules:
    """What a model's configuration says of batching.

    `declared` overrides the proof where it isn't None. `tolerance` is how far a row may differ between batches,
    relative to its own largest value; values of datatypes that aren't in it must be equal.
    """

    declared: bool | None = None
    tolerance: Mapping[Datatype, float] = field(default_factory=lambda: TOLERANCE)


@dataclass(frozen=True, slots=True)
class Probe:
    """How probe inputs are made: the size of free dimensions behind axis 0, and the integers' upper bound."""

    free_size: int
    integers_below: int


PROBES: Final = (Probe(8, 100), Probe(8, 2), Probe(32, 2), Probe(224, 2))
"""Tried in order until the model takes one: text models refuse large indices, image models small pictures."""


def judge_graph(model: "onnx.ModelProto", signature: Signature) -> Verdict:
    """What the graph proves; changes `model`. Any doubt, malformed graphs included, is a "no" with its reason."""
    # Not imported above: a server whose model was vetted elsewhere needs neither the analysis nor the onnx package.
    from tidegate_runtime.model.rowflow.analysis import follow  # noqa: PLC0415
    from tidegate_runtime.model.rowflow.values import Unproved  # noqa: PLC0415

    for spec in signature.outputs:
        if not spec.shape or not isinstance(spec.shape[0], str):
            return Verdict(False, f'output "{spec.name}" has no free leading dimension')
    try:
        follow(model)
    except Unproved as why:
        return Verdict(False, str(why))
    except Exception as error:  # A graph that surprises the analysis is not proved, whatever the surprise.
        return Verdict(False, f"the graph can't be analysed ({type(error).__name__})")
    return Verdict(True, "rows proved independent")


def probe_feeds(signature: Signature, probe: Probe, rows: int) -> Feeds:
    """Inputs for `rows` rows that fit the signature, the same on every call, rows of unlike scale."""
    generator = np.random.default_rng(0)
    return {spec.name: _probe_tensor(spec, probe, rows, generator) for spec in signature.inputs}


def judge_declaration(run: Run, feeds: Feeds, signature: Signature) -> str | None:
    """What in the answer contradicts that each row of `feeds` has a row of its own in every output; None if nothing.

    Raises whatever `run` raises.
    """
    rows = next(iter(feeds.values())).shape[0]
    for spec, output in zip(signature.outputs, run(feeds), strict=True):
        if output.shape[:1] != (rows,):
            return f'output "{spec.name}" has shape {list(output.shape)} for {rows} rows'
    return None


def judge_numbers(
    run: Run, feeds: Feeds, signature: Signature, tolerance: Mapping[Datatype, float] = TOLERANCE
) -> Verdict:
    """Whether each row of `feeds` gives the same answer alone, in the batch and in the batch reversed.

    Raises whatever `run` raises.
    """
    rows = next(iter(feeds.values())).shape[0]
    together = run(feeds)
    reversed_ = run({name: np.ascontiguousarray(array[::-1]) for name, array in feeds.items()})
    for row in range(rows):
        alone = run({name: array[row : row + 1] for name, array in feeds.items()})
        for index, spec in enumerate(signature.outputs):
            if together[index].shape[:1] != (rows,) or alone[index].shape[:1] != (1,):
                return Verdict(False, f'output "{spec.name}" does not have one row per input row')
            here, there = together[index][row], reversed_[index][rows - 1 - row]
            allowed = tolerance.get(spec.datatype, 0.0) if spec.datatype in TOLERANCE else None
            if not (same(alone[index][0], here, allowed) and same(here, there, allowed)):
                return Verdict(False, f'output "{spec.name}": a row differs with the rows beside it')
    return Verdict(True, "rows proved independent")


def differing_output(one: Sequence[Array], other: Sequence[Array], signature: Signature) -> str | None:
    """The name of the first output in which two answers to the same inputs differ beyond rounding; None if none."""
    for spec, here, there in zip(signature.outputs, one, other, strict=True):
        if not same(here, there, TOLERANCE.get(spec.datatype)):
            return spec.name
    return None


def _probe_tensor(spec: TensorSpec, probe: Probe, rows: int, generator: np.random.Generator) -> Array:
    lead = spec.shape[:1]
    sizes = tuple(probe.free_size if isinstance(size, str) else size for size in spec.shape[1:])
    shape = (*(rows if isinstance(size, str) else size for size in lead), *sizes)
    array = _filled(spec.datatype, shape, probe, generator)
    if spec.datatype in TOLERANCE and shape:
        scales = np.resize(np.array(PROBE_SCALES), shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
        array = array * scales
    return array.astype(spec.datatype.numpy)


def _filled(datatype: Datatype, shape: tuple[int, ...], probe: Probe, generator: np.random.Generator) -> Array:
    if datatype in TOLERANCE:
        return generator.standard_normal(shape)
    integers: Array = generator.integers(0, probe.integers_below, shape)
    return integers.astype(np.str_) if datatype is Datatype.BYTES else integers


def same(one: Any, other: Any, tolerance: float | None) -> bool:
    """Whether two answers are equal within `tolerance` of the largest value; None: exactly."""
    if tolerance is None or np.shape(one) != np.shape(other):
        return np.array_equal(one, other)
    # As doubles, which hold every value of the other types; numpy doesn't compare bfloat16.
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    finite = np.abs(np.concatenate([np.ravel(one), np.ravel(other)]))
    largest = np.max(finite, initial=0.0, where=np.isfinite(finite))
    return np.allclose(one, other, rtol=0.0, atol=tolerance * largest, equal_nan=True)
