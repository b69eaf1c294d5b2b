"""Staged files → their final names: whole or not at all, once. The first attempt to publish a file wins."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

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
_AT_FDCWD = -100


def publish(settings: Settings, spec: JobSpec, attempt: int) -> tuple[OutputFact, ...]:
    """Put every declared output in place. On disk when this returns.

    A file that an earlier attempt published stands, and its own hash is what is returned. Raises `JobError` for
    an output the body did not write, `NoSpace`, `PublishFailed`, and `BadInput` where another job's file stands.
    """
    pairs = [(output.path, _staged(settings, spec.id, attempt, output.path)) for output in spec.writes]
    touched: set[Path] = set()
    facts = tuple(_publish_one(settings, spec.id, path, file, touched) for path, file in pairs)
    for folder in touched:
        with _translated(str(folder)):
            _fsync(folder, os.O_RDONLY)
    return facts


def _staged(settings: Settings, job_id: str, attempt: int, path: str) -> Path:
    root, relative = paths.split(path)
    file = staged(attempt_folder(settings, root, job_id, attempt), relative)
    try:
        is_file = stat.S_ISREG(file.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        check_mounted(settings, root)
        raise JobError(f"the task ended well but did not write its output {path!r}") from None
    if not is_file:
        raise JobError(f"the task's output {path!r} is not a regular file")
    return file


def _publish_one(settings: Settings, job_id: str, path: str, file: Path, touched: set[Path]) -> OutputFact:
    check_mounted(settings, paths.split(path)[0])
    final = paths.resolve(settings, path, for_writing=True)
    with _translated(path):
        fact = _fact(path, file)
        _fsync(file, os.O_RDWR)
        _mark(file, job_id)
        _make_folders(final.parent, touched)
        touched.add(final.parent)
        if _place(file, final):
            return fact
        standing = _fact(path, final)
    if standing.sha256 != fact.sha256 and (maker := _maker(final)) not in (None, job_id):
        raise BadInput(f"{path!r} is there already, made by job {maker}: remove it, or plan another name")
    return standing


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


def _fact(path: str, file: Path) -> OutputFact:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return OutputFact(path=path, bytes=os.fstat(stream.fileno()).st_size, sha256=digest)


def _fsync(path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    except OSError as e:
        # Some network file systems cannot sync a folder; the files in it are synced.
        if e.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def _make_folders(folder: Path, touched: set[Path]) -> None:
    """Create what is missing; a new folder's name is on disk only once its parent is synced."""
    here = folder
    while not here.exists():
        touched.add(here.parent)
        here = here.parent
    folder.mkdir(parents=True, exist_ok=True)


# ── placing: never over an existing file ──────────────────────────────────────────────────────────────────


def _place(file: Path, final: Path) -> bool:
    """Give `file` its final name. False: a file stands there already. Atomic in every way it can be done."""
    try:
        os.link(file, final, follow_symlinks=False)
        return True
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    try:
        return _rename_no_replace(file, final)
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    return _rename_by_claim(file, final)


def _rename_no_replace(file: Path, final: Path) -> bool:
    """renameat2(RENAME_NOREPLACE): where there are no hard links (exFAT, some network shares)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if rename(_AT_FDCWD, os.fsencode(file), _AT_FDCWD, os.fsencode(final), _RENAME_NOREPLACE) == 0:
        return True
    fault = ctypes.get_errno()
    if fault == errno.EEXIST:
        return False
    raise OSError(fault, os.strerror(fault))


def _rename_by_claim(file: Path, final: Path) -> bool:
    """The last resort: an exclusively created claim decides who may rename.

    A claim left by an attempt that died in between is taken over: only the attempt that holds the lease is here,
    and an older one that wakes up finds the file.
    """
    claim = final.with_name(f".{final.name[:200]}.claim")
    with suppress(FileExistsError):
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        if final.exists():
            return False
        file.rename(final)
        return True
    finally:
        claim.unlink(missing_ok=True)


def _mark(file: Path, job_id: str) -> None:
    if sys.platform == "linux":
        with suppress(OSError):
            os.setxattr(file, _MADE_BY, job_id.encode("ascii"))


def _maker(file: Path) -> str | None:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.getxattr(file, _MADE_BY).decode("ascii", "replace")
    return None


# ── what attempts leave behind ────────────────────────────────────────────────────────────────────────────


def folders(settings: Settings, spec: JobSpec, attempt: int) -> tuple[Path, ...]:
    """Every folder this attempt may write to."""
    return tuple(attempt_folder(settings, root, spec.id, attempt) for root in _roots(settings, spec))


def clean(settings: Settings, spec: JobSpec, attempts: Iterable[int]) -> None:
    """Remove what these attempts have staged."""
    for number in attempts:
        for folder in folders(settings, spec, number):
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)


def _roots(settings: Settings, spec: JobSpec) -> list[str]:
    named = [paths.split(output.path)[0] for output in spec.writes]
    return [root for root in dict.fromkeys(("scratch", *named)) if root in settings.roots]
