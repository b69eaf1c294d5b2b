"""What a long job keeps from one attempt to the next, so that a killed one goes on where it was.

The folder `ROOT/.tmp/checkpoints/ID.ATTEMPT.TOKEN` belongs to one body at a time: an attempt takes it over by
renaming it. A body that still runs although its attempt was given up finds nothing under the old name, and
cannot write into what its successor reads.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.errors import JobError
from conductor.base.files import paths, safe_open
from conductor.model.receipt import number_of

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

#: Its own files begin with a dot.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: In the folder: the version of the code that wrote it.
_CODE = ".code"


class Checkpoint:
    """The state of a job that is under way. `folder` is for programs that keep files of their own."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        self._base = base

    def load(self, name: str = "state") -> bytes | None:
        """What was last saved under `name`, whole; None: nothing, or by other code of the task."""
        with suppress(FileNotFoundError):
            return (self.folder / _checked(name)).read_bytes()
        return None

    def save(self, data: bytes, name: str = "state") -> None:
        """Keep `data`. It is on disk when this returns; whoever dies meanwhile leaves the one before.

        Raises `JobError` when another attempt of the job has taken over.
        """
        draft = f".{_checked(name)}.draft"
        try:
            with safe_open.below(self._base, self.folder.relative_to(self._base).parts) as here:
                fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666, dir_fd=here)
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(fd)
                os.replace(draft, name, src_dir_fd=here, dst_dir_fd=here)
                os.fsync(here)
        except FileNotFoundError:
            raise _taken_over() from None


def folder_of(layout: Layout, job_id: str, body: str) -> Path:
    return Path(folder_name(layout, job_id, body))


def folder_name(layout: Layout, job_id: str, body: str) -> str:
    base = paths.root_folder(layout, layout.checkpoint_root)
    return f"{base}/{paths.STAGING}/{paths.CHECKPOINTS}/{job_id}.{body}"


def take(layout: Layout, job_id: str, body: str, code: str) -> Checkpoint:
    """What earlier attempts kept, now this body's own; a new folder where there is none.

    `code`: the version of the task's code. What another version wrote is dropped. Raises `JobError` when a
    later attempt has it, `OSError` when the disk refuses.
    """
    base = paths.root_folder(layout, layout.checkpoint_root)
    folder = folder_of(layout, job_id, body)
    with safe_open.below(base, (paths.STAGING, paths.CHECKPOINTS), make=True) as shelf:
        _take_over(shelf, job_id, folder.name, number_of(body))
    with safe_open.below(base, folder.relative_to(base).parts) as here:
        if _code(here) != code:
            _empty(here)
            _write_code(here, code)
    return Checkpoint(folder, base)


def _take_over(shelf: int, job_id: str, mine: str, number: int) -> None:
    bodies = [
        match[1] for name in os.listdir(shelf) if (match := re.fullmatch(rf"{job_id}\.([0-9].*)", name))
    ]
    for body in sorted(bodies, key=number_of, reverse=True):
        if f"{job_id}.{body}" == mine:
            return
        if number_of(body) > number:
            raise _taken_over()
        with suppress(FileNotFoundError):
            os.rename(f"{job_id}.{body}", mine, src_dir_fd=shelf, dst_dir_fd=shelf)
            return
    os.mkdir(mine, dir_fd=shelf)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise JobError(f"a checkpoint's name is letters, digits, `.`, `_` and `-`, not {name!r}")
    return name


def _taken_over() -> JobError:
    return JobError("the checkpoint belongs to a later attempt of this job: this one was given up")


def _code(here: int) -> str | None:
    try:
        with os.fdopen(os.open(_CODE, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=here)) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write_code(here: int, code: str) -> None:
    with os.fdopen(os.open(_CODE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666, dir_fd=here), "w") as file:
        file.write(code)


def _empty(here: int) -> None:
    for entry in list(os.scandir(here)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.name, dir_fd=here)
        else:
            os.unlink(entry.name, dir_fd=here)
