"""A file from one folder into another that lies on another file system: by copy beside its place, and whole.

A pool of disks (mergerfs, unionfs) and folders mounted below a root answer EXDEV to links and renames between
two of their folders, although it is one tree to look at.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import suppress

from conductor.base.files import output_mark

_PIECE = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PART = ".part"


def is_between_disks(error: OSError) -> bool:
    return error.errno == errno.EXDEV


def draft_name(stamp: str) -> str:
    """Of a copy that is not whole yet. `stamp`: whose it is."""
    return f".{stamp}.{secrets.token_hex(4)}{_PART}"


def sweep(stamp: str, folder: int) -> None:
    """Remove the drafts that a copier with this stamp left when it was killed."""
    for name in os.listdir(folder):
        if name.startswith(f".{stamp}.") and name.endswith(_PART):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


def copy(name: str, source: int, folder: int, draft: str) -> str:
    """The regular file `name` of the folder `source` as `draft` in `folder`, on disk and with its mark; its
    SHA-256.

    Raises `OSError`; nothing of it is left then."""
    digest, fd = hashlib.sha256(), os.open(name, _READ, dir_fd=source)
    try:
        new = os.open(draft, _NEW, os.fstat(fd).st_mode & 0o777, dir_fd=folder)
        try:
            while piece := os.read(fd, _PIECE):
                digest.update(piece)
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(new, rest) :]
            if (mark := output_mark.read(fd)) is not None:
                output_mark.mark(new, mark)
            os.fsync(new)
        except BaseException:
            os.unlink(draft, dir_fd=folder)
            raise
        finally:
            os.close(new)
    finally:
        os.close(fd)
    return digest.hexdigest()


def move(name: str, source: int, folder: int) -> None:
    """Rename, or else copy and remove. What stands there is replaced, as a rename does. Raises `OSError`."""
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=folder)
    except OSError as e:
        if not is_between_disks(e):
            raise
        draft = draft_name("moved")
        copy(name, source, folder, draft)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.unlink(name, dir_fd=source)
