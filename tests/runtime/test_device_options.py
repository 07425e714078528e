"""What ONNX Runtime is told of a device, and which options each device can honour."""

from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from typer.testing import CliRunner

from tidegate_runtime.__main__ import app
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model import untold_outputs
from tidegate_runtime.model.device import (
    DeviceOptions,
    graph_bytes,
    missing_message,
    providers,
    refusal,
    run_threads,
    within_limit,
)
from tidegate_runtime.model.session import OnnxSession
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Datatype, TensorSpec

CUDA_DEFAULTS = {
    "arena_extend_strategy": "kSameAsRequested",
    "cudnn_conv_algo_search": "HEURISTIC",
    "enable_cuda_graph": "0",
}


@pytest.mark.parametrize(
    ("device", "options", "graphs", "told"),
    [
        ("cpu", DeviceOptions(), False, [("CPUExecutionProvider", {})]),
        ("cuda", DeviceOptions(), False, [("CUDAExecutionProvider", CUDA_DEFAULTS)]),
        (
            "cuda",
            DeviceOptions(1 << 30, None, "exhaustive"),
            True,
            [
                (
                    "CUDAExecutionProvider",
                    {
                        "arena_extend_strategy": "kSameAsRequested",
                        "cudnn_conv_algo_search": "EXHAUSTIVE",
                        "enable_cuda_graph": "1",
                        "gpu_mem_limit": "1073741824",
                    },
                )
            ],
        ),
        (
            "tensorrt",
            DeviceOptions(),
            False,
            [("TensorrtExecutionProvider", {}), ("CUDAExecutionProvider", CUDA_DEFAULTS)],
        ),
        (
            "tensorrt",
            DeviceOptions(engine_cache="/cache"),
            False,
            [
                (
                    "TensorrtExecutionProvider",
                    {
                        "trt_engine_cache_enable": "1",
                        "trt_engine_cache_path": "/cache",
                        "trt_timing_cache_enable": "1",
                        "trt_timing_cache_path": "/cache",
                    },
                ),
                ("CUDAExecutionProvider", CUDA_DEFAULTS),
            ],
        ),
    ],
)
def test_providers_are_told_by_device(
    device: str, options: DeviceOptions, graphs: bool, told: list[tuple[str, dict[str, str]]]
) -> None:
    assert providers(device, options, graphs=graphs) == told


@pytest.mark.parametrize(
    ("device", "options", "left"),
    [
        ("cpu", DeviceOptions(), 0),
        ("cuda", DeviceOptions(), 256 << 20),
        ("cuda", DeviceOptions(graph_bytes=0), 0),
        ("cuda", DeviceOptions(graph_bytes=5), 5),
        ("tensorrt", DeviceOptions(), 0),
    ],
)
def test_graphs_have_memory_on_cuda_alone(device: str, options: DeviceOptions, left: int) -> None:
    assert graph_bytes(device, options) == left


@pytest.mark.parametrize(
    ("device", "threads", "told"), [("cpu", 0, 4), ("cpu", 3, 3), ("cuda", 0, 1), ("cuda", 2, 2), ("tensorrt", 0, 1)]
)
def test_beside_a_gpu_one_thread_does(device: str, threads: int, told: int) -> None:
    assert run_threads(device, threads, 4) == told


HONOURED = [
    ("cpu", DeviceOptions(arena_bytes=1 << 30)),
    ("cuda", DeviceOptions(1 << 30, 0, "heuristic")),
    ("tensorrt", DeviceOptions(conv_search="exhaustive", engine_cache="/c")),
]
REFUSED = [
    ("cpu", DeviceOptions(graph_bytes=0), "--graph-bytes can't be honoured with --device cpu: only cuda has graphs"),
    ("cpu", DeviceOptions(conv_search="heuristic"), "--conv-search can't be honoured with --device cpu: it chooses"),
    ("cpu", DeviceOptions(engine_cache="/c"), "--engine-cache can't be honoured with --device cpu: only tensorrt"),
    ("cuda", DeviceOptions(engine_cache="/c"), "--engine-cache can't be honoured with --device cuda: only tensorrt"),
    ("tensorrt", DeviceOptions(arena_bytes=1), "--arena-bytes can't be honoured with --device tensorrt: TensorRT's"),
    ("tensorrt", DeviceOptions(graph_bytes=1), "--graph-bytes can't be honoured with --device tensorrt: only cuda"),
]


@pytest.mark.parametrize(("device", "options"), HONOURED)
def test_what_a_device_honours_is_taken(device: str, options: DeviceOptions) -> None:
    assert refusal(device, options) is None


@pytest.mark.parametrize(("device", "options", "why"), REFUSED)
def test_what_a_device_cannot_honour_is_refused(device: str, options: DeviceOptions, why: str) -> None:
    said = refusal(device, options)
    assert said is not None
    assert said.startswith(why)
    assert said.endswith("; leave it out")


