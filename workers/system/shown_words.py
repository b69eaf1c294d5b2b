"""What `ps` and `/proc/PID/environ` show of a process that became another one without a new program (Linux).

The kernel shows what stands where the program's own words and variables were laid at its start: these places
are written over. Elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Fields of /proc/PID/stat behind the name: arg_start, arg_end, env_start, env_end (man 5 proc_pid_stat).
_WORDS, _VARIABLES = slice(45, 47), slice(47, 49)


def show_as(words: Sequence[str]) -> None:
    """As many of them as there is room for."""
    _lay(_WORDS, [os.fsencode(word) for word in words])


def become(environment: Mapping[str, str]) -> None:
    """This process has these variables and no others: for itself, for libraries, for its programs, and for
    who looks (the first ones, where there is no room for all).
    """
    # Each anew: libraries have pointers to where it was laid, which is written over.
    os.environ.clear()
    os.environ.update(environment)
    _lay(_VARIABLES, [os.fsencode(f"{name}={value}") for name, value in environment.items()])


def _lay(where: slice, texts: Sequence[bytes]) -> None:
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        start, end = map(int, fields[where])
    except (OSError, ValueError):
        return
    laid = b""
    for text in texts:
        if len(laid) + len(text) + 1 < end - start:
            laid += text + b"\0"
    if start:
        ctypes.memmove(start, laid.ljust(end - start, b"\0"), end - start)
