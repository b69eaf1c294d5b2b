"""A task module for a real card: bodies that hold memory through the CUDA driver alone. Copied into the
project.

Calls and signatures are those of cuda.h: `_v2` is what the header's names stand for since CUDA 3.2.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conductor.base.errors import CudaOutOfMemory, JobError
from workers import task
from workers.task_api.context import JobContext

MIB = 1 << 20
#: Taken piece by piece, as frameworks do.
PIECE_MIB = 64

SUCCESS, OUT_OF_MEMORY = 0, 2


class Cuda:
    """The first visible device's primary context, and what was allocated in it."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libcuda.so.1")
        size, pointer = ctypes.c_size_t, ctypes.c_uint64  # CUdeviceptr
        self._lib.cuMemAlloc_v2.argtypes = [ctypes.POINTER(pointer), size]
        self._lib.cuMemFree_v2.argtypes = [pointer]
        self._lib.cuMemsetD8_v2.argtypes = [pointer, ctypes.c_ubyte, size]
        self._lib.cuMemGetInfo_v2.argtypes = [ctypes.POINTER(size), ctypes.POINTER(size)]
        self._lib.cuCtxSetCurrent.argtypes = [ctypes.c_void_p]
        self._lib.cuDevicePrimaryCtxRetain.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
        self.pieces: list[ctypes.c_uint64] = []
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._do("cuInit", ctypes.c_uint(0))
        self._do("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._do("cuCtxSetCurrent", context)

    def take(self, mib: int) -> None:
        """Raises `CudaOutOfMemory`; what was taken until then is kept."""
        piece = ctypes.c_uint64()
        self._do("cuMemAlloc_v2", ctypes.byref(piece), mib * MIB)
        self.pieces.append(piece)
        # Written to: memory that was only promised is not yet held.
        self._do("cuMemsetD8_v2", piece, 1, mib * MIB)

    def work(self) -> None:
        """Keeps the device busy for some milliseconds."""
        for piece in self.pieces[:8]:
            self._do("cuMemsetD8_v2", piece, 2, PIECE_MIB * MIB)
        self._do("cuCtxSynchronize")

    def give_back(self) -> None:
        while self.pieces:
            self._do("cuMemFree_v2", self.pieces.pop())

    def close(self) -> None:
        self.give_back()

    def _do(self, call: str, *arguments: Any) -> None:
        code: int = getattr(self._lib, call)(*arguments)
        if code == OUT_OF_MEMORY:
            raise CudaOutOfMemory(f"{call}: out of memory with {len(self.pieces) * PIECE_MIB} MiB taken")
        if code != SUCCESS:
            raise JobError(f"{call} failed with CUDA error {code}")


@task("card.hold", lane="gpu", warm="cuda", timeout_s=120.0)
def hold(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: mib (taken at the start), seconds (worked with it) or until (a file is there), pace_s (between
    pieces).
    """
    cuda = ctx.warm("cuda", Cuda)
    began = time.time()
    try:
        while len(cuda.pieces) * PIECE_MIB + PIECE_MIB <= args["mib"] and not ctx.should_stop():
            cuda.take(PIECE_MIB)
            time.sleep(args.get("pace_s", 0.0))
        taken, end = len(cuda.pieces) * PIECE_MIB, time.monotonic() + args.get("seconds", 0.0)
        while not ctx.should_stop() and not _is_over(args, end):
            cuda.work()
        return {"taken_mib": taken, "began": began, "ended": time.time(), "pid": os.getpid()}
    finally:
        cuda.give_back()


def _is_over(args: Mapping[str, Any], end: float) -> bool:
    return Path(args["until"]).exists() if "until" in args else time.monotonic() >= end