def test_a_session_refuses_as_well_as_the_command_line(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match="--graph-bytes can't be honoured with --device cpu") as failure:
        OnnxSession(tmp_path / "m.onnx", "cpu", 1, options=DeviceOptions(graph_bytes=1))
    assert failure.value.reason == "DeviceUnavailable"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--device", "cuda", "--no-isolate"], "after a fault of the GPU only the end of the process"),
        (["--device", "tensorrt", "--no-isolate"], "after a fault of the GPU only the end of the process"),
        (["--graph-bytes", "0"], "only cuda has graphs"),
        (["--device", "cuda", "--engine-cache", "/tmp"], "only tensorrt builds engines"),
        (["--device", "rocm"], "is not one of 'cpu', 'cuda', 'tensorrt'"),
        (["--device", "cuda", "--conv-search", "best"], "is not one of 'heuristic', 'exhaustive'"),
        (["--arena-bytes", "1000"], "1048576"),
    ],
)
def test_the_command_line_refuses_what_cannot_be_honoured(arguments: list[str], why: str) -> None:
    result = CliRunner().invoke(app, ["serve", "m.onnx", *arguments], env={"COLUMNS": "1000", "TERM": "dumb"})
    assert result.exit_code == 2
    assert why in result.output


@pytest.mark.parametrize(
    ("device", "missing", "hint"),
    [
        (
            "cuda",
            [
                "libcuda.so.1: cannot open shared object file: No such file or directory",
                "libcublasLt.so.13: cannot open shared object file: No such file or directory",
            ],
            "the NVIDIA driver isn't there (libcuda.so.1 can't be opened): run on a node with a GPU",
        ),
        (
            "cuda",
            ["libcudnn.so.9: cannot open shared object file: No such file or directory"],
            "its libraries can't be loaded (libcudnn.so.9: cannot open shared object file: No such file or directory): "
            "install tidegate-runtime[gpu]",
        ),
        ("tensorrt", ["libnvinfer.so.10: cannot open"], "TensorRT can't be loaded (libnvinfer.so.10: cannot open)"),
        ("cuda", [], "check the driver, the CUDA libraries and the GPU that the pod was given"),
    ],
)
def test_what_is_missing_is_named_with_the_next_step(device: str, missing: list[str], hint: str) -> None:
    assert missing_message(device, missing).startswith(hint)


def test_a_provider_that_fails_is_not_replaced_by_the_cpu(double: onnx.ModelProto, tmp_path: Path) -> None:
    """The binding's own remedy, in the middle of a run, is to open the model anew on the CPU and say so on stdout."""
    onnx.save(double, tmp_path / "m.onnx")
    assert ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])._enable_fallback
    assert not OnnxSession(tmp_path / "m.onnx", "cpu", 1)._session._enable_fallback


def test_what_the_cpu_build_lacks_is_named_for_each_device(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    for device, provider in (("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")):
        if provider in ort.get_available_providers():
            continue
        with pytest.raises(StartupFailure, match=f"has no {provider}; use the image variant for {device}"):
            OnnxSession(tmp_path / "m.onnx", device, 1)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("given", "left", "bounded"),
    [
        pytest.param(DeviceOptions(), None, DeviceOptions(), id="no limit"),
        pytest.param(
            DeviceOptions(),
            800 * MIB,
            DeviceOptions(arena_bytes=700 * MIB, arena_step=25 * MIB),
            id="an eighth is kept",
        ),
        pytest.param(DeviceOptions(), 0, DeviceOptions(arena_bytes=MIB, arena_step=MIB), id="nothing left"),
        pytest.param(DeviceOptions(arena_bytes=900), 800, DeviceOptions(arena_bytes=900), id="as the option says"),
    ],
)
def test_within_a_limit_an_arena_takes(given: DeviceOptions, left: int | None, bounded: DeviceOptions) -> None:
    assert within_limit(given, left) == bounded


@pytest.mark.parametrize(
    ("inputs", "outputs", "needed"),
    [
        pytest.param(["N", 4], ["N", 2], False, id="the rows"),
        pytest.param(["N", "L"], ["N", "L", 768], False, id="sizes that inputs have"),
        pytest.param(["", 4], ["", 4], False, id="the rows without a name"),
        pytest.param(["N"], ["N", "M"], True, id="a name of its own"),
        pytest.param(["N"], ["N", ""], True, id="none at all"),
        pytest.param([1], ["M"], True, id="a leading one that inputs haven't"),
        pytest.param([3], [3], False, id="none that is free"),
    ],
)
def test_outputs_of_untold_sizes_are(inputs: list[int | str], outputs: list[int | str], needed: bool) -> None:
    x, y = (TensorSpec(name, Datatype.FP32, tuple(shape)) for name, shape in (("x", inputs), ("y", outputs)))
    assert untold_outputs.needed(Signature((x,), (y,))) is needed
    assert not untold_outputs.needed(Signature((x, TensorSpec("text", Datatype.BYTES, ("N",))), (y,)))
