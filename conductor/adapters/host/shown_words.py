"""What `ps` and `/proc/PID/environ` show of a process that became another one without a new program (Linux).

The kernel shows what stands where the program's own words and variables were laid at its start: it is told of
other places, and where it hears nothing of that, these are written over as far as they go. Elsewhere nothing
happens.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Fields of /proc/PID/stat behind the name: arg_start, arg_end, env_start, env_end (man 5 proc_pid_stat).
_WORDS, _VARIABLES = slice(45, 47), slice(47, 49)
#: start_code, end_code, start_data, end_data, start_brk and start_stack there.
_PROGRAM, _STACK = (23, 24, 42, 43, 44), 25
#: man 2 PR_SET_MM: all places at once, which needs no right where the kernel has it.
_PR_SET_MM, _MAP, _MAP_SIZE = 35, 14, 15
#: struct prctl_mm_map: eleven places, no auxiliary vector, no other program.
_PLACES = struct.Struct("=11QQII")
#: Where the words of this process lie now: as long as it lives.
_moved: list[mmap.mmap] = []


def show_as(words: Sequence[str]) -> None:
    """All of them, or as many as there is room for."""
    _lay(_WORDS, [os.fsencode(word) for word in words])


def become(environment: Mapping[str, str]) -> None:
    """This process has these variables and no others: for itself, for libraries, for its programs, and for
    who looks (the first ones, where there is no room for all).
    """
    # Each anew: libraries have pointers to where it was laid, which is written over.
    os.environ.clear()
    os.environ.update(environment)
    _lay(_VARIABLES, [os.fsencode(f"{name}={value}") for name, value in environment.items()])


def has_room() -> bool:
    """Any words can be shown, however few this process began with."""
    size = ctypes.c_uint(0)
    return (
        sys.platform == "linux"
        and ctypes.CDLL(None).prctl(_PR_SET_MM, _MAP_SIZE, ctypes.byref(size), 0, 0) == 0
        and size.value == _PLACES.size
    )


def _lay(where: slice, texts: Sequence[bytes]) -> None:
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        start, end = map(int, fields[where])
    except (OSError, ValueError):
        return
    whole = b"".join(text + b"\0" for text in texts)
    # Also where there is more room than that: who splits what is shown would find empty words at its end.
    if not start or (len(whole) != end - start and _move(where, fields, whole)):
        return
    laid = b""
    for text in texts:
        if len(laid) + len(text) + 1 < end - start:
            laid += text + b"\0"
    ctypes.memmove(start, laid.ljust(end - start, b"\0"), end - start)


def _move(where: slice, fields: Sequence[bytes], whole: bytes) -> bool:
    if not has_room():
        return False
    # Private: the kernel reads no words from memory that others could share.
    area = mmap.mmap(-1, len(whole), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area[:] = whole
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_void_p
    words, variables = ([int(field) for field in fields[each]] for each in (_WORDS, _VARIABLES))
    (words if where == _WORDS else variables)[:] = start, start + len(whole)
    program = [int(fields[n]) for n in _PROGRAM]
    places = _PLACES.pack(*program, libc.sbrk(0), int(fields[_STACK]), *words, *variables, 0, 0, 0xFFFF_FFFF)
    done = libc.prctl(_PR_SET_MM, _MAP, ctypes.c_char_p(places), ctypes.c_ulong(len(places)), 0) == 0
    if done:
        _moved.append(area)
    return done
