"""Folders opened component by component, no link followed: what was checked is what is used, whoever swaps
names.

A path looked at and then opened by its name can lead elsewhere in between; a descriptor cannot.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from conductor.base.errors import BadInput

T = TypeVar("T")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: So often a folder may be removed while somebody is about to write into it.
MOST_TRIES = 20
#: macOS: fcntl F_GETPATH, and the length of the answer.
_F_GETPATH, _MAXPATH = 50, 1024


@contextmanager
def below(
    base: Path, parts: Sequence[str], *, make: bool = False, on_made: Callable[[int], None] = lambda fd: None
) -> Generator[int]:
    """A descriptor of the folder `base/parts…`. Only `base` itself may be reached through links.

    `make`: what is missing is made, and `on_made` gets the parent's descriptor. Raises `BadInput` at a link
    or at something that is no folder, `OSError` otherwise.
    """
    if make:
        base.mkdir(parents=True, exist_ok=True)
        here = again_if_removed(lambda: _deepest(base, parts, True, on_made))
    else:
        here = _deepest(base, parts, False, on_made)
    try:
        yield here
    finally:
        os.close(here)


def again_if_removed(act: Callable[[], T]) -> T:
    """What makes folders and writes into them, once more where `FileNotFoundError` tells that one of them was
    removed at that moment: the clean-up takes folders that have been empty for long."""
    for _ in range(MOST_TRIES - 1):
        with suppress(FileNotFoundError):
            return act()
    return act()


def _deepest(base: Path, parts: Sequence[str], make: bool, on_made: Callable[[int], None]) -> int:
    here = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(parts, start=1):
            deeper = _enter(here, part, make, on_made, base.joinpath(*parts[:depth]))
            os.close(here)
            here = deeper
    except BaseException:
        os.close(here)
        raise
    return here


def _enter(parent: int, name: str, make: bool, on_made: Callable[[int], None], where: Path) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            on_made(parent)
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as e:
        # A link answers ELOOP or ENOTDIR, by system.
        if e.errno in (errno.ELOOP, errno.ENOTDIR):
            raise BadInput(
                f"{where} is a symbolic link or no folder: outputs are not written through it"
            ) from None
        raise


def create(base: Path, parts: Sequence[str]) -> BinaryIO:
    """A new or emptied file `base/parts…` to write; its folders are made. Raises as `below`."""
    with below(base, parts[:-1], make=True) as folder:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(parts[-1], flags, 0o666, dir_fd=folder)
        except OSError as e:
            if e.errno == errno.ELOOP:
                raise BadInput(
                    f"{base.joinpath(*parts)} is a symbolic link: outputs are not written through it"
                ) from None
            raise
    os.ftruncate(fd, 0)
    return os.fdopen(fd, "w+b")


def write_whole(file: Path, content: bytes) -> None:
    """Under its name stands all of it or what stood there before. Raises `OSError`."""
    with written_whole(file) as stream:
        stream.write(content)


@contextmanager
def written_whole(file: Path, is_private: bool = False) -> Generator[BinaryIO]:
    """A new file, by another name until all of it is on disk; then it takes the place of what stood under
    its own. Of a block that raises nothing stays. `is_private`: nobody else may read it. Raises `OSError`."""
    with drafted(file.parent, f".{file.name}.", is_private) as (stream, draft):
        yield stream
        settle(stream)
        draft.replace(file)


@contextmanager
def drafted(folder: Path, prefix: str, is_private: bool = False) -> Generator[tuple[BinaryIO, Path]]:
    """The same for who knows the file's name only at its end: the block puts it there after `settle`."""
    handle, name = tempfile.mkstemp(prefix=prefix, dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            if not is_private:
                os.fchmod(stream.fileno(), usual_mode())
            yield stream, Path(name)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def settle(stream: BinaryIO) -> None:
    """All that was written is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def remove(base: Path, parts: Sequence[str]) -> None:
    """The folder `base/parts…` and all in it. Never through a link; what is not there is no error."""
    with suppress(FileNotFoundError, BadInput), below(base, parts[:-1]) as folder:
        shutil.rmtree(parts[-1], ignore_errors=True, dir_fd=folder)


def make_own(folder: Path) -> None:
    """A folder in which only we write, whatever the umask says, with those above it that are missing: nothing
    is taken from where others could put something (`conductor.base.project.ownership`). One that is there
    stays as it is."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o755, exist_ok=True)


def write_for_ourselves() -> None:
    """From now on nothing that this process makes, or one that it starts, can be written by everybody (umask
    0, as in many containers). What a group may do is left to the operator: a NAS is often shared by one."""
    os.umask(os.umask(0o002) | 0o002)


def usual_mode() -> int:
    """Of a new file: what the umask leaves. For one that was made for its owner alone, until all of it was
    there.
    """
    # it cannot be asked without being set: to the strictest, for what other threads make now
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def place_of(fd: int) -> str | None:
    """Where an open file really lies at this instant; None where the system does not tell."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return (
                fcntl.fcntl(fd, _F_GETPATH, bytes(_MAXPATH)).rstrip(b"\0").decode("utf-8", "surrogateescape")
            )
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return None
