"""The ONNX Runtime session: the one module that imports it."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

# Its wheels report their use, model file names included, to their vendor unless told not to before they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tidegate_runtime.errors import ExecutionFailed, RejectedByModel, RuntimeFault, StartupFailure
from tidegate_runtime.model import bfloat16
from tidegate_runtime.model.cpus import usable_cpus
from tidegate_runtime.model.files import not_onnx
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_FAILED_NODE: Final = re.compile(r"while running (\w+) node\. Name:'([^']*)'")
_FATAL: Final = 4
"""ONNX Runtime's severity from which it may print to stderr: its errors reach us as exceptions."""

RunOptions = ort.RunOptions


class OnnxSession:
    """A loaded model. `run` may be called from one thread at a time."""

    def __init__(self, path: Path, device: str, threads: int) -> None:
        """Loads `path`; `threads` = 0 takes the CPUs this process may use.

        Raises `StartupFailure`: `DeviceUnavailable` if the device's provider isn't there or wasn't taken,
        `ModelInvalid` if the file isn't a model that ONNX Runtime can run, `UnsupportedSignature`.
        """
        self._session = _open(path, device, threads)
        self.signature = Signature.declared(self._session.get_inputs(), self._session.get_outputs())
        self._bfloat16 = bfloat16.needed(self.signature)

    def run(self, feeds: Feeds, options: Any) -> Sequence[Array]:
        """All outputs in declared order. Blocks; `options.terminate = True` from another thread ends it early.

        Raises `RejectedByModel` if an operator found its input invalid, `ExecutionFailed` for any other failure.
        """
        try:
            if self._bfloat16:
                return bfloat16.run(self._session, feeds, options, ort.OrtValue)
            outputs: Sequence[Array] = self._session.run(None, feeds, options)
        except RuntimeFault:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise _fault(error) from error
        return outputs


def _open(path: Path, device: str, threads: int) -> Any:
    provider = _PROVIDERS[device]
    if device == "cuda" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA's libraries from NVIDIA's wheels, where they are installed
    if provider not in ort.get_available_providers():
        raise StartupFailure(
            Reason.DEVICE_UNAVAILABLE,
            f"this build of ONNX Runtime has no {provider}; use the image variant for {device}, or device: cpu",
        )
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads or usable_cpus()
    options.inter_op_num_threads = 1
    # Threads that spin between runs would take the CPUs that the event loop and the other pods need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        if device != "cpu" and not isinstance(error, _BROKEN_FILE):
            raise StartupFailure(
                Reason.DEVICE_UNAVAILABLE, f"{provider} failed to start: {_first_line(error)}"
            ) from None
        raise not_onnx(path, _first_line(error)) from None
    if provider not in session.get_providers():
        raise StartupFailure(
            Reason.DEVICE_UNAVAILABLE,
            f"ONNX Runtime fell back from {provider} to {', '.join(session.get_providers())}; "
            "check the driver, the CUDA libraries and the GPU that the pod was given",
        )
    return session


_BROKEN_FILE: Final = (
    ort_errors.InvalidProtobuf,
    ort_errors.InvalidGraph,
    ort_errors.InvalidArgument,
    ort_errors.NoSuchFile,
)


def _fault(error: Exception) -> RuntimeFault:
    """What the client is told: which operator failed, without ONNX Runtime's source paths and addresses."""
    text = str(error)
    found = _FAILED_NODE.search(text)
    place = f'its {found[1]} operator "{found[2]}"' if found else "its inputs"
    if isinstance(error, ort_errors.InvalidArgument):
        why = text.rpartition("Status Message: ")[2] if "/" not in text else "invalid argument"
        return RejectedByModel(f"the model rejected the request in {place}: {why.strip()[:300]}")
    logger.warning("engine run failed", extra={"error": text[:1000]})
    return ExecutionFailed(f"the model failed on this request in {place}; the server's log says how")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rpartition(" : ")[2][:300]
