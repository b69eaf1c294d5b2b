"""The project's own Valkey: found, started when first needed, shared by all commands, gone with its last
user.

Three locks in the state folder decide everything; pid files only say whom to signal:
`start.lock` (starting and stopping, one at a time), `users.lock` (shared: who still needs the server) and
`server.lock` (inherited by the server itself, so that the kernel lets go of it in the instant it dies).
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from conductor.adapters.host.state_folder_watch import watched
from conductor.adapters.host.stopped_processes import is_stopped, wake
from conductor.adapters.redis.valkey_binary import binary_of, command_line
from conductor.adapters.redis.valkey_folder import (
    FULL,
    ServerFolder,
    full,
    is_full,
    place_of,
    with_room,
)
from conductor.base.errors import ConfigError, Unreachable
from conductor.base.files.layout import OwnServer
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event

#: How long a server that is up may take until it listens. Reading a long AOF is not in it: it answers
#: LOADING.
LISTEN_S = 15.0
#: A server that has not ended this long after SIGTERM is killed: the AOF has what it acknowledged.
STOP_S = 10.0
POLL_S = 0.005


# ── what the rest of the program calls ────────────────────────────────────────────────────────────────────


@contextmanager
def session(own: OwnServer, is_joining: bool = False) -> Generator[str]:
    """The server's URL, and the server for as long as the block lasts. The last one out shuts it down.

    A user that is killed leaves a server behind; the next command takes it over. Where the state folder is
    removed, users and server end. `is_joining`: for a part of what others have started; it makes no folder,
    and so no second ledger where theirs was removed (`Unreachable`).
    """
    place = place_of(own)
    if not is_joining:
        prepared(place)
    file = place.folder / "users.lock"
    try:
        with with_room(place.folder):
            users = os.open(file, os.O_RDWR | (0 if is_joining else os.O_CREAT), 0o600)
    except FileNotFoundError:
        raise Unreachable(f"{place.folder} is gone") from None
    try:
        with starting(place):
            fcntl.flock(users, fcntl.LOCK_SH)
            ensure_listening(place)
        server = Pid(place)
        # Workers are many, and end with their node.
        with watched(users, file, server.kill, server.look, is_told=not is_joining):
            try:
                yield place.url
            finally:
                with suppress(FileNotFoundError), starting(place):
                    if is_alone(users):
                        end(place)
    finally:
        os.close(users)


def revive(own: OwnServer) -> None:
    """For those in a session: start the server again if it was killed. Raises `Unreachable` where its folder
    is gone: another one beside it would be another ledger."""
    place = place_of(own)
    try:
        with starting(place):
            if not is_alive(place):
                words = "Valkey has ended, killed from outside perhaps (memory?): it is started again"
                emit_event("valkey.restarted", words)
            ensure_listening(place)
    except FileNotFoundError:
        raise Unreachable(f"{place.folder} is gone") from None


def ensure_running(own: OwnServer) -> str:
    """Start the server if it is not running, wait until it answers; its URL. Raises `ConfigError`,
    `Unreachable`.
    """
    place = prepared(place_of(own))
    with starting(place):
        ensure_listening(place)
    return place.url


def refuse_full(own: OwnServer) -> None:
    """`Unreachable` where the disk has no room: a server says so only from the second write on, and forgets
    the first one, which it took, with its end."""
    if words := fullness(own):
        raise Unreachable(words)


def fullness(own: OwnServer) -> str | None:
    """The sentence, where the disk of the project's own server has no room."""
    folder = place_of(own).folder
    return full(folder) if own.is_used and is_full(folder) else None


def is_running(own: OwnServer) -> bool:
    return is_alive(place_of(own))


def has_files(own: OwnServer) -> bool:
    """A server ran here once, or is just starting. Starts none, makes nothing."""
    folder = place_of(own).folder
    return (folder / "appendonlydir").is_dir() or is_running(own)


def stop(own: OwnServer) -> bool:
    """Shut the server down whoever uses it, and wait until it is gone. False when none was running."""
    place = place_of(own)
    if not place.folder.is_dir():
        return False
    with starting(place):
        return end(place)


def prepared(place: ServerFolder) -> ServerFolder:
    try:
        make_own(place.folder)
        # The AOF holds every line that was dispatched, and whoever opens the socket is the conductor.
        place.folder.chmod(0o700)
        (place.folder / "start.lock").touch(mode=0o600)
    except OSError as e:
        if e.errno in FULL:
            raise Unreachable(full(place.folder)) from None
        raise ConfigError(
            f"{place.folder} cannot be written to ({e.strerror}); set state_dir, or redis.url, in "
            "conductor.toml"
        ) from None
    return place


