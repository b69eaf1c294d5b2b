"""`python -I -S die_with_parent.py PARENT[:SIGNAL] PROGRAM ARGUMENTS…`: becomes the program, tied to its
parent's life (Linux).

A program of its own rather than a `preexec_fn`: forking Python code out of a process with threads can
deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    given, _, number = sys.argv[1].partition(":")
    parent, program = int(given), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number or signal.SIGTERM))
    # It may have died before the call: then nobody sends the signal any more.
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
