"""What ONNX Runtime is told of the device that a model runs on: its providers and their options. Pure.

Where a user has no reason to choose, the choice is made here, with its reason.
"""

from dataclasses import dataclass, replace
from typing import Final

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"

PROVIDERS: Final = {"cpu": (CPU,), "cuda": (CUDA,), "tensorrt": (TENSORRT, CUDA)}
"""Of each device, in order of preference. What none of them has a kernel for ends up on the CPU, as ever."""

GRAPH_BYTES: Final = 256 << 20
"""Memory for CUDA graphs where none is named."""

CONV_SEARCHES: Final = ("heuristic", "exhaustive")

Providers = list[tuple[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """The command line's options of the same names; None where one wasn't given.

    `arena_step` isn't one: the most by which an arena that `within_limit` has bounded grows beyond what is asked for.
    """

    arena_bytes: int | None = None
    graph_bytes: int | None = None
    conv_search: str | None = None
    engine_cache: str | None = None
    arena_step: int | None = None


AS_IT_COMES: Final = DeviceOptions()
"""No option given."""

_HONOURED: Final = {
    "cpu": {"arena_bytes"},
    "cuda": {"arena_bytes", "graph_bytes", "conv_search"},
    "tensorrt": {"conv_search", "engine_cache"},
}
_HINTS: Final = {
    "arena_bytes": "TensorRT's memory isn't ONNX Runtime's to bound",
    "graph_bytes": "only cuda has graphs",
    "conv_search": "it chooses among cuDNN's kernels",
    "engine_cache": "only tensorrt builds engines",
}


def refusal(device: str, options: DeviceOptions) -> str | None:
    """Which option can't be honoured on `device`, and the next step; None if all can."""
    for name, hint in _HINTS.items():
        if getattr(options, name) is not None and name not in _HONOURED[device]:
            return f"--{name.replace('_', '-')} can't be honoured with --device {device}: {hint}; leave it out"
    return None


def within_limit(options: DeviceOptions, left: int | None) -> DeviceOptions:
    """`options` for a CPU, with an arena that fits into `left` bytes of memory unless they bound it themselves.

    An eighth is for all else: weights that aren't the arena's, requests, answers. None: no limit, so nothing changes.
    """
    if left is None or options.arena_bytes is not None:
        return options
    # Doubled for as long as that is little, since growing by what is asked leaves twice as much in pieces.
    return replace(options, arena_bytes=max(1 << 20, left - left // 8), arena_step=max(1 << 20, left // 32))


def graph_bytes(device: str, options: DeviceOptions) -> int:
    """The memory that CUDA graphs may take; 0: there are none."""
    if device != "cuda":
        return 0
    return GRAPH_BYTES if options.graph_bytes is None else options.graph_bytes


def run_threads(device: str, threads: int, cpus: int) -> int:
    """Intra-op threads: the `threads` asked for, else all `cpus`, but one beside a GPU.

    There they'd run what few operators stay on the CPU, and ONNX Runtime's maintainers advise one.
    """
    return threads or (cpus if device == "cpu" else 1)


def providers(device: str, options: DeviceOptions, *, graphs: bool) -> Providers:
    """What a session is to run on, in order of preference, each with its options."""
    if device == "cpu":
        return [(CPU, {})]
    cuda = _cuda(options, graphs=graphs)
    return [(CUDA, cuda)] if device == "cuda" else [(TENSORRT, _tensorrt(options)), (CUDA, cuda)]


def _cuda(options: DeviceOptions, *, graphs: bool) -> dict[str, str]:
    told = {
        # Doubling, the default, takes up to twice what is needed; the largest batch is known and run at warm-up.
        "arena_extend_strategy": "kSameAsRequested",
        # Trying all kernels, the default, costs hundreds of milliseconds whenever a shape is new.
        "cudnn_conv_algo_search": (options.conv_search or CONV_SEARCHES[0]).upper(),
        "enable_cuda_graph": "1" if graphs else "0",
    }
    if options.arena_bytes is not None:
        told["gpu_mem_limit"] = str(options.arena_bytes)
    return told


def _tensorrt(options: DeviceOptions) -> dict[str, str]:
    if options.engine_cache is None:
        return {}
    # To build an engine takes minutes; timings of kernels serve the next build, for whatever shapes.
    cache = {name: "1" for name in ("trt_engine_cache_enable", "trt_timing_cache_enable")}
    paths = dict.fromkeys(("trt_engine_cache_path", "trt_timing_cache_path"), options.engine_cache)
    return cache | paths


def missing_message(device: str, missing: list[str]) -> str:
    """What to do about libraries that can't be opened, each by its name or in the loader's words."""
    if any("libcuda.so" in name for name in missing):
        return (
            "the NVIDIA driver isn't there (libcuda.so.1 can't be opened): run on a node with a GPU whose driver the "
            "container runtime passes on, and request nvidia.com/gpu"
        )
    if missing and device == "tensorrt":
        return f"TensorRT can't be loaded ({missing[0]}): install its libraries into the image"
    if missing:
        return f"its libraries can't be loaded ({missing[0]}): install tidegate-runtime[gpu], or use the CUDA image"
    return "check the driver, the CUDA libraries and the GPU that the pod was given"
