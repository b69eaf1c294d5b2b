"""Which cause an error, or an end, is."""

from __future__ import annotations

import errno
from pathlib import Path
from subprocess import CalledProcessError
from types import ModuleType

import pytest

from conductor.base import errors
from conductor.model.causes import Cause
from workers.task_api.failure_causes import MAX_MESSAGE, cut, of_exception, of_exit, raised_at


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
        (
            chained(errors.JobError("the model cannot be run"), RuntimeError("CUDA error: out of memory")),
            "cuda_oom",
        ),
        (
            CalledProcessError(1, "ffmpeg", stderr=b"OpenEncodeSessionEx failed: out of memory (10)\n"),
            "cuda_oom",
        ),
        (CalledProcessError(1, "convert", output="Cannot allocate memory"), "host_oom"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "host_oom"),
        (chained(RuntimeError("while saving"), OSError(errno.ENOSPC, "full")), "no_space"),
        (chained(ValueError("x"), errors.BadInput("y")), "bad_input"),
        (SystemExit(3), "task_error"),
        (KeyboardInterrupt(), "task_error"),
    ],
)
def test_an_exception_has_a_cause(error: BaseException, cause: Cause):
    assert of_exception(error, has_device=True).cause == cause


def test_a_429_carries_its_key_and_its_wait():
    fault = of_exception(errors.RateLimited("slow down", "openai", 12.5), has_device=False)

    assert (fault.cause, fault.rate_key, fault.retry_after_s) == ("rate_limited", "openai", 12.5)


@pytest.mark.parametrize(
    ("status", "was_oom", "cause", "words"),
    [
        (-9, True, "host_oom", "ran out of memory"),
        (-9, False, "worker_lost", "SIGKILL"),
        (-15, False, "worker_lost", "killed by SIGTERM, from outside"),
        (-1, False, "worker_lost", "SIGHUP"),
        (-11, True, "task_error", "SIGSEGV"),
        (-60, False, "task_error", "signal 60"),
        (3, False, "task_error", "exit code 3; last words: help"),
        (-6, False, "host_oom", "SIGABRT"),
    ],
)
def test_an_end_has_a_cause(status: int, was_oom: bool, cause: Cause, words: str):
    said = (
        "terminate called after throwing an instance of 'std::bad_alloc'" if cause == "host_oom" else "help"
    )

    fault = of_exit(status, was_oom, said, has_device=True)

    assert fault.cause == cause and fault.exit_code == status and words in fault.message


def test_a_message_fits_a_line_and_can_be_encoded():
    assert len(cut("x" * 10_000)) <= MAX_MESSAGE + 3
    assert cut("a\udcffb").encode() == b"a\\udcffb"


def test_where_a_body_raised_is_the_innermost_line_of_its_own_code(tmp_path: Path):
    code = "import json\n\ndef run(text):\n    return json.loads(text)\n"
    module = ModuleType("mine")
    module.__file__ = str(tmp_path / "mine.py")
    exec(compile(code, module.__file__, "exec"), module.__dict__)
    try:
        module.run("{")
    except ValueError as e:
        assert raised_at(e, "mine", tmp_path) == "JSONDecodeError at mine.py:4"
        assert raised_at(e, "another", tmp_path / "elsewhere") == "", (
            "a library's line is nobody's fault here"
        )
    assert raised_at(errors.BadInput("never raised"), "mine", tmp_path) == ""
