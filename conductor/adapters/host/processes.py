"""Child processes that die with their parent, and pid files that name a process beyond doubt.

Children get a session of their own: a Ctrl-C at the terminal is for the parent alone, which then decides; and
whatever is left of a dead child's session can be found and killed. Spawn from the main thread: on Linux the
death signal follows the thread that forked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
from loguru import logger

from conductor.adapters.host import cgroup
from conductor.adapters.host.known_process import KnownProcess, is_there, of_process
from conductor.adapters.host.stopped_processes import wake
from conductor.base.files.safe_open import make_own

TIED = Path(__file__).with_name("die_with_parent.py")
#: A variable that names the session of the worker which a program was started for, however far it got from
#: it.
SESSION = "_CONDUCTOR_SESSION"


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """A child in its own session that gets SIGTERM when this process dies (on Linux; elsewhere it lives on).

    `argv[0]`: a full path. `env`: added to ours. `output`: where its stdout and stderr go, None: where ours
    go. `pass_fds`: descriptors of ours that it has too.
    """
    tie = (sys.executable, "-I", "-S", str(TIED), str(os.getpid())) if sys.platform == "linux" else ()
    return subprocess.Popen(
        [*tie, *argv],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=stdin,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
        pass_fds=pass_fds,
    )


def kill_session(session: int) -> int:
    """SIGKILL to all that is left of a child's session, the child included, and to what left that session and
    still carries its mark (`SESSION`); how many got it. Before them, to all that lies in a cgroup of that
    child's; and first of all to the child: it would take the end of what it watches for a failure of the job,
    and say so."""
    import psutil

    killed = 0
    with contextlib.suppress(OSError):
        if session != os.getpid() and os.getsid(session) == session:
            os.kill(session, signal.SIGKILL)
            killed += 1
    cgroup.end_of(session)
    for pid in psutil.pids():
        if pid == session:
            continue
        with contextlib.suppress(OSError):
            if pid != os.getpid() and (os.getsid(pid) == session or _is_marked(pid, session)):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return killed


def _is_marked(pid: int, session: int) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{SESSION}={session}".encode() in environment.split(b"\0")


def kill_tree(pid: int) -> None:
    """SIGKILL to a process, all below it, and what is left of the sessions of both."""
    import psutil

    try:
        below = [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        below = []
    for each in (pid, *below):
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)
        kill_session(each)


# ── pid files ─────────────────────────────────────────────────────────────────────────────────────────────


def write_pid(file: Path) -> None:
    """This process's pid file, whole or not at all."""
    make_own(file.parent)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_bytes(_record())
    draft.replace(file)


def note_pid(lock: int) -> None:
    """The same in a lock file that this process holds, which must stay the file that it is."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, _record(), 0)


def _record() -> bytes:
    return msgspec.json.encode(of_process(os.getpid()))


def remove_pid(file: Path) -> None:
    """Remove the file if it is still this process's own."""
    if live_pid(file) == os.getpid():
        file.unlink(missing_ok=True)


def live_pid(file: Path) -> int | None:
    """The pid in the file, if that very process still lives; or who holds the file's lock, where another
    version wrote the file in its own way and lives on."""
    try:
        record = msgspec.json.decode(file.read_bytes(), type=KnownProcess)
    except OSError:
        return None
    except msgspec.DecodeError:
        return lock_holder(file)
    return record.pid if is_there(record) else lock_holder(file)


def lock_holder(file: Path) -> int | None:
    """Who holds the `flock` of that file, as the kernel tells it; None: nobody, or none of our own."""
    try:
        inode, lines = file.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        # «1: FLOCK  ADVISORY  WRITE 4711 08:01:131073 0 EOF»
        words = line.split()
        is_one = len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode)
        if is_one and _has_open(int(words[4]), file):
            return int(words[4])
    return None


def _has_open(pid: int, file: Path) -> bool:
    """Inodes are told apart by their disks, which some file systems name otherwise there."""
    with contextlib.suppress(OSError):
        return any(fd.exists() and fd.samefile(file) for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def wait_gone(file: Path, limit_s: float | None = None, poll_s: float = 0.05) -> bool:
    """Until the file's process is gone. Somebody else's child cannot be waited for, so this looks."""
    deadline = None if limit_s is None else time.monotonic() + limit_s
    while live_pid(file) is not None:
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


def stop_by_file(pid_file: Path, is_now: bool = False, *, limit_s: float = 20.0) -> bool:
    """Drain the process of a pid file, or stop it now, and wait until it is gone. False when there was none.

    Told to stop now, it is killed with all below it after `limit_s`."""
    pid = live_pid(pid_file)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    # One that is stopped would not hear of it, and we would wait for ever.
    wake(pid)
    if not is_now:
        logger.info(
            "Stopping pid {}: the jobs in hand are finished first (Ctrl-C: they go back to the backlog)", pid
        )
        with contextlib.suppress(KeyboardInterrupt):
            wait_gone(pid_file)
    if live_pid(pid_file) == pid:
        logger.info("Stopping pid {} at once: the jobs in hand go back to the backlog", pid)
        # Another number: two pending signals of one kind are one.
        os.kill(pid, signal.SIGINT)
        if not wait_gone(pid_file, limit_s):
            logger.warning("Pid {} did not end in {:g} s: it is killed, and all below it", pid, limit_s)
            kill_tree(pid)
            wait_gone(pid_file)
    return True


def detach(
    argv: Sequence[str], log: Path, pid_file: Path, limit_s: float, env: Mapping[str, str] | None = None
) -> str:
    """Start a program that outlives this one, and wait until it has written its pid file, which says it is
    ready.

    Returns "" or, when it ended instead or took too long (then it is ended), the last lines of what it said.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        start = sink.tell()
        child = subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    deadline = time.monotonic() + limit_s
    while live_pid(pid_file) != child.pid:
        if child.poll() is not None:
            return tail(log, start) or f"it ended with exit code {child.poll()}; look into {log}"
        if time.monotonic() > deadline:
            kill_tree(child.pid)
            child.wait()
            return f"{tail(log, start)}\nit was not ready within {limit_s:g} s, and was ended".lstrip()
        time.sleep(0.02)
    # Not ours to wait for any more.
    child.returncode = 0
    return ""


def tail(log: Path, start: int, lines: int = 5) -> str:
    with log.open("rb") as source:
        source.seek(start)
        return "\n".join(source.read()[-20_000:].decode(errors="replace").splitlines()[-lines:])
