"""An exception or an exit status → one cause of the retry table, and words a person understands."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from conductor.base import secrets
from conductor.base.errors import EndpointUnavailable, JobError, RateLimited, StoreUnavailable
from conductor.model.causes import CAUSES, Cause
from workers.task_api import out_of_memory

#: Longer words than this are cut: a receipt is a line.
MAX_MESSAGE = 2000

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})
#: Of what a program printed so much is looked at, from its end.
_TAIL = 8192


class AttemptFault(NamedTuple):
    """Why an attempt did not make it."""

    cause: Cause
    message: str
    rate_key: str = ""
    retry_after_s: float | None = None
    exit_code: int | None = None
    #: Its API was not called: the attempt goes back as if it had been refused.
    is_uncalled: bool = False
    #: It cannot run here and has not begun: it goes back, and it costs it nothing.
    is_elsewhere: bool = False
    #: It will not go away by itself.
    is_lasting: bool = False
    #: «KeyError at render.py:17», where a body raised it.
    raised_at: str = ""
    #: The one of its engines on which the job goes on, and on no other.
    stays_with: str = ""


CANCELLED = AttemptFault("cancelled", "cancelled by the operator")
TAKEN_BACK = AttemptFault("worker_lost", "taken from its worker by the operator")
WENT_DEAF = AttemptFault(
    "task_error",
    "the task's process lived on without its worker: a body must not replace its process (os.exec; use "
    "`run_program`) "
    "nor close descriptors that it did not open",
)


def of_exception(error: BaseException, has_device: bool) -> AttemptFault:
    """What a body raised. `has_device`: its job holds one, so that a device's words mean its VRAM."""
    if isinstance(error, RateLimited):
        return AttemptFault("rate_limited", cut(str(error)), error.rate_key, error.retry_after_s)
    if isinstance(error, EndpointUnavailable):
        fault = AttemptFault("endpoint_unavailable", cut(str(error)), error.rate_key, error.retry_after_s)
        return fault._replace(stays_with=error.stays_with)
    if isinstance(error, StoreUnavailable):
        return AttemptFault("store_unavailable", cut(str(error)), error.rate_key)
    if isinstance(error, JobError):
        return AttemptFault(_recognised(error, has_device), cut(str(error)), is_lasting=error.is_lasting)
    return AttemptFault(_recognised(error, has_device), cut(f"{type(error).__name__}: {error}"))


def _recognised(error: BaseException, has_device: bool) -> Cause:
    """Libraries do not know our errors: look through the chain for what the retry table tells apart."""
    seen: BaseException | None = error
    passed: set[int] = set()
    while seen is not None and id(seen) not in passed:
        passed.add(id(seen))
        if (cause := _of_one(seen, has_device)) is not None:
            return cause
        # As Python prints it: what was hidden by `from None` is not what the body says.
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "task_error"


def _of_one(error: BaseException, has_device: bool) -> Cause | None:
    if isinstance(error, JobError) and error.cause != JobError.cause:
        return error.cause if error.cause in CAUSES else "task_error"
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return "no_space"
    if isinstance(error, MemoryError):
        return "host_oom"
    return out_of_memory.cause_of(_words_of(error), has_device)


def _words_of(error: BaseException) -> str:
    """Its own, and those of the program that it tells of: `ProgramFailed`, or
    `subprocess.CalledProcessError`.
    """
    said = [f"{type(error).__name__}: {error}"]
    for name in ("stdout", "stderr"):
        printed = getattr(error, name, None)
        if isinstance(printed, bytes):
            printed = printed[-_TAIL:].decode("utf-8", "replace")
        if isinstance(printed, str):
            said.append(printed[-_TAIL:])
    return "\n".join(said)


def raised_at(error: BaseException, module: str, project: Path) -> str:
    """«KeyError at render.py:17»: the innermost line of the task's own module, or of the project's; empty: of
    neither.

    Failures that differ in words only have it in common."""
    own, ours = getattr(sys.modules.get(module), "__file__", None), f"{project}{os.sep}"
    found, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == own or (file.startswith(ours) and "site-packages" not in file):
            found = f"{type(error).__name__} at {Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def of_exit(status: int, was_oom_killed: bool, words: str, has_device: bool) -> AttemptFault:
    """A child that ended by itself. `status`: as `subprocess` gives it, negative for a signal."""
    if status == -signal.SIGKILL and was_oom_killed:
        return AttemptFault("host_oom", "killed by the kernel: the host ran out of memory", exit_code=status)
    if is_from_outside(status):
        words = f"the task's process was killed by {signal_name(-status)}, from outside"
        return AttemptFault("worker_lost", words, exit_code=status)
    if status < 0:
        said = f"the task's process was killed by signal {-status} ({signal_name(-status)})"
    else:
        said = f"the task's process ended with exit code {status}"
    cause = out_of_memory.cause_of(words, has_device) or "task_error"
    return AttemptFault(cause, cut(f"{said}; last words: {words}" if words else said), exit_code=status)


def is_from_outside(status: int) -> bool:
    """Nothing that a program does to itself: a person, a service manager, or a kernel whose counters
    cannot be read.
    """
    return status in _FROM_OUTSIDE


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def cut(text: str) -> str:
    """Short enough for a line, without secrets, and encodable: a name that is not UTF-8 arrives as lone
    surrogates.
    """
    text = secrets.scrub(text)
    if len(text) > MAX_MESSAGE:
        text = f"{text[: MAX_MESSAGE // 2]} … {text[-MAX_MESSAGE // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
