"""Whether an error that ONNX Runtime passes on from a device lasts. Pure.

`CudaCall` of its cuda_call.cc says "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; …", and the
same of CUBLAS and CUDNN with their status' name. After some of CUDA's errors "any further CUDA work will return the
same error. To continue using CUDA, the process must be terminated and relaunched" [CUDA Runtime API, cudaError_t].
"""

import re
from typing import Final

LASTING_CODES: Final = frozenset(
    {
        46,  # devices unavailable
        214,  # uncorrectable ECC error
        219,  # uncorrectable NVLink error
        226,  # contained error
        700,  # illegal address
        702,  # launch time-out
        709,  # context is destroyed
        710,  # assertion in a kernel
        714,  # hardware stack error
        715,  # illegal instruction
        716,  # misaligned address
        717,  # invalid address space
        718,  # invalid program counter
        719,  # launch failure
        721,  # tensor memory leak
        999,  # unknown
    }
)
"""Of cudaError_t, those documented as above, those of broken hardware, and the one that tells nothing."""

_CUDA: Final = re.compile(r"CUDA (?:failure|error) (\d+): ([^;\n]*?) *(?:;|$)", re.MULTILINE)
_LIBRARY: Final = re.compile(r"\b(CU(?:BLAS|DNN|FFT)(?:_STATUS)?_(?:EXECUTION_FAILED|EXEC_FAILED|MAPPING_ERROR))\b")
"""A kernel of the library couldn't be launched, or memory not be reached: its report of an error like those above."""


def cuda_error(text: str) -> str | None:
    """The first of CUDA's errors that `text` tells of, by its number and CUDA's words; None if it tells of none."""
    found = _CUDA.search(text)
    return f"CUDA error {found[1]}, {found[2]}" if found else None


def lasting_fault(text: str) -> str | None:
    """What broke the device for this process, in CUDA's words; None if `text` doesn't tell of such a fault."""
    for code, words in _CUDA.findall(text):
        if int(code) in LASTING_CODES:
            return f"CUDA error {code}, {words}"
    found = _LIBRARY.search(text)
    return found[1] if found else None
