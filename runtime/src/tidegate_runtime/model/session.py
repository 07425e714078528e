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

from tidegate_runtime.errors import ExecutionFailed, NodeFailed, RejectedByModel, RuntimeFault, StartupFailure
from tidegate_runtime.model import bfloat16
from tidegate_runtime.model.cpus import usable_cpus
from tidegate_runtime.model.explanation import finding, memory_shortage, printable
from tidegate_runtime.model.files import not_onnx
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_FAILED_NODE: Final = re.compile(r"while running (\w+) node\. Name:'([^']*)'")
_DEVICE_FAULT: Final = re.compile(r"CUDA|CUDNN|CUBLAS|TensorRT", re.IGNORECASE)
_FATAL: Final = 4
"""ONNX Runtime's severity from which it may print to stderr: its errors reach us as exceptions."""

RunOptions = ort.RunOptions


class OnnxSession:
    """A loaded model. `run` may be called from one thread at a time."""

    def __init__(self, path: Path, device: str, threads: int, content: bytes | None = None) -> None:
        """Loads `path`, or `content` made from it; `threads` = 0 takes the CPUs this process may use.

        Raises `StartupFailure`: `DeviceUnavailable` if the device's provider isn't there or wasn't taken,
        `ModelTooLarge` if memory doesn't do, `ModelInvalid` if the file isn't a model that ONNX Runtime can run,
        `UnsupportedSignature`.
        """
        self._session = _open(path, content, device, threads)
        self.signature = Signature.declared(self._session.get_inputs(), self._session.get_outputs())
        self._bfloat16 = bfloat16.needed(self.signature)

    def run(self, feeds: Feeds, options: Any) -> Sequence[Array]:
        """All outputs in declared order. Blocks; `options.terminate = True` from another thread ends it early.

        Raises `RejectedByModel` if an operator found its input invalid, `ExecutionFailed` for any other failure,
        `NodeFailed` if an operator failed that may have done so for its data.
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


def _open(path: Path, content: bytes | None, device: str, threads: int) -> Any:
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
        session = ort.InferenceSession(content or str(path), options, providers=[provider])
    except Exception as error:
        raise _not_opened(error, path, device) from None
    if provider not in session.get_providers():
        raise StartupFailure(
            Reason.DEVICE_UNAVAILABLE,
            f"ONNX Runtime fell back from {provider} to {', '.join(session.get_providers())}; "
            "check the driver, the CUDA libraries and the GPU that the pod was given",
        )
    return session


def _not_opened(error: Exception, path: Path, device: str) -> StartupFailure:
    why = finding(str(error), str(path.parent.resolve()))
    shortage = memory_shortage(str(error) or type(error).__name__)
    if shortage or isinstance(error, MemoryError):
        detail = shortage or "memory can't be had"
        return StartupFailure(Reason.MODEL_TOO_LARGE, f"{path.name}: {detail} while opening it; raise the memory limit")
    if device != "cpu" and not isinstance(error, _BROKEN_FILE):
        return StartupFailure(Reason.DEVICE_UNAVAILABLE, f"{_PROVIDERS[device]} failed to start: {why}")
    return not_onnx(path, why)


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
    place = f'its {found[1]} operator "{printable(found[2], 100)}"' if found else "its inputs"
    if isinstance(error, ort_errors.InvalidArgument):
        why = finding(text.rpartition("Status Message: ")[2])
        return RejectedByModel(f"the model rejected the request in {place}: {why}")
    logger.warning("engine run failed", extra={"error": text[:1000]})
    shortage = memory_shortage(text)
    if shortage:
        return ExecutionFailed(f"the model failed on this request in {place}: {shortage}")
    # A device that fails takes an operator with it; to run again what broke it would be to break it again.
    failure = NodeFailed if found and not _DEVICE_FAULT.search(text) else ExecutionFailed
    return failure(f"the model failed on this request in {place}; the server's log says how")
