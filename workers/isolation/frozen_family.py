"""The child and all below it, stopped by its parent and told to go on again, and for how long they stood.

By signals, which reach whatever a body has started. What a cgroup could do in one write has its seam here:
`begin` and `end` alone touch the processes.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.adapters.host.freezing import put_note, remove_note
from conductor.adapters.host.known_process import KnownProcess, is_there, of_process
from conductor.adapters.host.stopped_processes import is_stopped
from conductor.base.logs.events import emit_event
from workers.system.process_tree import children_of

if TYPE_CHECKING:
    from workers.isolation.held_attempt import Held

_SECONDS = struct.Struct("d")


class FrozenFamily:
    """One worker's. Both its threads call it; what it says of an attempt, it says in its `Held`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: tuple[KnownProcess, ...] = ()
        self._held: Held | None = None
        self._note: Path | None = None
        self._why = ""
        self._since = self._at = 0.0
        self._total_s = 0.0
        self._is_barred = False
        #: For the child: for how long it has stood in all, as of the last thaw.
        self.fd = _shared()

    @property
    def is_on(self) -> bool:
        return self._held is not None

    def begin(self, pid: int, held: Held, why: str, note: Path) -> bool:
        """Stop the child `pid` with all below it. `held`: the attempt that it runs. False: that one is to
        leave."""
        with self._lock:
            if self._is_barred or self._held is not None:
                return False
            self._at, self._since = time.monotonic(), time.time()
            self._held, self._why, self._note = held, why, note
            held.freeze(why, self._since, self._at)
            try:
                # Before any is stopped: should this process be killed now, its node finds them.
                put_note(note, filter(None, map(of_process, _family(pid))))
                self._processes = _stop(pid)
                put_note(note, self._processes)
            except OSError as e:
                # Without a note nobody would wake them, were this process killed.
                words = "Nothing is frozen: {file} cannot be written: {error}"
                emit_event("freezing.failed", words, file=str(note), error=e.strerror or str(e))
                self._go_on()
                return False
            return True

    def stay(self, held: Held) -> None:
        """While they stand. `held`: an end may have been on its way, and the attempt that runs is another
        one. Whom somebody else has woken is stopped again, for without its limits nobody may run."""
        with self._lock:
            for process in self._processes:
                if not is_stopped(process.pid) and is_there(process):
                    _send(process, signal.SIGSTOP)
            if self._held is not None and self._held is not held:
                self._held.thaw(time.monotonic())
                held.freeze(self._why, self._since, max(self._at, held.began))
                self._held = held

    def end(self, *, is_barred: bool = False) -> bool:
        """All of them go on. `is_barred`: the body is to leave, and is not stopped again. False: none
        stood."""
        with self._lock:
            self._is_barred = self._is_barred or is_barred
            if self._held is None:
                return False
            self._go_on()
            return True

    def next_begins(self) -> None:
        """Another body has its turn: it may be stopped."""
        self._is_barred = False

    def close(self) -> None:
        self.end()
        os.close(self.fd)

    def _go_on(self) -> None:
        assert self._held is not None and self._note is not None
        now = time.monotonic()
        self._total_s += now - self._at
        # Before they run: whoever asks for the time that is left is to know.
        os.pwrite(self.fd, _SECONDS.pack(self._total_s), 0)
        self._held.thaw(now)
        for process in self._processes:
            if is_there(process):
                _send(process, signal.SIGCONT)
        remove_note(self._note)
        self._processes, self._held = (), None


def still_s(fd: int) -> float:
    """In the child: for how long it has been frozen in all."""
    said = os.pread(fd, _SECONDS.size, 0)
    return _SECONDS.unpack(said)[0] if len(said) == _SECONDS.size else 0.0


def _family(pid: int) -> list[int]:
    found = [pid]
    for child in children_of(pid):
        found += _family(child)
    return found


def _stop(pid: int) -> tuple[KnownProcess, ...]:
    """SIGSTOP from the top, so that none starts another one behind our back; again for what had just begun.
    Those that somebody else has stopped are not ours to wake."""
    stopped: dict[int, KnownProcess] = {}
    seen: set[int] = set()
    while new := [each for each in _family(pid) if each not in seen]:
        for each in new:
            seen.add(each)
            record = None if is_stopped(each) else of_process(each)
            if record is not None and _send(record, signal.SIGSTOP):
                stopped[each] = record
    return tuple(stopped.values())


def _send(process: KnownProcess, number: signal.Signals) -> bool:
    """False: it is gone, or not ours to signal."""
    try:
        os.kill(process.pid, number)
    except OSError:
        return False
    return True


def _shared() -> int:
    if sys.platform == "linux":
        return os.memfd_create("frozen", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
