"""Whether there is memory for an answer's text, which is several times its tensors.

Where a cgroup's limit leaves too little, the kernel would kill the process while orjson writes it; so that is looked at
before.
"""

from collections.abc import Sequence
from typing import Final

from tidegate_runtime.errors import OutOfDeviceMemory
from tidegate_runtime.model.memory import limit_leaves
from tidegate_runtime.protocol.plain import Answers, Plain
from tidegate_runtime.tensors import Array, InferRequest, Tensor

LARGE_BYTES: Final = 1 << 20
"""Of tensors; for less it isn't worth the look at the limit, of some 50 µs."""


def check_room(request: InferRequest, tensors: Sequence[Tensor]) -> None:
    """Raises `OutOfDeviceMemory` if the limit doesn't leave what the answer's numbers may take while it is written.

    `tensors` are those of `request.outputs`, in their order, or all there are.
    """
    _check_text([tensor.array for tensor in as_text(request, tensors)])


def plain_answers(form: Plain, outputs: Sequence[Array], count: int) -> Answers:
    """What `form` answers to `count` requests that ran together. Raises `OutOfDeviceMemory` as `check_room` does."""
    if form.as_text and (len(outputs) != 1 or outputs[0].nbytes >= LARGE_BYTES):
        _check_text(outputs)
    return form.answers(outputs, count)


def as_text(request: InferRequest, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Those of the tensors, in order, whose numbers are to be written as JSON."""
    if request.outputs is None:
        return [] if request.binary else list(tensors)
    return [
        tensor
        for tensor, wanted in zip(tensors, request.outputs, strict=True)
        if not (wanted.classes or wanted.place or (request.binary if wanted.binary is None else wanted.binary))
    ]


def text_bytes(arrays: Sequence[Array]) -> int:
    """What these take at most as JSON: "-1.1754944e-38," or "false," each, in a buffer that is doubled as it fills."""
    text = sum([(6 if array.itemsize == 1 else 4) * array.nbytes for array in arrays])
    return 1 << text.bit_length() if text else 0


def _check_text(arrays: Sequence[Array]) -> None:
    if sum([array.nbytes for array in arrays]) < LARGE_BYTES:
        return
    needed, left = text_bytes(arrays), limit_leaves()
    if left is not None and needed > left:
        raise OutOfDeviceMemory(
            f"the answer may take {needed} bytes while it is written as JSON, and {left} are left; ask for binary data"
        )
