"""Runs of models with outputs whose sizes no input's tell: they may be anything, as where an input's value says them.

ONNX Runtime's Python binding copies outputs into numpy's memory, which no arena bounds; so their size is looked at
before, where there is a limit that the copies could go beyond.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tidegate_runtime.errors import OutOfDeviceMemory
from tidegate_runtime.model.memory import limit_leaves
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Datatype, Feeds

LARGE_BYTES: Final = 1 << 20
"""What is copied without a look at the limit, which takes some 50 µs."""


def needed(signature: Signature) -> bool:
    """Whether an output has a free dimension that no input has; not for strings, which can't be run so.

    A leading one isn't looked at where all inputs have a free one: it is the batch's, by whatever name.
    """
    if any(spec.datatype is Datatype.BYTES for spec in (*signature.inputs, *signature.outputs)):
        return False
    told = {size for spec in signature.inputs for size in spec.shape if size}
    rows = all(spec.shape and isinstance(spec.shape[0], str) for spec in signature.inputs)
    sizes = [size for spec in signature.outputs for size in (spec.shape[1:] if rows else spec.shape)]
    return any(isinstance(size, str) and size not in told for size in sizes)


def run(session: Any, feeds: Feeds, options: Any, ort_value: Any) -> Sequence[Array]:
    """All outputs in declared order. Raises `OutOfDeviceMemory` if the limit doesn't leave what copies of them take.

    `ort_value` is ONNX Runtime's class of that name.
    """
    # An OrtValue points into its array, so the array must lie aligned and stay.
    arrays = {name: np.require(array, requirements=("C", "A")) for name, array in feeds.items()}
    values = {name: ort_value.ortvalue_from_numpy(array) for name, array in arrays.items()}
    outputs = session.run_with_ort_values(None, values, options)
    size = sum([output.tensor_size_in_bytes() for output in outputs])
    left = limit_leaves() if size >= LARGE_BYTES else None
    if left is not None and size > left:
        del outputs  # or the fault would keep them
        raise OutOfDeviceMemory(f"the model's outputs take {size} bytes once more to be copied, and {left} are left")
    return [output.numpy() for output in outputs]
