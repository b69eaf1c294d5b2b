"""Staged files → their final names: whole or not at all, once. The first attempt to publish a file wins."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from conductor import folders as folders_of
from conductor import paths
from conductor.errors import BadInput, JobError, NoSpace, PublishFailed
from conductor.model.receipt import OutputFact
from conductor.model.spec import JobSpec
from workers.context import attempt_folder, check_mounted, staged

if TYPE_CHECKING:
    from conductor.settings import Settings

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
#: Which job made a file; kept by most file systems, needed by none.
_MADE_BY = "user.conductor.job"
_RENAME_NOREPLACE = 1


def publish(settings: Settings, spec: JobSpec, body: str) -> tuple[OutputFact, ...]:
    """Put every declared output in place. On disk when this returns.

    A file that an earlier attempt published stands, and its own hash is what is returned. Raises `JobError` for
    an output the body did not write, `NoSpace`, `PublishFailed`, and `BadInput` where another job's file stands.
    """
    pairs = [(output.path, _staged(settings, spec.id, body, output.path)) for output in spec.writes]
    with Touched() as touched:
        facts = tuple(_publish_one(settings, spec.id, path, file, touched) for path, file in pairs)
        with _translated(", ".join(path for path, _ in pairs)):
            touched.sync()
    return facts


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
            _fsync(folder)

    def __enter__(self) -> Touched:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._open.values():
            os.close(folder)


def _staged(settings: Settings, job_id: str, body: str, path: str) -> Path:
    root, relative = paths.split(path)
    file = staged(attempt_folder(settings, root, job_id, body), relative)
    try:
        is_file = stat.S_ISREG(file.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        check_mounted(settings, root)
        raise JobError(f"the task ended well but did not write its output {path!r}") from None
    if not is_file:
        raise JobError(f"the task's output {path!r} is not a regular file")
    return file


def _publish_one(settings: Settings, job_id: str, path: str, file: Path, touched: Touched) -> OutputFact:
    check_mounted(settings, paths.split(path)[0])
    paths.resolve(settings, path, for_writing=True)
    root, relative = paths.split(path)
    base, (*parts, name) = paths.root_folder(settings, root), relative.split("/")
    # By descriptor from here on: a folder swapped for a link after the look above leads nowhere.
    with _translated(path), folders_of.below(base, file.relative_to(base).parts[:-1]) as source:
        with _opened(file.name, os.O_RDWR, source) as staged_fd:
            fact = _fact(path, staged_fd)
            _fsync(staged_fd)
            _mark(staged_fd, job_id)
        with folders_of.below(base, parts, make=True, on_made=touched.add) as folder:
            touched.add(folder)
            if _place(name, source, folder):
                return fact
            with _opened(name, os.O_RDONLY, folder) as final_fd:
                standing, maker = _fact(path, final_fd), _maker(final_fd)
    if standing.sha256 != fact.sha256 and maker not in (None, job_id):
        raise BadInput(f"{path!r} is there already, made by job {maker}: remove it, or plan another name")
    return standing


@contextmanager
def _opened(name: str, flags: int, folder: int) -> Generator[int]:
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "what stands there is not a regular file")
        yield fd
    finally:
        os.close(fd)


class _translated:
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
        if error.errno == errno.EXDEV:
            why = "it lies on another file system than its root; declare that folder as a root of its own"
        raise PublishFailed(f"cannot put {self._path!r} in place: {why}") from None


def _fact(path: str, fd: int) -> OutputFact:
    with os.fdopen(os.dup(fd), "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return OutputFact(path=path, bytes=os.fstat(fd).st_size, sha256=digest)


def _fsync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as e:
        # Some network file systems cannot sync a folder; the files in it are synced.
        if e.errno != errno.EINVAL:
            raise


# ── placing: never over an existing file ──────────────────────────────────────────────────────────────────


def _place(name: str, source: int, folder: int) -> bool:
    """`name` from the folder `source` into `folder`. False: something stands there. Atomic in every way there is."""
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        return True
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    try:
        return _rename_no_replace(name, source, folder)
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    return _rename_by_claim(name, source, folder)


def _rename_no_replace(name: str, source: int, folder: int) -> bool:
    """renameat2(RENAME_NOREPLACE): where there are no hard links (exFAT, some network shares)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if rename(source, os.fsencode(name), folder, os.fsencode(name), _RENAME_NOREPLACE) == 0:
        return True
    fault = ctypes.get_errno()
    if fault == errno.EEXIST:
        return False
    raise OSError(fault, os.strerror(fault))


def _rename_by_claim(name: str, source: int, folder: int) -> bool:
    """The last resort: an exclusively created claim decides who may rename.

    A claim left by an attempt that died in between is taken over: only the attempt that holds the lease is here,
    and an older one that wakes up finds the file.
    """
    claim = f".{name[:50]}.claim"
    with suppress(FileExistsError):
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder))
    try:
        if _stands(name, folder):
            return False
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=folder)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(claim, dir_fd=folder)


def _stands(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _mark(fd: int, job_id: str) -> None:
    if sys.platform == "linux":
        with suppress(OSError):
            os.setxattr(fd, _MADE_BY, job_id.encode("ascii"))


def _maker(fd: int) -> str | None:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.getxattr(fd, _MADE_BY).decode("ascii", "replace")
    return None


# ── what attempts leave behind ────────────────────────────────────────────────────────────────────────────


def folders(settings: Settings, spec: JobSpec, body: str) -> tuple[Path, ...]:
    """Every folder this body may write to."""
    return tuple(attempt_folder(settings, root, spec.id, body) for root in _roots(settings, spec))


def bodies(settings: Settings, spec: JobSpec) -> frozenset[str]:
    """Those of this job that have left a folder on any of its roots."""
    staging = (paths.root_folder(settings, root) / paths.STAGING for root in _roots(settings, spec))
    found = (each.name.removeprefix(f"{spec.id}.") for folder in staging for each in folder.glob(f"{spec.id}.*"))
    return frozenset(body for body in found if body.partition(".")[0].isdigit())


def clean(settings: Settings, spec: JobSpec, those: Iterable[str]) -> None:
    """Remove what these bodies have staged."""
    for body in those:
        for folder in folders(settings, spec, body):
            if folder.exists():
                folders_of.remove(folder.parent.parent, (paths.STAGING, folder.name))


def _roots(settings: Settings, spec: JobSpec) -> list[str]:
    named = [paths.split(output.path)[0] for output in spec.writes]
    return [root for root in dict.fromkeys(("scratch", *named)) if root in settings.roots]
