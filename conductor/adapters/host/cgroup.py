"""A cgroup (version 2) for each worker's child, where one may be made: whatever its bodies start stays in it.

Neither a session of its own, nor an emptied environment, nor a parent that is gone leads out of it, and one
write ends all that is in it. Elsewhere (version 1, macOS, no write access) there is none; then a family is
known by its session, its parents and a mark in its environment (`processes.kill_session`), which are looked
at in any case.

The child moves itself, before it says that it is ready: the kernel lets the forks and exits of the whole host
come to their end before it moves a process (10 to 70 ms), and nobody waits yet for a child that is new.
Nothing here waits for the end of a process that was killed: a folder that is not empty yet is removed at the
next occasion.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from conductor.adapters.host.known_process import pid_namespace

_PROCS, _KILL, _TYPE = "cgroup.procs", "cgroup.kill", "cgroup.type"
#: What was killed is gone in a moment.
_LOOK_EVERY_S = 0.005
#: Or it hangs in the kernel: a node's sweep removes the folder later.
_LAST_WAIT_S = 1.0
_numbers = count(1)


class ChildCgroup:
    """Of the child that one worker has at a time. `kill` from any thread."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._not_empty: list[Path] = []

    def make(self) -> int:
        """For the next child, which hands it to `enter`: a descriptor, to be closed by the caller. -1:
        none.
        """
        self.end()
        try:
            if (own := own_folder()) is None:
                return -1
            folder = _make_below(own)
        except OSError:
            return -1
        self._folder = folder
        try:
            if not is_fit(folder):
                raise OSError
            return os.open(folder / _PROCS, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self.end()
            return -1

    def kill(self) -> None:
        """SIGKILL to all that is in it, at once, so that none of them can start another one meanwhile."""
        if (folder := self._folder) is not None:
            _kill(folder)

    def end(self) -> None:
        """The same, and it is removed: the child is gone."""
        if self._folder is not None:
            _kill(self._folder)
            self._not_empty.append(self._folder)
            self._folder = None
        self._not_empty = [folder for folder in self._not_empty if not _remove(folder)]

    def close(self) -> None:
        """The same at a worker's own end, and what was killed is waited for: a process may be counted for a
        moment after it was reaped."""
        until = time.monotonic() + _LAST_WAIT_S
        self.end()
        while self._not_empty and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
            self.end()


def enter(entry: int) -> None:
    """This process and all that it will start. `entry` (of `ChildCgroup.make`) is closed."""
    if entry < 0:
        return
    try:
        # It may be gone with its worker; then the kernel ends this process too.
        with suppress(OSError):
            os.write(entry, b"0")
    finally:
        os.close(entry)


def end_of(worker: int) -> None:
    """SIGKILL to all in the cgroups of that worker's children. The worker is gone, or goes."""
    for folder, pid, _ in ours():
        if pid == worker:
            _kill(folder)
            _remove(folder)


def sweep(limit_s: float = 0.0) -> int:
    """Of workers that are gone, with their node perhaps: all that they left is killed; how many that were.

    `limit_s`: so long their end is waited for, so that no folder is left."""
    killed, until = 0, time.monotonic() + limit_s
    while folders := [folder for folder, pid, started in ours() if _started(pid) != started]:
        killed = max(killed, sum(map(_kill, folders)))
        folders = [folder for folder in folders if not _remove(folder)]
        if not folders or time.monotonic() >= until:
            break
        time.sleep(_LOOK_EVERY_S)
    return killed


def why_none() -> str:
    """Why no cgroup can be made here; "" where one can."""
    try:
        if (own := own_folder()) is None:
            return "no cgroup of version 2 is mounted here"
        # Whoever moves a process has to be allowed to write here, in what both places have in common.
        os.close(os.open(own / _PROCS, os.O_WRONLY | os.O_CLOEXEC))
        probe = _make_below(own)
        try:
            return "" if is_fit(probe) else f"{own} is threaded, or the kernel is older than 5.14"
        finally:
            probe.rmdir()
    except OSError as e:
        return f"{e.filename or 'the cgroup'} cannot be written: {e.strerror or e}"


def own_folder() -> Path | None:
    """The one of version 2 that this process lies in. Read anew each time: a process can be moved."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return folder_in(own.splitlines(), mounts.splitlines())


def folder_in(own: Sequence[str], mounts: Sequence[str]) -> Path | None:
    """Of the lines of /proc/self/cgroup and /proc/self/mountinfo. Pure."""
    path = next((Path(line[3:]) for line in own if line.startswith("0::")), None)
    mount = next((line.split()[3:5] for line in mounts if " - cgroup2 " in line), None)
    # In a container only a part of the tree may be mounted.
    if path is None or mount is None or not path.is_relative_to(mount[0]):
        return None
    return Path(mount[1]) / path.relative_to(mount[0])


def is_fit(folder: Path) -> bool:
    """Processes can be moved into it, and ended with one write."""
    return (folder / _TYPE).read_text(encoding="ascii").strip() == "domain" and (folder / _KILL).exists()


def _make_below(own: Path) -> Path:
    """Its name says whose it is: a pid is given out again, and means something in its own name space
    alone.
    """
    pid = os.getpid()
    folder = own / f"conductor-{pid_namespace()}-{pid}-{_started(pid)}-{next(_numbers)}"
    folder.mkdir()
    return folder


def ours() -> Iterator[tuple[Path, int, int]]:
    """Each folder with its worker's pid and when that one was started."""
    with suppress(OSError):
        names = re.compile(rf"conductor-{pid_namespace()}-(\d+)-(\d+)-\d+")
        for folder in [] if (own := own_folder()) is None else own.iterdir():
            if name := names.fullmatch(folder.name):
                yield folder, int(name[1]), int(name[2])


def _started(pid: int) -> int:
    """In the kernel's ticks since the host's start; -1 when there is no such process, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


def _kill(folder: Path) -> int:
    """How many got it."""
    try:
        pids = (folder / _PROCS).read_text(encoding="ascii").split()
        (folder / _KILL).write_text("1", encoding="ascii")
    except OSError:
        return 0  # It is gone: somebody else removed it.
    return len(pids)


def _remove(folder: Path) -> bool:
    """False: somebody who was killed is not gone yet."""
    try:
        # A body may have made some of its own below it.
        for each, _, _ in os.walk(folder, topdown=False):
            Path(each).rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
