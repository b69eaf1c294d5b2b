"""The state folder that was removed while processes live by it: each of them notices, says so and ends.

Its locks and its server's socket are gone with it: a second node, a second Valkey would start beside those
that live on, and nobody would find them again to end them.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from conductor.adapters.host.file_changes import FileChanges
from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event

#: The kernel says when the file itself is removed; a folder above it that was moved, and a share, are looked
#: at.
LOOK_EVERY_S = 2.0
#: From the first time that it was not there to the second.
AGAIN_S = 0.5
#: A process may hold several locks of one folder; it is told once.
_told = threading.Event()


@contextmanager
def watched(
    lock: int,
    file: Path,
    on_gone: Callable[[], None] = lambda: None,
    on_look: Callable[[], None] = lambda: None,
    is_told: bool = True,
) -> Generator[None]:
    """While the block lasts this process is told to stop at once when `file`, open as `lock`, is not in its
    folder.

    `on_gone` comes first, `on_look` at each look before, in a thread. `is_told`: the kernel is asked to say
    when; of that a user has a hundred or so on one host. Then the block ends with `Unreachable`, however it
    ended.
    """
    watch = FolderWatch(lock, file, on_gone, on_look, is_told)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
        if watch.has_gone:
            raise Unreachable(sentence(file)) from None


def sentence(file: Path) -> str:
    return (
        f"{file.parent} was removed while Conductor worked with it, so everything ends; what is done "
        "stands in the "
        "receipts: `conductor rebuild` gives the rest its jobs back"
    )


class FolderWatch(threading.Thread):
    def __init__(
        self,
        lock: int,
        file: Path,
        on_gone: Callable[[], None],
        on_look: Callable[[], None],
        is_told: bool = True,
    ) -> None:
        super().__init__(name="state-watch", daemon=True)
        self._lock = lock
        self._file = file
        self._on_gone = on_gone
        self._on_look = on_look
        self._is_over, self._end = os.pipe()
        self._changes = FileChanges(file, is_told)
        self.has_gone = False

    def run(self) -> None:
        missed = 0
        with self._changes as changes:
            while self._waited(changes, AGAIN_S if missed else LOOK_EVERY_S):
                self._on_look()
                missed = missed + 1 if is_gone(self._lock, self._file) else 0
                # Twice: a folder that is moved to another disk, and linked to, is away for a moment.
                if missed == 2:
                    self._tell()
                    return

    def stop(self) -> None:
        os.write(self._end, b"!")
        if threading.current_thread() is not self:
            self.join()
            os.close(self._is_over)
            os.close(self._end)

    def _waited(self, changes: FileChanges, seconds: float) -> bool:
        """Until the file may be gone, or the time is over. False: the watch is to end."""
        ready = select.select([self._is_over, *changes.readable], [], [], seconds)[0]
        changes.forget()
        return self._is_over not in ready

    def _tell(self) -> None:
        self.has_gone = True
        self._on_gone()
        if _told.is_set():
            return
        _told.set()
        emit_event("state.lost", "{error}", file=str(self._file), error=sentence(self._file))
        # Two words: at once. Of two kinds, as two pending signals of one kind are one.
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)


def is_gone(lock: int, file: Path) -> bool:
    """Not by its inode: on some shares a file has another one each time. What cannot be looked at (a share
    that is away) is not gone."""
    try:
        file.stat()
        return os.fstat(lock).st_nlink == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False
