"""A body that failed because the disk of its outputs is not there: that is the disk's fault, not the
job's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from conductor.base.errors import BadInput
from conductor.base.files import paths, safe_open
from conductor.model.spec import JobSpec
from workers.task_api.context import attempt_folder
from workers.task_api.failure_causes import AttemptFault, cut

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

#: What a disk or a share says that was unplugged, remounted, broken or is away. Sockets say some of it too.
AWAY = frozenset(
    {
        *(
            errno.EROFS,
            errno.EIO,
            errno.ESTALE,
            errno.ENOTCONN,
            errno.ETIMEDOUT,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
        ),
        *(errno.ENODEV, errno.ENXIO, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNABORTED, errno.ESHUTDOWN),
        *(errno.EACCES, errno.EPERM, errno.ENOENT),
    }
)
_WORDS = tuple(os.strerror(number) for number in sorted(AWAY - {errno.ENOENT}))
_TRY = ".try"


def of_roots(
    layout: Layout, spec: JobSpec, body: str, error: BaseException, fault: AttemptFault
) -> AttemptFault:
    """`fault`, or `publish_failed` where the error is a disk's and a root of the outputs cannot be written
    to.

    The roots are tried only then: a body may have met a bad input disk, or a server that does not answer."""
    if fault.cause != "task_error" or not spec.writes or not _is_of_a_disk(error):
        return fault
    for root in dict.fromkeys(paths.split(output.path)[0] for output in spec.writes):
        if why := _refusal(layout, root, spec.id, body):
            return AttemptFault(
                "publish_failed", cut(f"{root} cannot be written to: {why} ({fault.message})")
            )
    return fault


def _is_of_a_disk(error: BaseException) -> bool:
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in AWAY:
            return True
        # A program that met it has it among its last words.
        if any(words in f"{each}{getattr(each, 'stderr', '')}" for words in _WORDS):
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _refusal(layout: Layout, root: str, job_id: str, body: str) -> str:
    """Why nothing can be written where this body stages its outputs; empty where it can."""
    base = layout.roots[root].path
    parts = attempt_folder(layout, root, job_id, body).relative_to(base).parts
    try:
        with safe_open.below(base, parts, make=True) as folder:
            fd = os.open(_TRY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
            try:
                os.write(fd, b"?")
                os.fsync(fd)
            finally:
                os.close(fd)
                with suppress(OSError):
                    os.unlink(_TRY, dir_fd=folder)
    except OSError as e:
        return "" if e.errno in (errno.ENOSPC, errno.EDQUOT) else e.strerror or str(e)
    except BadInput as e:
        return str(e)
    return ""
