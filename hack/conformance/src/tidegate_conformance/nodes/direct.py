"""ONNX Runtime run directly, as a server with one thread runs it: what servers' answers are compared with."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from tidegate_conformance.datatypes import Array, Datatype, byte_strings
from tidegate_conformance.models.known import Feeds, Spec

_TYPES: Final[dict[str, Datatype]] = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(string)": Datatype.BYTES,
    "tensor(float16)": Datatype.FP16,
    "tensor(bfloat16)": Datatype.BF16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    **{f"tensor({kind.lower()})": kind for kind in Datatype if "INT" in kind},
}
_BFLOAT16: Final = 16
"""`TensorProto.BFLOAT16`."""
_FATAL: Final = 4


class Unfit(Exception):
    """Why a case can't be sent: what the protocol has no form for, or what ONNX Runtime itself doesn't run."""


class Direct:
    """A model in ONNX Runtime, in this process."""

    def __init__(self, model: Path | bytes) -> None:
        """Raises `Unfit` for what it doesn't load, and for tensors that the protocol has no datatype for."""
        options = onnxruntime.SessionOptions()
        # More threads would split sums otherwise.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no class
            raise Unfit("ONNX Runtime doesn't load it") from error
        self.inputs = _specs(self._session.get_inputs())
        self.outputs = _specs(self._session.get_outputs())
        self._as_values = any(spec.datatype is Datatype.BF16 for spec in (*self.inputs, *self.outputs))
        if self._as_values and any(spec.datatype is Datatype.BYTES for spec in self.inputs):
            raise Unfit("ONNX Runtime's Python binding doesn't run bfloat16 beside strings")

    def run(self, feeds: Mapping[str, Array]) -> Feeds:
        """All outputs. Raises `Unfit` if it doesn't run."""
        given = {spec.name: _given(feeds[spec.name], spec) for spec in self.inputs}
        try:
            found = self._run_as_values(given) if self._as_values else self._session.run(None, given)
        except Exception as error:  # as above
            raise Unfit("ONNX Runtime doesn't run it") from error
        return {spec.name: taken(value, spec) for spec, value in zip(self.outputs, found, strict=True)}

    def _run_as_values(self, given: Mapping[str, Array]) -> list[Array]:
        """Its binding has no numpy type for bfloat16: the same bits go as UINT16 under the ONNX type, both ways."""
        ort_value = onnxruntime.OrtValue
        values = {
            name: ort_value.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
            if array.dtype == Datatype.BF16.numpy
            else ort_value.ortvalue_from_numpy(array)
            for name, array in given.items()
        }
        return [_array(value) for value in self._session.run_with_ort_values(None, values)]


def _array(value: Any) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    size = value.tensor_size_in_bytes()
    held = bytes((ctypes.c_char * size).from_address(value.data_ptr())) if size else b""
    return np.frombuffer(held, Datatype.BF16.numpy).reshape(value.shape())


def _specs(declared: Sequence[Any]) -> tuple[Spec, ...]:
    specs = []
    for tensor in declared:
        if tensor.type not in _TYPES:
            raise Unfit(f"the protocol has no datatype for {tensor.type}")
        shape = tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
        specs.append(Spec(tensor.name, _TYPES[tensor.type], shape))
    if not specs:
        raise Unfit("it has no inputs")
    return tuple(specs)


def _given(array: Array, spec: Spec) -> Array:
    if spec.datatype is Datatype.BYTES:
        decoded: Array = np.frompyfunc(lambda value: value.decode(), 1, 1)(array)
        return np.asarray(decoded, np.object_)
    return np.ascontiguousarray(array) if array.ndim else array


def taken(value: Any, spec: Spec) -> Array:
    """A tensor of ONNX Runtime's, or of a test, in our form: strings as their bytes."""
    array = np.asarray(value)
    if spec.datatype is Datatype.BYTES:
        encoded = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel().tolist()]
        return byte_strings(encoded, array.shape)
    return array
