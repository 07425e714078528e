"""Whether the padding that a configuration declares can be honoured: by the signature, then on numbers. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import PROBE_ROWS, Probe, Run, probe_feeds, same
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec


def check_padding(padding: Padding, signature: Signature) -> None:
    """Raises `StartupFailure` with `UnsupportedSignature`, naming what the model doesn't have or what is fixed."""
    inputs = {spec.name: spec for spec in signature.inputs}
    outputs = {spec.name: spec for spec in signature.outputs}
    for name, (axis, value) in padding.inputs.items():
        spec = _free(f"tidegate.pad.{name}", inputs.get(name), axis)
        kind = spec.datatype.numpy
        if spec.datatype is Datatype.BYTES or np.asarray(value).astype(kind) != value:
            raise _refused(f"tidegate.pad.{name}: {value:g} is no {spec.datatype}")
    for name, axis in padding.outputs.items():
        _free(f"tidegate.cut.{name}", outputs.get(name), axis)


def prove_padding(
    run: Run, padding: Padding, signature: Signature, probe: Probe, tolerance: Mapping[Datatype, float]
) -> None:
    """Runs rows as they are and padded to twice their length, and compares what is left after cutting back.

    Raises `StartupFailure` with `UnsupportedSignature` if an output differs by more than its tolerance, or if nothing
    can be seen, for no row's outputs are finite; and whatever `run` raises.
    """
    feeds = _real(probe_feeds(signature, probe, PROBE_ROWS), padding)
    plain = run(feeds)
    padded = run(padding.padded(feeds, 2 * probe.free_size))
    shown = _finite_rows(plain)
    if not shown.any():
        raise _refused("tidegate.pad: the warm-up's outputs aren't finite, so padding can't be proved harmless")
    for spec, one, other in zip(signature.outputs, plain, padding.cut(tuple(padded), probe.free_size), strict=True):
        limit = tolerance.get(spec.datatype)
        equal = one.shape == other.shape and all(
            same(one[row], other[row], limit) for row in np.flatnonzero(shown).tolist()
        )
        if not equal:
            raise _refused(
                f'tidegate.pad: output "{spec.name}" has shape {list(one.shape)}, but {list(other.shape)} or other '
                "numbers once its request was padded; declare tidegate.cut for it, or leave the padding out"
            )


def _real(feeds: Feeds, padding: Padding) -> Feeds:
    """Rows whose own places don't look like padding; the first has 1 in all integers, which any mask means as real."""
    real = {}
    for name, array in feeds.items():
        if name in padding.inputs and np.issubdtype(array.dtype, np.integer):
            value = padding.inputs[name][1]
            array = np.where(array == value, array.dtype.type(value + 1), array)  # noqa: PLW2901
            array[0] = 1
        real[name] = array
    return real


def _finite_rows(outputs: Sequence[Array]) -> Array:
    rows = np.ones(PROBE_ROWS, bool)
    for output in outputs:
        if output.dtype.kind == "f":
            rows &= np.isfinite(output.reshape(PROBE_ROWS, -1)).all(axis=1)
    return rows


def _free(key: str, spec: TensorSpec | None, axis: int) -> TensorSpec:
    if spec is None:
        raise _refused(f"{key}: the model has nothing of that name")
    if not 1 <= axis < len(spec.shape):
        raise _refused(f"{key}: axis {axis} isn't one behind the batch's; there are {len(spec.shape)} axes")
    if not isinstance(spec.shape[axis], str):
        raise _refused(f"{key}: axis {axis} has the fixed size {spec.shape[axis]}")
    return spec


def _refused(why: str) -> StartupFailure:
    return StartupFailure(Reason.UNSUPPORTED_SIGNATURE, f"config.pbtxt: parameters: {why}")
