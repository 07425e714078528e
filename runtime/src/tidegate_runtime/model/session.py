"""The ONNX Runtime session. Besides `binding` and `libraries`, the one module that imports it."""

import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

# Its wheels report their use, model file names included, to their vendor unless told not to before they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tidegate_runtime.errors import (
    DeviceLost,
    ExecutionFailed,
    NodeFailed,
    OutOfDeviceMemory,
    RejectedByModel,
    RuntimeFault,
    StartupFailure,
)
from tidegate_runtime.model import bfloat16, untold_outputs
from tidegate_runtime.model.alignment import aligned
from tidegate_runtime.model.binding import GRAPH_ENTRY, NO_GRAPH, BoundRuns, can_bind
from tidegate_runtime.model.cpus import usable_cpus
from tidegate_runtime.model.device import (
    AS_IT_COMES,
    PROVIDERS,
    DeviceOptions,
    graph_bytes,
    missing_message,
    providers,
    refusal,
    run_threads,
)
from tidegate_runtime.model.device_faults import cuda_error, lasting_fault
from tidegate_runtime.model.explanation import finding, memory_shortage, printable
from tidegate_runtime.model.files import not_onnx
from tidegate_runtime.model.graph_policy import Ladder, Node
from tidegate_runtime.model.graph_runs import run_on
from tidegate_runtime.model.libraries import FATAL, available_providers, missing_libraries
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)

_FAILED_NODE: Final = re.compile(r"while running (\w+) node\. Name:'([^']*)'")
_NO_CAPTURE: Final = re.compile(r"cannot use the graph capture feature as requested by the user +(?:as )?(.*)")
_SHRINKAGE: Final = "memory.enable_memory_arena_shrinkage"
_DEVICE_FAULT: Final = re.compile(r"CUDA|CUDNN|CUBLAS|TensorRT", re.IGNORECASE)

RunOptions = ort.RunOptions


