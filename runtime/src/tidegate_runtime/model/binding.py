"""Runs on buffers that stay: inputs and outputs of one combination of shapes keep their places on the device.

ONNX Runtime allocates and copies on every run that is given arrays; CUDA graphs can't be had at all without fixed
addresses. What is bound goes through `run_with_ortvaluevector`, which is what an IOBinding's run comes to, but says by
its exception's class whether an operator rejected its input: `run_with_iobinding` makes one RuntimeError of everything.
Besides `session`, this module alone knows ONNX Runtime.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Datatype, Feeds

BOUND_BYTES: Final = 512 << 20
"""All buffers together; those that weren't used for longest go first."""

NO_GRAPH: Final = -1
"""The graph of a run that neither captures nor replays one; 0 is ONNX Runtime's own."""

GRAPH_ENTRY: Final = "gpu_graph_id"

_OTHER_SHAPE: Final = "pre-allocated output"
"""op_kernel.cc, of an output whose shape isn't that of the buffer bound for it."""

Kinds = tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]


def can_bind(signature: Signature) -> bool:
    """Whether buffers can be had for all inputs and outputs: not for strings, nor for BF16, which numpy lacks."""
    specs = (*signature.inputs, *signature.outputs)
    return all(spec.datatype not in {Datatype.BYTES, Datatype.BF16} for spec in specs)


class _Binding:
    """The buffers of one combination. `fetches` is None until a run has shown the outputs' shapes."""

    __slots__ = ("feeds", "fetches", "inputs", "kept", "outputs", "size")

    def __init__(self, inputs: list[Any]) -> None:
        self.inputs = inputs
        self.feeds = _vector(inputs)
        self.outputs: list[Any] = []
        self.fetches: Any = None
        self.size = sum(value.tensor_size_in_bytes() for value in inputs)
        self.kept = False


class BoundRuns:
    """Runs of `session` on buffers of `device`, "cpu" or "cuda"; to be used from one thread at a time."""

    def __init__(self, session: Any, signature: Signature, device: str, limit_bytes: int = BOUND_BYTES) -> None:
        self._session = session
        self._device = device
        self._limit = limit_bytes
        self._inputs = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]
        self._host = [_place("cpu")] * len(self._outputs)
        self._places = [_place(device)] * len(self._outputs)
        self._bindings: OrderedDict[Kinds, _Binding] = OrderedDict()
        self._held = 0
        self._outputs_vary = False

    @property
    def held_bytes(self) -> int:
        """Of all buffers."""
        return self._held

    def run(self, feeds: Feeds, options: Any, graph: int = NO_GRAPH) -> Sequence[Array]:
        """All outputs in declared order, in arrays of their own. Raises ONNX Runtime's exceptions.

        A `graph` other than `NO_GRAPH` is captured when it is named first and replayed from then on. It keeps its
        buffers for good, and its shapes must have been run without it, so that they are bound.
        """
        # Said on every run: one that names no graph would capture number 0.
        options.add_run_config_entry(GRAPH_ENTRY, str(graph))
        arrays = [feeds[name] for name in self._inputs]
        kinds = tuple([(array.dtype, array.shape) for array in arrays])
        binding = self._bound(kinds)
        if binding is None:
            outputs: Sequence[Array] = self._session.run(self._outputs, feeds, options)
            return outputs
        for value, array in zip(binding.inputs, arrays, strict=True):
            value.update_inplace(array)
        if graph != NO_GRAPH:
            if binding.fetches is None:
                raise ValueError("a graph needs outputs that are bound")
            binding.kept = True
        return self._run(binding, options)

    def bound(self, feeds: Feeds) -> bool:
        """Whether inputs and outputs of these shapes have their buffers."""
        kinds = tuple([(feeds[name].dtype, feeds[name].shape) for name in self._inputs])
        binding = self._bindings.get(kinds)
        return binding is not None and binding.fetches is not None

    def _bound(self, kinds: Kinds) -> _Binding | None:
        """The buffers for these inputs; None if they are too large to be kept."""
        binding = self._bindings.get(kinds)
        if binding is not None:
            self._bindings.move_to_end(kinds)
            return binding
        if sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in kinds) > self._limit // 4:
            return None
        binding = self._bindings[kinds] = _Binding([_empty(dtype, shape, self._device) for dtype, shape in kinds])
        self._grown(binding.size)
        return binding

    def _grown(self, size: int) -> None:
        self._held += size
        for kinds, binding in list(self._bindings.items())[:-1]:
            if self._held <= self._limit:
                return
            if not binding.kept:
                self._held -= self._bindings.pop(kinds).size

    def _run(self, binding: _Binding, options: Any) -> Sequence[Array]:
        run = self._session.run_with_ortvaluevector
        if binding.fetches is not None:
            try:
                run(options, self._inputs, binding.feeds, self._outputs, binding.fetches, self._places)
                return [self._taken(value) for value in binding.outputs]
            except Exception as error:
                if _OTHER_SHAPE not in str(error) or binding.kept:
                    raise
                self._unbind_outputs()  # Their shapes depend on values: only the first run's were known.
        fetches = ort_state.OrtValueVector()
        run(options, self._inputs, binding.feeds, self._outputs, fetches, self._host)
        # It dies with the vector, whose memory it shares.
        outputs = [fetches[index].numpy().copy() for index in range(len(self._outputs))]
        if not self._outputs_vary:
            self._bind_outputs(binding, outputs)
        return outputs

    def _bind_outputs(self, binding: _Binding, outputs: Sequence[Array]) -> None:
        size = sum(array.nbytes for array in outputs)
        if size > self._limit // 4:
            return
        binding.outputs = [_empty(array.dtype, array.shape, self._device) for array in outputs]
        binding.fetches = _vector(binding.outputs)
        binding.size += size
        self._grown(size)

    def _unbind_outputs(self) -> None:
        self._outputs_vary = True
        for binding in self._bindings.values():
            if not binding.kept:
                size = sum(value.tensor_size_in_bytes() for value in binding.outputs)
                binding.outputs, binding.fetches = [], None
                binding.size -= size
                self._held -= size

    def _taken(self, value: Any) -> Array:
        array: Array = value.numpy()
        return array.copy() if self._device == "cpu" else array  # from a GPU it has been copied already


def _empty(dtype: np.dtype[Any], shape: tuple[int, ...], device: str) -> Any:
    return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, device, 0)


def _vector(values: Sequence[Any]) -> Any:
    vector = ort_state.OrtValueVector()
    for value in values:
        vector.push_back(value._ortvalue)
    return vector


def _place(device: str) -> Any:
    return ort.OrtDevice.make(device, 0)._get_c_device()