# ── locks ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def starting(place: ServerFolder) -> Generator[None]:
    """Raises `FileNotFoundError` where the place is not, or no longer, prepared."""
    lock = os.open(place.folder / "start.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def is_alone(users: int) -> bool:
    """Nobody else holds the shared lock. Asked under `start.lock`, where nobody can come in meanwhile."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(place: ServerFolder) -> bool:
    """The server, or a child of it that still writes to its files, holds `server.lock`."""
    try:
        lock = os.open(place.folder / "server.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not is_alone(lock)
    finally:
        os.close(lock)


# ── start and stop, both under start.lock ─────────────────────────────────────────────────────────────────


def ensure_listening(place: ServerFolder) -> None:
    with with_room(place.folder):
        _ensure_listening(place)


def _ensure_listening(place: ServerFolder) -> None:
    said = log_bytes(place)
    is_ours = not is_alive(place)
    if is_ours:
        start(place)
    deadline = time.monotonic() + LISTEN_S
    # One whose disk is full listens, too: what it holds can be read, and what it refuses it says.
    while (answer := ping(place.socket)) not in ("PONG", "MISCONF"):
        if answer == "LOADING":
            deadline = time.monotonic() + LISTEN_S
        if not is_alive(place) and not is_ours:
            # It was dying when we looked: killed a moment ago, and its lock not yet let go of.
            is_ours = True
            start(place)
        elif not is_alive(place):
            if is_full(place.folder):
                raise Unreachable(full(place.folder))
            raise Unreachable(
                f"Valkey ended while it started: {last_words(place, said)} (all of it in {place.log})"
            )
        elif not answer:
            wake_stopped(place)
        if time.monotonic() > deadline:
            raise Unreachable(
                f"Valkey does not answer on {place.socket}; look into {place.log}, or `conductor down`"
            )
        time.sleep(POLL_S)
    if is_ours:
        place.keep_note(str(binary_of(place)))


def start(place: ServerFolder) -> None:
    """The server in a session of its own (a Ctrl-C at the terminal is not for it), with `server.lock` in
    hand.
    """
    place.pid_file.unlink(missing_ok=True)
    place.choose_socket()
    lock = os.open(place.folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = subprocess.Popen(
            command_line(binary_of(place), place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
            cwd=place.folder,
        )
    except OSError as e:
        raise ConfigError(f"Valkey cannot be started: {e}; install valkey-server, or set redis.url") from None
    finally:
        os.close(lock)
    # Reaps it when it ends before us.
    threading.Thread(target=server.wait, name="valkey-reaper", daemon=True).start()


def end(place: ServerFolder) -> bool:
    if not is_alive(place):
        return False
    for sign in (signal.SIGTERM, signal.SIGKILL):
        send(place, sign)
        if wait_until(lambda: not is_alive(place), STOP_S):
            place.socket.unlink(missing_ok=True)
            return True
    raise Unreachable(f"Valkey (pid in {place.pid_file}) does not end, not even killed; is its disk hanging?")


class Pid:
    """The server's, remembered for when its files are gone: it would live on, and nobody could find it."""

    def __init__(self, place: ServerFolder) -> None:
        self._place = place
        self._pid = 0
        self.look()

    def look(self) -> None:
        """It is another one after a restart."""
        self._pid = pid_of(self._place) or self._pid

    def kill(self) -> None:
        import psutil

        with suppress(psutil.Error, OSError):
            if psutil.Process(self._pid).name() == binary_of(self._place).name:
                os.kill(self._pid, signal.SIGKILL)


def send(place: ServerFolder, sign: signal.Signals) -> None:
    """`server.lock` is held, so the pid that this server wrote is still its own."""
    # It writes the file a moment after it starts.
    wait_until(lambda: pid_of(place) is not None, 1.0)
    if pid := pid_of(place):
        with suppress(ProcessLookupError):  # it is just going; the caller looks again
            os.kill(pid, sign)
            wake(pid)


def pid_of(place: ServerFolder) -> int | None:
    """By the file that it writes; where the disk had no room for that, by who listens on its socket."""
    try:
        return int(place.pid_file.read_text())
    except (OSError, ValueError):
        return listener(place.socket)


def listener(path: Path) -> int | None:
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, suppress(OSError):
        line.settimeout(0.2)
        line.connect(str(path))
        return struct.unpack(
            "3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )[0]
    return None


def wake_stopped(place: ServerFolder) -> None:
    """Somebody stopped it (SIGSTOP): all that it holds is still there."""
    with suppress(OSError, ValueError):
        if is_stopped(pid := int(place.pid_file.read_text())):
            emit_event("valkey.woken", "Valkey (pid {pid}) stood still, stopped by a signal: woken", pid=pid)
            wake(pid)


def wait_until(is_true: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def ping(path: Path) -> str:
    """PONG, LOADING, or empty when nobody listens. By hand: importing redis costs more than starting a
    server.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(2.0)
        try:
            line.connect(str(path))
            line.sendall(b"PING\r\n")
            answer = line.recv(256).decode(errors="replace")
        except OSError:
            return ""
    return "PONG" if answer.startswith("+PONG") else answer.lstrip("-").split(" ")[0]


def log_bytes(place: ServerFolder) -> int:
    try:
        return place.log.stat().st_size
    except OSError:
        return 0


def last_words(place: ServerFolder, since: int) -> str:
    """The server's last line of complaint since its log was that long, without its pid and date."""
    try:
        lines = place.log.read_bytes()[since:].decode(errors="replace").splitlines()
    except OSError:
        return "it wrote no log"
    silent = "it said nothing, as one that is killed (is the memory full?)"
    return next((line.split("# ")[-1] for line in reversed(lines) if "# " in line), silent)
