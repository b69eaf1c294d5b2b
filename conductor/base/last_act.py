"""What a process does last, and its end at once after it.

An interpreter that is taken apart frees each object by itself: a fifth of the CPU time of a short command,
and in a copy of another process every page that both share is copied for it first. What our processes hold
is closed by its own blocks by then.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

#: Python's own, where at the end something could not be written.
NOT_WRITTEN = 120


def last_act(work: Callable[[], object]) -> NoReturn:
    """Ends this process as `sys.exit` would after `work`: its exit code, threads that are waited for, what
    was registered for the end, and streams that are flushed."""
    code = _code_of(work)
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  there is no other word for it
    os._exit(_flushed() or code)


def _code_of(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as e:
        if e.code is None or isinstance(e.code, int):
            return (e.code or 0) & 0xFF
        sys.stderr.write(f"{e.code}\n")
        return 1
    except BaseException:  # noqa: BLE001  as the interpreter does with what nobody has caught
        traceback.print_exc()
        return 1
    return 0


def _flushed() -> int:
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except Exception as e:  # noqa: BLE001  a full disk, a stream of the user's own that is closed
        os.write(2, f"{e}\n".encode())
        return NOT_WRITTEN
    return 0
