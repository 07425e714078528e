"""What ONNX Runtime says when a device fails, and what becomes of it.

The texts are its own, paths and signatures shortened: from the issue named beside each, or "run" where the 1.31.1 GPU
wheel or the 1.32.0 CPU wheel printed it on a machine without a GPU.
"""

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tidegate_runtime.errors import (
    DeviceLost,
    EngineLost,
    ExecutionFailed,
    OutOfDeviceMemory,
    RejectedByModel,
    RuntimeFault,
)
from tidegate_runtime.model.device_faults import LASTING_CODES, cuda_error, lasting_fault
from tidegate_runtime.model.session import fault_of

NODE = "Non-zero status code returned while running {} node. Name:'n' Status Message: "
BFC = "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*"
CALL = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 std::conditional_t<THRW, void, "
    "onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, ERRTYPE, const char*, const "
    "char*, int) [with ERRTYPE = cublasStatus_t; bool THRW = true; std::conditional_t<THRW, void, "
    "onnxruntime::common::Status> = void] "
)

TEXTS = [
    # microsoft/onnxruntime#22702
    (
        NODE.format("Conv") + f"/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 {BFC}, bool, "
        "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 4585490524328388608",
        OutOfDeviceMemory,
        'its Conv operator "n": a buffer of 4585490524328388608 bytes can\'t be had',
    ),
    # run: a bounded arena at its end
    (
        NODE.format("MatMul") + f"/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 {BFC}) "
        "Available memory of 524288 is smaller than requested bytes of 2097152",
        OutOfDeviceMemory,
        "a buffer of 2097152 bytes can't be had",
    ),
    # hacksider/Deep-Live-Cam#584
    (
        r"[ONNXRuntimeError] : 1 : FAIL : D:\a\_work\1\s\onnxruntime\core\providers\cuda\cuda_call.cc:121 "
        "onnxruntime::CudaCall CUDA failure 2: out of memory ; GPU=0 ; hostname=DESKTOP ; "
        "file=cuda_stream_handle.cc ; line=175 ; expr=cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);",
        OutOfDeviceMemory,
        "memory can't be had",
    ),
    # fudan-generative-vision/hallo#219
    (
        CALL + "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=egg ; "
        "file=cuda_execution_provider.cc ; line=164 ; expr=cublasCreate(&cublas_handle_);",
        OutOfDeviceMemory,
        "memory can't be had",
    ),
    # microsoft/onnxruntime#10770: TensorRT's own
    (
        "../rtSafe/safeRuntime.cpp (25) - Cuda Error in allocate: 2 (out of memory)",
        OutOfDeviceMemory,
        "memory can't be had",
    ),
    # pykeio/ort#321
    (
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=10cb601a4a05 ; "
        "file=/home/runner/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=448 ; "
        "expr=cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));",
        DeviceLost,
        "CUDA error 700, an illegal memory access was encountered; its process starts anew",
    ),
    # microsoft/onnxruntime#5295: an older wording, in the status of an operator
    (
        NODE.format("MemcpyFromHost") + "CUDA error executing cudaMemcpy(dst_data, src_data, bytes, "
        "cudaMemcpyHostToDevice) CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=h ; "
        "expr=cudaMemcpy(dst_data, src_data, bytes, cudaMemcpyHostToDevice);",
        DeviceLost,
        'its MemcpyFromHost operator "n": CUDA error 700',
    ),
    # C0untFloyd/roop-unleashed#995: "It proceeds to process for a few frames, then hangs"
    (
        NODE.format("Gemm") + "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=LED-PC ; "
        "file=gemm.cc ; line=121 ; expr=cublasGemmHelper( GetCublasHandle(ctx), CUBLAS_OP_N);",
        DeviceLost,
        "CUBLAS_STATUS_EXECUTION_FAILED",
    ),
    # microsoft/onnxruntime#14211
    (
        "CUDA failure 999: unknown error ; GPU=192915439 ; expr=cudaSetDevice(info_.device_id);",
        DeviceLost,
        "CUDA error 999, unknown error",
    ),
    # run: the GPU wheel over a libcuda.so.1 without a driver behind it
    (
        CALL + "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=vm ; "
        "file=cuda_execution_provider.cc ; line=355 ; expr=cudaSetDevice(info_.device_id);",
        ExecutionFailed,
        "the server's log says how",
    ),
    # microsoft/onnxruntime#1606
    (
        "CUDNN failure 3: CUDNN_STATUS_BAD_PARAM ; GPU=0 ; hostname=WIN10-DEV ; expr=cudnnSetTensorNdDescriptor();",
        ExecutionFailed,
        "the server's log says how",
    ),
    # cudaErrorInvalidValue is the call's fault, and the next call may be right.
    ("CUDA failure 1: invalid argument ; GPU=0 ; hostname=h ; expr=f();", ExecutionFailed, "the server's log says how"),
]


@pytest.mark.parametrize(("text", "kind", "said"), TEXTS)
def test_a_fault_is_what_its_text_says(text: str, kind: type[RuntimeFault], said: str) -> None:
    fault = fault_of(RuntimeError(text))
    assert type(fault) is kind
    assert said in str(fault)


def test_a_broken_device_outweighs_the_values_it_is_blamed_on() -> None:
    blamed = ort_errors.InvalidArgument(NODE.format("Gather") + "CUDA failure 719: unspecified launch failure ; GPU=0")
    assert isinstance(fault_of(blamed), DeviceLost)
    assert isinstance(fault_of(ort_errors.InvalidArgument(NODE.format("Gather") + "idx=9")), RejectedByModel)


def test_a_lost_device_is_more_than_a_shortage_that_comes_with_it() -> None:
    text = "CUDA failure 2: out of memory ; GPU=0 ; expr=a\nCUDA failure 700: an illegal memory access ; GPU=0 ; expr=b"
    assert isinstance(fault_of(RuntimeError(text)), DeviceLost)


@pytest.mark.parametrize("code", sorted(LASTING_CODES))
def test_every_lasting_code_is_known_in_both_wordings(code: int) -> None:
    assert lasting_fault(f"CUDA failure {code}: some words ; GPU=0 ;") == f"CUDA error {code}, some words"
    assert lasting_fault(f"CUDA error {code}: some words") == f"CUDA error {code}, some words"


@pytest.mark.parametrize(
    "text", ["", "CUDA failure 7000: no such", "CUDA failure x: 700", "MatMul 700", "failure 700:"]
)
def test_what_only_looks_like_a_lasting_fault_is_none(text: str) -> None:
    assert lasting_fault(text) is None


def test_cuda_s_own_words_are_found_behind_those_of_c_plus_plus() -> None:
    assert cuda_error(TEXTS[9][0]) == "CUDA error 35, CUDA driver version is insufficient for CUDA runtime version"
    assert cuda_error("Load model failed") is None


@pytest.mark.parametrize(
    ("kind", "http", "grpc"), [(OutOfDeviceMemory, 503, "UNAVAILABLE"), (DeviceLost, 503, "UNAVAILABLE")]
)
def test_both_may_be_tried_again(kind: type[RuntimeFault], http: int, grpc: str) -> None:
    assert (kind.http_status, kind.grpc_status, kind.retry_after_seconds) == (http, grpc, 1)
    assert issubclass(DeviceLost, EngineLost)


def test_memory_that_numpy_can_t_have_for_a_copy_is_a_shortage() -> None:
    assert isinstance(fault_of(MemoryError((1 << 40,), np.dtype(np.float32))), OutOfDeviceMemory)
