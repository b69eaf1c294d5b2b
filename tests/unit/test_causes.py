"""Which cause an error, or an end, is."""

from __future__ import annotations

import errno

import pytest

from conductor import errors
from conductor.model.causes import Cause
from workers.causes import MAX_MESSAGE, cut, of_exception, of_exit


def chained(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.BadInput("x"), "bad_input"),
        (errors.ServerError("x"), "server_error"),
        (errors.CudaOutOfMemory("x"), "cuda_oom"),
        (errors.DeadlineExceeded("x"), "timeout"),
        (OSError(errno.ENOSPC, "full"), "no_space"),
        (OSError(errno.EDQUOT, "quota"), "no_space"),
        (OSError(errno.ENOENT, "none"), "task_error"),
        (MemoryError(), "host_oom"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"), "cuda_oom"),
        (RuntimeError("CUDA error: CUDA_ERROR_OUT_OF_MEMORY"), "cuda_oom"),
        (RuntimeError("CUDA provider: BFCArena: failed to allocate memory for requested buffer"), "cuda_oom"),
        (chained(RuntimeError("while saving"), OSError(errno.ENOSPC, "full")), "no_space"),
        (chained(ValueError("x"), errors.BadInput("y")), "bad_input"),
        (SystemExit(3), "task_error"),
        (KeyboardInterrupt(), "task_error"),
    ],
)
def test_an_exception_has_a_cause(error: BaseException, cause: Cause):
    assert of_exception(error).cause == cause


def test_a_429_carries_its_key_and_its_wait():
    fault = of_exception(errors.RateLimited("slow down", "openai", 12.5))

    assert (fault.cause, fault.rate_key, fault.retry_after_s) == ("rate_limited", "openai", 12.5)


@pytest.mark.parametrize(
    ("status", "was_oom", "cause", "words"),
    [
        (-9, True, "host_oom", "ran out of memory"),
        (-9, False, "worker_lost", "SIGKILL"),
        (-11, True, "task_error", "SIGSEGV"),
        (-60, False, "task_error", "signal 60"),
        (3, False, "task_error", "exit code 3; last words: help"),
    ],
)
def test_an_end_has_a_cause(status: int, was_oom: bool, cause: Cause, words: str):
    fault = of_exit(status, was_oom, "help")

    assert fault.cause == cause and fault.exit_code == status and words in fault.message


def test_a_message_fits_a_line_and_can_be_encoded():
    assert len(cut("x" * 10_000)) <= MAX_MESSAGE + 3
    assert cut("a\udcffb").encode() == b"a\\udcffb"
