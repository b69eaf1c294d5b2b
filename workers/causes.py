"""An exception or an exit status → one cause of the retry table, and words a person understands."""

from __future__ import annotations

import errno
import signal
from typing import NamedTuple

from conductor import secrets
from conductor.errors import JobError, RateLimited
from conductor.model.causes import CAUSES, Cause

#: Longer words than this are cut: a receipt is a line.
MAX_MESSAGE = 2000

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
#: As PyTorch, ONNX Runtime, CuPy, and the CUDA runtime say it.
_CUDA_OOM = ("cuda out of memory", "cuda_error_out_of_memory", "cudaerrormemoryallocation", "cudnn_status_alloc_failed")
_ORT_OOM = ("bfcarena", "failed to allocate memory for requested buffer")


class Fault(NamedTuple):
    """Why an attempt did not make it."""

    cause: Cause
    message: str
    rate_key: str = ""
    retry_after_s: float | None = None
    exit_code: int | None = None
    #: Its API was not called: the attempt goes back as if it had been refused.
    is_uncalled: bool = False


CANCELLED = Fault("cancelled", "cancelled by the operator")


def of_exception(error: BaseException) -> Fault:
    """What a body raised."""
    if isinstance(error, RateLimited):
        return Fault("rate_limited", cut(str(error)), error.rate_key, error.retry_after_s)
    if isinstance(error, JobError):
        cause: Cause = error.cause if error.cause in CAUSES else "task_error"
        return Fault(cause, cut(str(error)))
    return Fault(_recognised(error), cut(f"{type(error).__name__}: {error}"))


def _recognised(error: BaseException) -> Cause:
    """Libraries do not know our errors: look through the chain for what the retry table tells apart."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, JobError) and seen.cause in CAUSES:
            return seen.cause
        if isinstance(seen, OSError) and seen.errno in _NO_SPACE:
            return "no_space"
        text = f"{type(seen).__name__}: {seen}".lower()
        if any(words in text for words in _CUDA_OOM) or ("cuda" in text and any(w in text for w in _ORT_OOM)):
            return "cuda_oom"
        if isinstance(seen, MemoryError):
            return "host_oom"
        seen = seen.__cause__ or seen.__context__
    return "task_error"


def of_exit(status: int, was_oom_killed: bool, words: str) -> Fault:
    """A child that ended by itself. `status`: as `subprocess` gives it, negative for a signal."""
    if status == -signal.SIGKILL and was_oom_killed:
        return Fault("host_oom", "killed by the kernel: the host ran out of memory", exit_code=status)
    if status == -signal.SIGKILL:
        # Nothing that a body does to itself: a person, or a kernel whose counters cannot be read here.
        return Fault("worker_lost", "the task's process was killed by SIGKILL, from outside", exit_code=status)
    if status < 0:
        said = f"the task's process was killed by signal {-status} ({_signal_name(-status)})"
    else:
        said = f"the task's process ended with exit code {status}"
    return Fault("task_error", cut(f"{said}; last words: {words}" if words else said), exit_code=status)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def cut(text: str) -> str:
    """Short enough for a line, without secrets, and encodable: a name that is not UTF-8 arrives as lone surrogates."""
    text = secrets.scrub(text)
    if len(text) > MAX_MESSAGE:
        text = f"{text[: MAX_MESSAGE // 2]} … {text[-MAX_MESSAGE // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
