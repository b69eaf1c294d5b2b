"""Where a project's own Valkey keeps its files, and where its socket is: a path of a socket is a short
one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from conductor.base.errors import ConfigError, Unreachable
from conductor.base.files.layout import OwnServer

#: sun_path holds 104 bytes on macOS and 108 on Linux, the closing zero among them.
SOCKET_PATH_BYTES = 104
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: With less than this free a server that does not start has found its disk full.
LEAST_BYTES = 1 << 16


@dataclass(frozen=True)
class ServerFolder:
    """Where one project's server keeps its files."""

    folder: Path
    appendfsync: str

    @property
    def socket(self) -> Path:
        """In the state folder where the name fits; else where the server was told to listen, by whoever
        started it: a cron job and a desktop have not the same runtime folder."""
        near = self.folder / "valkey.sock"
        if fits(near):
            return near
        try:
            return Path(self.socket_note.read_text(encoding="utf-8"))
        except OSError:
            return near  # nobody started one yet: nobody answers there

    def choose_socket(self) -> None:
        """Before a start."""
        near = self.folder / "valkey.sock"
        if not fits(near):
            name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16] + ".sock"
            self.socket_note.write_text(str(runtime_dir() / name), encoding="utf-8")

    @property
    def socket_note(self) -> Path:
        """Where the socket is, when it is not here."""
        return self.folder / "socket"

    @property
    def url(self) -> str:
        # A «#», «?» or «%20» in a folder's name is a letter of it, not one of the address.
        return f"unix://{quote(str(self.socket))}"

    @property
    def log(self) -> Path:
        return self.folder / "valkey.log"

    @property
    def note(self) -> Path:
        """Which program is the server."""
        return self.folder / "server"

    def keep_note(self, program: str) -> None:
        """Whole or not at all. Where there is no room for it, the next start looks for a program anew."""
        draft = self.note.with_suffix(".draft")
        with suppress(OSError):
            draft.write_text(program, encoding="utf-8")
            draft.replace(self.note)
            return
        with suppress(OSError):
            draft.unlink(missing_ok=True)

    @property
    def pid_file(self) -> Path:
        return self.folder / "valkey.pid"


@contextmanager
def with_room(folder: Path) -> Generator[None]:
    """`Unreachable`, in words, where the disk of `folder` is full."""
    try:
        yield
    except OSError as e:
        if e.errno in FULL:
            raise Unreachable(full(folder)) from None
        raise


def full(folder: Path) -> str:
    return f"the disk that holds {folder} is full, so Valkey can keep nothing: make room there"


def is_full(folder: Path) -> bool:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return False
    # What is kept back for root is root's.
    free = facts.f_bavail if os.geteuid() else facts.f_bfree
    return free * facts.f_frsize < LEAST_BYTES


def place_of(own: OwnServer) -> ServerFolder:
    return ServerFolder(folder=own.folder, appendfsync=own.appendfsync)


def fits(path: Path) -> bool:
    return len(os.fsencode(path)) < SOCKET_PATH_BYTES


def runtime_dir() -> Path:
    """A short folder that only this user can enter, made on first use."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(given) if given and Path(given).is_dir() else Path(tempfile.gettempdir())
    folder = base / f"conductor-{os.getuid()}"
    if not fits(folder / ("x" * 24)):
        folder = Path("/tmp") / folder.name
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    # In a folder all may write to, somebody else may have made it, or a link, before us.
    if folder.is_symlink() or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise ConfigError(f"{folder} is not a private folder of yours; remove it, or set XDG_RUNTIME_DIR")
    return folder
