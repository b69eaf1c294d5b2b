"""One file under its final name: whole or not at all, never over what stands there, on every kind of file
system.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

from conductor.base.errors import NoSpace, PublishFailed
from conductor.base.files import cross_device_move
from conductor.model.receipt import OutputFact

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
_RENAME_NOREPLACE = 1


class Touched:
    """Folders with new names in them, held open, so that the very ones are synced: each once, at the end."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], int] = {}

    def add(self, folder: int) -> None:
        facts = os.fstat(folder)
        key = (facts.st_dev, facts.st_ino)
        if key not in self._open:
            self._open[key] = os.dup(folder)

    def sync(self) -> None:
        for folder in self._open.values():
            fsync(folder)

    def __enter__(self) -> Touched:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._open.values():
            os.close(folder)


@contextmanager
def opened(name: str, flags: int, folder: int) -> Generator[int]:
    """A regular file, not through a link, and without hanging on a FIFO in its place."""
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "what stands there is not a regular file")
        yield fd
    finally:
        os.close(fd)


class Translated:
    """OSError → the cause that the retry table knows, with the manifest's own name for the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError):
            return
        why = error.strerror or str(error)
        if error.errno in _NO_SPACE:
            raise NoSpace(f"no space to publish {self._path!r}: {why}") from None
        raise PublishFailed(f"cannot put {self._path!r} in place: {why}") from None


def fact_of(path: str, fd: int) -> OutputFact:
    with os.fdopen(os.dup(fd), "rb") as stream:
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return OutputFact(path=path, bytes=os.fstat(fd).st_size, sha256=digest)


def fsync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as e:
        # Some network file systems cannot sync a folder; the files in it are synced.
        if e.errno != errno.EINVAL:
            raise


def place(name: str, source: int, folder: int, stamp: str, sha256: str) -> bool:
    """`name` from the folder `source` into `folder`. False: something stands there. Atomic in every way there
    is.

    Where the two lie on different file systems a copy is made beside its place and is given the name.
    `stamp`: of the job, on that copy; `sha256`: what it has to be. Raises `OSError`."""
    try:
        return _given(name, source, name, folder)
    except OSError as e:
        if not cross_device_move.is_between_disks(e):
            raise
    if stat_of(name, folder) is not None:
        return False
    cross_device_move.sweep(stamp, folder)
    draft = cross_device_move.draft_name(stamp)
    try:
        if cross_device_move.copy(name, source, folder, draft) != sha256:
            raise OSError(errno.EIO, "what was read from its staging place is not what its body had written")
        return _given(draft, folder, name, folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)


def _given(name: str, source: int, target: str, folder: int) -> bool:
    """By a link, or by a rename that replaces nothing."""
    try:
        os.link(name, target, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        return True
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    try:
        return _rename_no_replace(name, source, target, folder)
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    return _rename_by_claim(name, source, target, folder)


def _rename_no_replace(name: str, source: int, target: str, folder: int) -> bool:
    """renameat2(RENAME_NOREPLACE): where there are no hard links (exFAT, some network shares)."""
    rename = (
        getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    )
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if rename(source, os.fsencode(name), folder, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    fault = ctypes.get_errno()
    if fault == errno.EEXIST:
        return False
    raise OSError(fault, os.strerror(fault))


def _rename_by_claim(name: str, source: int, target: str, folder: int) -> bool:
    """The last resort: an exclusively created claim decides who may rename.

    A claim left by an attempt that died in between is taken over: only the attempt that holds the lease is
    here, and an older one that wakes up finds the file.
    """
    claim = f".{target[:50]}.claim"
    with suppress(FileExistsError):
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder))
    try:
        if stat_of(target, folder) is not None:
            return False
        os.rename(name, target, src_dir_fd=source, dst_dir_fd=folder)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(claim, dir_fd=folder)


def stat_of(name: str, folder: int) -> os.stat_result | None:
    """None: nothing stands there."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