class OnnxSession:
    """A loaded model. `run` may be called from one thread at a time."""

    def __init__(
        self,
        path: Path,
        device: str,
        threads: int,
        content: bytes | None = None,
        options: DeviceOptions = AS_IT_COMES,
    ) -> None:
        """Loads `path`, or `content` made from it; `threads` = 0 takes the CPUs this process may use.

        Raises `StartupFailure`: `DeviceUnavailable` if the device's provider isn't there, wasn't taken or can't honour
        an option, `ModelTooLarge` if memory doesn't do, `ModelInvalid` if the file isn't a model that ONNX Runtime can
        run, `UnsupportedSignature`.
        """
        self.device = device
        self.graph_bytes = graph_bytes(device, options)
        """Memory for CUDA graphs; 0 where there can be none."""
        self.no_graphs = ""
        """Why ONNX Runtime itself has refused to capture this model; "" if it hasn't."""
        self._session = self._opened(path, content, threads, options)
        self.signature = Signature.declared(self._session.get_inputs(), self._session.get_outputs())
        self._names = [spec.name for spec in self.signature.outputs]
        # What the class around it looks at anew each time, a third of a tiny model's run, is known of what comes here.
        self._run_plainly = self._session._sess.run
        self._bfloat16 = bfloat16.needed(self.signature)
        self._untold = options.arena_step is not None and untold_outputs.needed(self.signature)
        bindable = device != "cpu" and can_bind(self.signature)
        self._bound = BoundRuns(self._session, self.signature, "cuda") if bindable else None
        self._ladder: Ladder | None = None
        self._short_of_memory = False
        self._special = self.device != "cpu" or self._bfloat16 or self._untold
        """Whether a run is more than a call, which on a CPU it rarely is."""

    def run(self, feeds: Feeds, options: Any, graph: int = NO_GRAPH) -> Sequence[Array]:
        """All outputs in declared order. Blocks; `options.terminate = True` from another thread ends it early.

        `graph` is a CUDA graph's number, until `climb` leaves that to its ladder. Raises `RejectedByModel` if an
        operator found its input invalid, `OutOfDeviceMemory`, `DeviceLost`, `NodeFailed` if an operator failed that may
        have done so for its data, or `ExecutionFailed` for any other failure.
        """
        feeds = aligned(feeds)
        try:
            if self._special:
                return self._run_specially(feeds, options, graph)
            outputs: Sequence[Array] = self._run_plainly(self._names, feeds, options)
        except RuntimeFault:
            if self._untold:  # Its outputs were too large, and have been let go.
                self._give_back(feeds)
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            fault = fault_of(error)
            if not isinstance(fault, OutOfDeviceMemory):
                raise fault from error
            if self.device != "cpu":
                self._short_of_memory = True
                raise fault from error
            return self._with_what_is_over(feeds, options, fault)
        return outputs

    def _run_specially(self, feeds: Feeds, options: Any, graph: int) -> Sequence[Array]:
        if self._short_of_memory:
            self._short_of_memory = False
            self._shrink(options)
        if self._bound is not None:
            if self._ladder is not None:
                return run_on(self._bound, self._ladder, feeds, options)
            return self._bound.run(feeds, options, graph)
        if self.graph_bytes:
            options.add_run_config_entry(GRAPH_ENTRY, str(NO_GRAPH))
        if self._bfloat16:
            return bfloat16.run(self._session, feeds, options, ort.OrtValue)
        if self._untold:
            return untold_outputs.run(self._session, feeds, options, ort.OrtValue)
        outputs: Sequence[Array] = self._run_plainly(self._names, feeds, options)
        return outputs

    def _with_what_is_over(self, feeds: Feeds, options: Any, fault: OutOfDeviceMemory) -> Sequence[Array]:
        """Runs once more without what the arena held in pieces that were too small; raises `fault` if that won't do.

        The pieces are given back at once, since whatever else this process does needs memory, too.
        """
        self._give_back(feeds)
        if options.terminate:
            raise fault
        try:
            return self._run_specially(feeds, options, NO_GRAPH)
        except Exception as error:
            self._give_back(feeds)
            raise (error if isinstance(error, RuntimeFault) else fault_of(error)) from error

    def _give_back(self, feeds: Feeds) -> None:
        """By a run that is over before it begins: ONNX Runtime shrinks its arenas at the end of one, and only then."""
        options = RunOptions()
        options.terminate = True
        options.add_run_config_entry(_SHRINKAGE, "cpu:0")
        with suppress(Exception):
            self._run_specially(feeds, options, NO_GRAPH)

    def bound(self, feeds: Feeds) -> bool:
        """Whether inputs of these shapes and their outputs lie at fixed addresses on the device."""
        return self._bound is not None and self._bound.bound(feeds)

    def climb(self, ladder: Ladder) -> None:
        """From here on runs are by the ladder's graphs."""
        self._ladder = ladder if ladder.graphs.rows else None

    def nodes(self) -> list[Node]:
        """The optimised graph's operators and where each runs; only of a session that may have CUDA graphs."""
        assigned = self._session.get_provider_graph_assignment_info()
        return [Node(node.op_type, part.ep_name) for part in assigned for node in part.get_nodes()]

    def _shrink(self, options: Any) -> None:
        """Has the next run give back what the arena has over: in pieces that were too small for the one that failed.

        On every run that would cost each of them allocations of the system's. Graphs need what they were captured with.
        """
        if self._ladder is None:
            options.add_run_config_entry(_SHRINKAGE, "gpu:0")

    def _opened(self, path: Path, content: bytes | None, threads: int, options: DeviceOptions) -> Any:
        try:
            return _open(path, content, self.device, threads, options, self.graph_bytes > 0)
        except _CaptureRefused as refused:
            self.no_graphs, self.graph_bytes = str(refused), 0
            return _open(path, content, self.device, threads, options, False)


class _CaptureRefused(Exception):
    """ONNX Runtime opens the model only without graphs."""


