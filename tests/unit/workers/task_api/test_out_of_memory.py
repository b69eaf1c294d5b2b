"""Out of memory, in the words of those who say it: of the device where the job holds one, else of the
host.
"""

from __future__ import annotations

import pytest

from conductor.base.errors import JobError
from workers.task_api.failure_causes import of_exception
from workers.task_api.out_of_memory import cause_of
from workers.task_api.run_program import ProgramFailed

ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'Conv_3' "
    "Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) Failed to allocate memory for requested "
    "buffer of size 85"
)
ON_A_DEVICE = {
    "onnxruntime's arena": ARENA,
    "onnxruntime's "
    "limit": "bfc_arena.cc:342 Available memory of 1048576 is smaller than requested bytes of 4194304",
    "onnxruntime's "
    "CUDA": "CUDA failure 2: out of memory ; GPU=0 ; hostname=box ; file=cuda_allocator.cc ; line=60",
    "PyTorch": "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.65 GiB",
    "PyTorch's runtime": "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "an old PyTorch": "cuda runtime error (2) : out of memory at THCStorage.cu:58",
    "ROCm": "HIP out of memory. Tried to allocate 512.00 MiB",
    "the driver": "cuvidCreateDecoder(&ctx->cudecoder, params) failed -> CUDA_ERROR_OUT_OF_MEMORY: "
    "out of memory",
    "the runtime": "cudaErrorMemoryAllocation: out of memory",
    "RMM": "std::bad_alloc: out_of_memory: CUDA error at: cuda_memory_resource.hpp cudaErrorMemoryAllocation",
    "cuBLAS": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN": "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuFFT": "cuFFT error: CUFFT_ALLOC_FAILED",
    "JAX": "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes.",
    "JAX, allocating": "RESOURCE_EXHAUSTED: Failed to allocate request for 2.0GiB (2147483648B) on "
    "device ordinal 0",
    "JAX, no more": "RESOURCE_EXHAUSTED",
    "TensorFlow": "OOM when allocating tensor with shape[64,512,512] on /job:worker/device:GPU:0 "
    "by GPU_0_bfc",
    "TensorFlow's copy": "Dst tensor is not initialized.",
    "TensorRT": "[TRT] [E] 1: [defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime "
    "(out of memory)",
    "NVENC": "[h264_nvenc @ 0x55d0] OpenEncodeSessionEx failed: out of memory (10): (no details)",
    "vLLM": "No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
    "llama.cpp's "
    "buffer": "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9 MiB on device 0: cudaMalloc failed",
    "llama.cpp's graph": "ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 2936012800",
    "llama.cpp's tensors": "alloc_tensor_range: failed to allocate CUDA0 buffer of size 4294967296",
    "whisper": "RuntimeError: CUDA failed with error out of memory",
    "CuPy": "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,000,000,000 bytes",
    "OpenCV": "OpenCV(4.9.0) error: (-217:Gpu API call) out of memory in function 'allocate'",
    "PaddlePaddle": "ResourceExhaustedError: Out of memory error on GPU 0. Cannot allocate 2.0GB "
    "memory on GPU 0",
    "Vulkan": "vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
}
ON_THE_HOST = {
    "Python": "MemoryError",
    "NumPy": "_ArrayMemoryError: Unable to allocate 7.45 GiB for an array with shape (1000000000,)",
    "C++": "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
    "ffmpeg": "[libx264 @ 0x5580] malloc of size 3110464 failed\nError while filtering: Cannot "
    "allocate memory",
    "PyTorch on the "
    "CPU": "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000000000 bytes",
    "TensorFlow on the "
    "CPU": "OOM when allocating tensor with shape[9] on /job:worker/device:CPU:0 by allocator cpu",
    "llama.cpp on the "
    "CPU": "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 2147483648",
    "OpenCV": "error: (-4:Insufficient memory) Failed to allocate 6220800000 bytes in function "
    "'OutOfMemoryError'",
    "Java": 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space',
    "Node.js": "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    "Go": "fatal error: runtime: out of memory",
    "Rust": "memory allocation of 17179869184 bytes failed",
}
OF_NEITHER = {
    "a gRPC quota": "429 RESOURCE_EXHAUSTED: Quota exceeded for quota metric 'Requests' and limit 'Requests'",
    "a gRPC status": "<_InactiveRpcError of RPC that terminated with:\n\tstatus = "
    "StatusCode.RESOURCE_EXHAUSTED\n"
    '\tdetails = "Quota exceeded for aiplatform.googleapis.com"',
    "a gRPC message": "RESOURCE_EXHAUSTED: Received message larger than max (5242880 vs. 4194304)",
    "an API's own memory": "grpc: RESOURCE_EXHAUSTED: the server is out of memory",
    "an allocation of "
    "requests": "RESOURCE_EXHAUSTED: the project's allocation of requests per minute is used up",
    "the loader": "ImportError: libgomp.so.1: cannot allocate memory in static TLS block",
    "a memory of another kind": "the memory card is full of memories",
    "a CUDA error": "CUDA error: device-side assert triggered",
    "cuBLAS": "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED",
}


@pytest.mark.parametrize("words", ON_A_DEVICE.values(), ids=ON_A_DEVICE)
def test_a_devices_words_mean_the_device_that_the_job_holds_and_else_the_host(words: str):
    assert cause_of(f"RuntimeError: {words}" if "\n" not in words else words, has_device=True) == "cuda_oom"
    assert cause_of(words, has_device=False) == "host_oom"


@pytest.mark.parametrize("words", ON_THE_HOST.values(), ids=ON_THE_HOST)
def test_the_hosts_words_mean_the_host_whatever_the_job_holds(words: str):
    assert cause_of(words, has_device=True) == cause_of(words, has_device=False) == "host_oom"


@pytest.mark.parametrize("words", OF_NEITHER.values(), ids=OF_NEITHER)
def test_other_failures_are_not_taken_for_a_want_of_memory(words: str):
    assert cause_of(words, has_device=True) is None


@pytest.mark.parametrize("words", [ARENA, ON_A_DEVICE["NVENC"], ON_A_DEVICE["vLLM"]])
def test_they_are_found_in_what_a_program_printed_before_its_last_line(words: str):
    failed = ProgramFailed(
        "it ended with exit code 1: Conversion failed!", f"{words}\n" + "Conversion failed!\n" * 20
    )

    assert of_exception(failed, has_device=True).cause == "cuda_oom"
    assert of_exception(failed, has_device=False).cause == "host_oom"
    assert (
        of_exception(JobError("it ended with exit code 1: Conversion failed!"), has_device=True).cause
        == "task_error"
    )
