"""Runs of models with BF16 inputs or outputs, which ONNX Runtime's Python binding has no numpy type for.

`InferenceSession.run` refuses ml_dtypes' arrays ("Numpy_type … can't be converted") and can't return such a tensor; an
OrtValue carries the same bits as UINT16 under the ONNX type, both ways. OrtValues can't be made of strings.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tidegate_runtime.errors import ExecutionFailed, StartupFailure
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Datatype, Feeds

_BFLOAT16: Final = Datatype.BF16.numpy
_ELEMENT_TYPE: Final = 16
"""`TensorProto.BFLOAT16`, without the onnx package, which serving doesn't need."""
_ONNX_TYPE: Final = "tensor(bfloat16)"


def needed(signature: Signature) -> bool:
    """Whether a model must be run here. Raises `StartupFailure` if it takes strings as well."""
    if not any(spec.datatype is Datatype.BF16 for spec in (*signature.inputs, *signature.outputs)):
        return False
    if any(spec.datatype is Datatype.BYTES for spec in signature.inputs):
        raise StartupFailure(
            Reason.UNSUPPORTED_SIGNATURE,
            "the model has BF16 tensors and string inputs, which ONNX Runtime's Python binding can't run together; "
            "export it with FP32 in place of BF16",
        )
    return True


def run(session: Any, feeds: Feeds, options: Any, ort_value: Any) -> Sequence[Array]:
    """All outputs in declared order, copied out of ONNX Runtime's memory where they are BF16.

    `ort_value` is ONNX Runtime's class of that name.
    """
    # An OrtValue points into its array, so the array must lie aligned and stay.
    arrays = {name: np.require(array, requirements=("C", "A")) for name, array in feeds.items()}
    values = {name: _value(array, ort_value) for name, array in arrays.items()}
    return [_array(value) for value in session.run_with_ort_values(None, values, options)]


def _value(array: Array, ort_value: Any) -> Any:
    if array.dtype == _BFLOAT16:
        return ort_value.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _ELEMENT_TYPE)
    return ort_value.ortvalue_from_numpy(array)


def _array(value: Any) -> Array:
    if value.data_type() != _ONNX_TYPE:
        array: Array = value.numpy()
        return array
    if value.device_name() != "cpu":
        raise ExecutionFailed("a BF16 output stayed on the device; export the model with an FP32 output")
    size = value.tensor_size_in_bytes()
    held = (ctypes.c_char * size).from_address(value.data_ptr()) if size else b""
    return np.frombuffer(bytes(held), _BFLOAT16).reshape(value.shape())
