"""A request without JSON: the body is one tensor's bytes, and the model says which tensor that is.

`Inference-Header-Content-Length: 0` announces it (Triton's binary tensor data extension, "raw binary request").
"""

from collections.abc import Sequence
from math import prod

from tidegate_runtime.errors import InvalidRequest, InvalidTensor
from tidegate_runtime.protocol.binary_tensors import array_of
from tidegate_runtime.tensors import Datatype, InferRequest, Tensor, TensorSpec

_INSTEAD = "send Inference-Header-Content-Length and the JSON that names inputs and shapes"


def decode_raw(body: memoryview, inputs: Sequence[TensorSpec]) -> InferRequest:
    """The request for a model of one input whose size follows from the body's; all outputs are to be binary.

    One free dimension follows from the length. If there are two and one of them leads, that one is the batch: 1 row.
    A BYTES input takes one element. Raises `InvalidRequest` if the model leaves more open, `InvalidTensor` if no size
    of the free dimension fits.
    """
    if len(inputs) != 1:
        names = ", ".join(f'"{spec.name}"' for spec in inputs)
        raise InvalidRequest(f"a body without JSON needs a model of one input; this one takes {names}; {_INSTEAD}")
    spec = inputs[0]
    shape = _shape(spec, len(body))
    return InferRequest(
        inputs=(Tensor(spec.name, spec.datatype, array_of(body, shape, spec.datatype, f'input "{spec.name}"')),),
        binary=True,
    )


def _shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    free = [axis for axis, dimension in enumerate(spec.shape) if isinstance(dimension, str)]
    shape = [1 if isinstance(dimension, str) else dimension for dimension in spec.shape]
    if spec.datatype is Datatype.BYTES:
        if prod(shape) != 1:
            raise InvalidRequest(f'input "{spec.name}" takes more than one element of BYTES; {_INSTEAD}')
        return tuple(shape)
    if len(free) == 2 and free[0] == 0:
        free = free[1:]
    if len(free) > 1:
        raise InvalidRequest(f'input "{spec.name}" leaves {len(free)} dimensions open; {_INSTEAD}')
    if free:
        step = prod(shape) * spec.datatype.numpy.itemsize
        if size == 0 or size % step:
            raise InvalidTensor(
                f'input "{spec.name}": {size} bytes are no multiple of {step}, one step of its free size'
            )
        shape[free[0]] = size // step
    return tuple(shape)
