"""How libraries and programs say that there was no memory left: one table, with who says it so.

Of a job that holds a device a device's words mean its VRAM; of any other job the same words mean the host's
memory, for there the same libraries run on the CPU. The host's words mean the host whoever says them.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Cause = Literal["cuda_oom", "host_oom"]


class Wording(NamedTuple):
    """`pattern` is looked for in one line, in small letters."""

    product: str
    pattern: str


#: In the order in which they are asked: an allocator of VRAM may raise `std::bad_alloc` with CUDA's words in
#: it.
OF_A_DEVICE = (
    Wording("PyTorch", r"\b(?:cuda|hip|xpu):? out of memory|torch(?:\.cuda)?\.outofmemoryerror"),
    Wording("CUDA driver and runtime", r"cuda_error_out_of_memory|cudaerrormemoryallocation"),
    Wording("llama.cpp, MXNet", r"\bcu(?:da|mem)?m?alloc(?!host)\w*(?: retry)? failed"),
    Wording(
        "PyTorch, onnxruntime, CTranslate2",
        r"\bcuda\b[^:]{0,40}(?:error|failure|failed)\b.{0,80}\bout of memory",
    ),
    Wording("MXNet, XGBoost", r"\bcuda(?:success|error)\b.{0,80}\bout of memory"),
    Wording("HIP runtime", r"\bhip(?:error|malloc)\w*.{0,80}out ?of ?memory|hipmalloc failed"),
    Wording("cuBLAS, cuDNN, cuSOLVER, cuSPARSE", r"\b(?:cublas|cudnn|cusolver|cusparse)_status_alloc_failed"),
    Wording("cuFFT", r"\bcufft_alloc_failed"),
    Wording("onnxruntime", r"failed to allocate memory for requested buffer"),
    Wording("onnxruntime", r"bfc_?arena.{0,200}available memory of \d+ is smaller than requested"),
    Wording(
        "JAX, XLA", r"resource_exhausted\b.{0,80}\b(?:out of memory|(?:to|while) allocat\w*|allocating|oom\b)"
    ),
    Wording(
        "JAX, XLA",
        r"(?:xlaruntimeerror|jaxruntimeerror): resource_exhausted|^(?:\w+error: )?resource_exhausted:?\s*$",
    ),
    Wording("TensorFlow", r"\boom when allocating tensor(?!.*/device:cpu)|dst tensor is not initialized"),
    Wording("TensorRT", r"cuda runtime \(out of memory\)|error code 2: ?out ?of ?memory"),
    Wording("NVENC", r"openencodesessionex failed: out of memory|\bnvenc\b.{0,200}\bout of memory"),
    Wording("NVDEC", r"\b(?:nvdec|cuvid)\w*\b.{0,200}\bout of memory"),
    Wording(
        "vLLM",
        r"no available memory for the cache blocks|free memory on device .{0,80}is less than desired gpu",
    ),
    Wording("llama.cpp", r"\bggml(?!\w*_cpu_)\w*\b.{0,80}failed to allocate (?!cpu\b|.{0,40}pinned)"),
    Wording(
        "llama.cpp",
        r"failed to allocate (?:cuda|rocm|vulkan|sycl)\d* buffer|failed to allocate compute (?:\w+ )?buffer",
    ),
    Wording("llama.cpp", r"failed to allocate buffer for kv cache"),
    Wording("CuPy", r"cupy\S*outofmemoryerror"),
    Wording("OpenCV", r"gpu api call\) out of memory"),
    Wording("PaddlePaddle", r"out of memory error on gpu"),
    Wording(
        "programs of many makers",
        r"\b(?:out of|insufficient|not enough) (?:gpu|device|video) memory|\bgpu out of memory",
    ),
    Wording("Vulkan", r"error_?out_?of_?device_?memory"),
    Wording("OpenCL", r"\bcl_mem_object_allocation_failure"),
)
#: The same, of a device or not, by the host that an allocator names.
OF_THE_HOST = (
    Wording(
        "Python, NumPy", r"\b_?(?:array)?memoryerror\b|unable to allocate .{1,40} for an array with shape"
    ),
    Wording("C++", r"\bbad_alloc\b"),
    Wording("C library, ffmpeg", r"\bcannot allocate memory\b(?! in static tls)"),
    Wording("CUDA runtime", r"\bcuda(?:mallochost|hostalloc)\w* failed"),
    Wording("PyTorch", r"defaultcpuallocator: (?:can't allocate|not enough) memory"),
    Wording("TensorFlow", r"oom when allocating tensor.*/device:cpu"),
    Wording(
        "llama.cpp",
        r"\bggml\w*_cpu_\w*\b.{0,80}failed to allocate|failed to allocate cpu \w*\s*buffer|malloc: "
        r"insufficient memory",
    ),
    Wording(
        "OpenCV", r"insufficient memory\) failed to allocate|outofmemoryerror in function 'outofmemoryerror'"
    ),
    Wording("Java", r"java\.lang\.outofmemoryerror"),
    Wording("Node.js", r"javascript heap out of memory"),
    Wording("Go", r"runtime: (?:out of memory|cannot allocate memory)"),
    Wording("Rust", r"memory allocation of \d+ bytes failed"),
)
#: `RESOURCE_EXHAUSTED` is also what a gRPC service answers whose quota is spent.
_A_QUOTA = re.compile(r"quota|rate limit|per (?:second|minute|day)|statuscode|\bgrpc|rpc error")


def _compiled(wordings: tuple[Wording, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{wording.pattern})" for wording in wordings), re.MULTILINE)


_DEVICE, _HOST, _JAX = _compiled(OF_A_DEVICE), _compiled(OF_THE_HOST), "resource_exhausted"


def cause_of(words: str, has_device: bool) -> Cause | None:
    """None: they say nothing of memory. `has_device`: the job holds one."""
    lines = [line for line in words.lower().splitlines() if _JAX not in line or not _A_QUOTA.search(line)]
    text = "\n".join(lines)
    if _DEVICE.search(text):
        return "cuda_oom" if has_device else "host_oom"
    return "host_oom" if _HOST.search(text) else None
