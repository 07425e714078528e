"""What ONNX Runtime has for a device on this machine: its providers, and the libraries that they need."""

import ctypes
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.device import PROVIDERS
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.naming import Reason

FATAL: Final = 4
"""ONNX Runtime's severity from which it may print to stderr: its errors reach us as exceptions."""

_LIBRARIES: Final = {
    "cuda": "libonnxruntime_providers_cuda.so",
    "tensorrt": "libonnxruntime_providers_tensorrt.so",
}


def available_providers(device: str) -> tuple[str, ...]:
    """The device's providers. Raises `StartupFailure` if this build lacks one."""
    wanted = PROVIDERS[device]
    built = ort.get_available_providers()
    for provider in wanted:
        if provider not in built:
            raise StartupFailure(
                Reason.DEVICE_UNAVAILABLE,
                f"this build of ONNX Runtime has no {provider}; use the image variant for {device}, or device: cpu",
            )
    if device != "cpu":
        # What can't be loaded is found out below and told then, in one line of the log.
        ort.set_default_logger_severity(FATAL)
        if hasattr(ort, "preload_dlls"):
            with redirect_stdout(StringIO()):
                ort.preload_dlls()  # CUDA's libraries from NVIDIA's wheels, where they are installed
    return wanted


def missing_libraries(device: str) -> list[str]:
    """What keeps the device's provider from being loaded, in the loader's words."""
    place = Path(ort_errors.__file__).parent
    missing = []
    for library in ("libcuda.so.1", place / "libonnxruntime_providers_shared.so", place / _LIBRARIES[device]):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            missing.append(printable(str(error).replace(f"{place}/", "")))
    return missing
