"""Reads files beside the work, in a process of its own: with less claim to cores and disks than any job, and
a dead NAS hangs that process and no other.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from conductor.base.files.fingerprint import FileState

CHILD = Path(__file__).with_name("hash_child.py")
#: A process that the kernel holds is not waited for any longer.
END_S = 5.0
COMMAND = (sys.executable, "-I", "-S", str(CHILD))


class BackgroundReader:
    """Asked by one thread, which waits for as long as a file takes. The process begins with the first
    question."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def state(self, file: Path) -> FileState | None:
        """None: no regular file is there that can be read."""
        found = self._ask({"path": str(file)}).get("state")
        return None if found is None else FileState(*found)

    def sha256(self, file: Path, state: FileState) -> str | None:
        """Of the file in that very state; None: it is in another one, or was written to while it was read."""
        return self._ask({"path": str(file), "state": state}).get("sha256")

    def stop(self) -> None:
        """By any thread: who waits for an answer gets none, and there is none any more."""
        with self._lock:
            self._is_stopped = True
            if self._child is not None:
                self._child.kill()

    def rest(self) -> None:
        """By the thread that asks: the process goes, until the next question."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Raises `OSError` where no process can be started."""
        with self._lock:
            if self._is_stopped:
                return {}
            # A session of its own: a Ctrl-C at the terminal is not for it. It ends when its input does.
            child = self._child = self._child or subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        assert child.stdin is not None and child.stdout is not None, "both are pipes"
        line = b""
        with contextlib.suppress(OSError):  # It was ended.
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()
        if line.endswith(b"\n"):
            return json.loads(line)
        self.rest()
        return {}