def _open(
    path: Path, content: bytes | None, device: str, threads: int, device_options: DeviceOptions, graphs: bool
) -> Any:
    options = _session_options(device, threads, device_options, graphs)
    wanted = available_providers(device)
    try:
        # Otherwise the binding, when a provider fails, goes on with the CPU, at once or in the middle of a run.
        session = ort.InferenceSession(
            content or str(path),
            options,
            providers=providers(device, device_options, graphs=graphs),
            enable_fallback=0,
        )
    except Exception as error:
        refused = _NO_CAPTURE.search(str(error))
        if graphs and refused:
            raise _CaptureRefused(printable(refused[1].strip())) from None
        raise _not_opened(error, path, device) from None
    if wanted[0] not in session.get_providers():
        raise StartupFailure(
            Reason.DEVICE_UNAVAILABLE,
            f"ONNX Runtime fell back from {wanted[0]} to {', '.join(session.get_providers())}; "
            + missing_message(device, missing_libraries(device)),
        )
    return session


def _session_options(device: str, threads: int, device_options: DeviceOptions, graphs: bool) -> Any:
    why = refusal(device, device_options)
    if why is not None:
        raise StartupFailure(Reason.DEVICE_UNAVAILABLE, why)
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = run_threads(device, threads, usable_cpus())
    # Operators run one after the other: the device has one stream, and a CPU's threads are in the operators.
    options.inter_op_num_threads = 1
    # Threads that spin between runs would take the CPUs that the event loop and the other pods need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device == "cpu" and device_options.arena_bytes is not None:
        _bound_arena(device_options.arena_bytes, device_options.arena_step)
        options.add_session_config_entry("session.use_env_allocators", "1")
    if graphs:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


@cache
def _bound_arena(most_bytes: int, step: int | None) -> None:
    """One arena for all sessions of this process, that holds at most so many bytes.

    Weights that ONNX Runtime repacks are taken from them, and not refused if they are more; others don't count.
    """
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    # Grown by what is asked: by doubling, a small limit would be met long before it is used.
    grown = {"arena_extend_strategy": 1} if step is None else {"max_power_of_two_extend_bytes": step}
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": most_bytes} | grown))


def _not_opened(error: Exception, path: Path, device: str) -> StartupFailure:
    why = cuda_error(str(error)) or finding(str(error), str(path.parent.resolve()))
    shortage = memory_shortage(str(error) or type(error).__name__)
    if shortage or isinstance(error, MemoryError):
        detail = shortage or "memory can't be had"
        return StartupFailure(Reason.MODEL_TOO_LARGE, f"{path.name}: {detail} while opening it; raise the memory limit")
    if device != "cpu" and not isinstance(error, _BROKEN_FILE):
        hint = missing_message(device, missing_libraries(device))
        return StartupFailure(Reason.DEVICE_UNAVAILABLE, f"{PROVIDERS[device][0]} failed to start: {why}; {hint}")
    return not_onnx(path, why)


_BROKEN_FILE: Final = (
    ort_errors.InvalidProtobuf,
    ort_errors.InvalidGraph,
    ort_errors.InvalidArgument,
    ort_errors.NoSuchFile,
)


def fault_of(error: Exception) -> RuntimeFault:
    """What the client is told: which operator failed, without ONNX Runtime's source paths and addresses."""
    text = str(error)
    found = _FAILED_NODE.search(text)
    place = f'its {found[1]} operator "{printable(found[2], 100)}"' if found else "its inputs"
    lasting = lasting_fault(text)
    if lasting is None and isinstance(error, ort_errors.InvalidArgument):
        why = finding(text.rpartition("Status Message: ")[2])
        return RejectedByModel(f"the model rejected the request in {place}: {why}")
    logger.warning("engine run failed", extra={"error": text[:1000]})
    if lasting is not None:
        return DeviceLost(f"the device failed in {place}: {lasting}; its process starts anew, send the request again")
    # What numpy copies outputs into is no arena's.
    shortage = memory_shortage(text) or ("memory can't be had" if isinstance(error, MemoryError) else None)
    if shortage:
        return OutOfDeviceMemory(f"the model failed on this request in {place}: {shortage}")
    # A device that fails takes an operator with it; to run again what broke it would be to break it again.
    failure = NodeFailed if found and not _DEVICE_FAULT.search(text) else ExecutionFailed
    return failure(f"the model failed on this request in {place}; the server's log says how")
