"""Removes files that nobody needs any more, once the ledger has said that they are gone. Noted on disk, then
removed.

Redis is not trusted with what is deleted: only a regular file below an ephemeral root, of the size its
receipt has, and made by the very job: by its mark, or where the file system keeps none, by the job's id in
its path.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from conductor.base.errors import BadInput
from conductor.base.files import output_mark, paths
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import below
from conductor.base.logs.events import emit_event
from conductor.core.chains.transfers import is_copy
from conductor.model.chains import RemovableFile
from conductor.ports import Ledger
from conductor.record import removal_notes

#: What the ledger confirmed is acted upon for so long: its writer may be sent to make it again.
CONFIRMED_S = 3.0

#: Tells a file from one that was made in its place.
Identity = tuple[int, int]


class NotRemoved(Exception):
    """This file is not removed; why not."""


def finish(layout: Layout, ledger: Ledger, node: str, now: float) -> int:
    """Remove what the ledger has told this node to; how many files did. Raises `Unreachable`, `OSError` where
    the note cannot be written.

    Broken off at any point it is called again: what is noted and there is removed, what is not there is done.
    """
    roots = layout.ephemeral_roots()
    facts = ledger.files.begin_removal(node)

    def goes(path: str) -> bool:
        return paths.split(path)[0] in roots or is_copy(path)

    usable = [fact for fact in facts if not goes(fact.path) or is_mounted(layout, fact.path)]
    found = {fact.path: seen for fact in usable if goes(fact.path) and (seen := may_go(layout, fact))}
    going = [fact for fact in usable if fact.path in found]
    removal_notes.note(layout.receipts_dir, node, (noted(fact, now) for fact in going))
    # Somebody may have sent its writer to make it again while this was looked at: then it is not ours any
    # more.
    still = set(ledger.files.begin_removal(node)) if going else set[RemovableFile]()
    confirmed_at = time.monotonic()
    done = [fact for fact in usable if fact.path not in found]
    removed = 0
    for fact in going:
        if time.monotonic() - confirmed_at > CONFIRMED_S:
            break  # this process slept, or the disk does; the next call goes on
        removed += fact in still and remove(layout, fact, found[fact.path])
        done.append(fact)
    ledger.files.gone(node, [fact.path for fact in done])
    return removed


def noted(fact: RemovableFile, now: float) -> removal_notes.RemovalNotes:
    return removal_notes.RemovalNotes(
        at=now, path=fact.path, job_id=fact.job_id, attempt=fact.attempt, bytes=fact.bytes
    )


def is_mounted(layout: Layout, path: str) -> bool:
    root = layout.roots[paths.split(path)[0]]
    return root.path.is_dir() and (root.marker is None or (root.path / root.marker).exists())


def may_go(layout: Layout, fact: RemovableFile) -> Identity | None:
    """Which file it is, if it is there and what the ledger says. What is not there needs no removing."""
    try:
        base, parts = place_of(layout, fact)
        with below(base, parts[:-1]) as folder:
            return check(parts[-1], folder, fact)
    except FileNotFoundError:
        return None
    except (NotRemoved, BadInput, OSError) as e:
        emit_event("file.not_removed", "Not removed: {file}: {error}", file=fact.path, error=str(e))
        return None


def place_of(layout: Layout, fact: RemovableFile) -> tuple[Path, list[str]]:
    paths.resolve(layout, fact.path, for_writing=True)
    root, relative = paths.split(fact.path)
    return paths.root_folder(layout, root), relative.split("/")


def check(name: str, folder: int, fact: RemovableFile) -> Identity:
    """Raises `Kept` where it is another file than the one that was published."""
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(facts.st_mode):
        raise NotRemoved("it is no regular file")
    if facts.st_size != fact.bytes:
        raise NotRemoved(f"it has {facts.st_size} bytes, {fact.bytes} were published")
    maker = maker_of(name, folder)
    if maker not in (None, fact.job_id):
        raise NotRemoved(f"it was made by {maker}")
    if maker is None and fact.job_id not in fact.path:
        raise NotRemoved("nothing shows that a job made it")
    return facts.st_ino, facts.st_ctime_ns


def maker_of(name: str, folder: int) -> str | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        mark = output_mark.read(fd)
    finally:
        os.close(fd)
    return mark.job_id if mark else None


def remove(layout: Layout, fact: RemovableFile, seen: Identity) -> bool:
    try:
        base, parts = place_of(layout, fact)
        with below(base, parts[:-1]) as folder:
            if check(parts[-1], folder, fact) != seen:
                raise NotRemoved("it was made again meanwhile")
            os.unlink(parts[-1], dir_fd=folder)
        leave_no_folder(base, parts[:-1], fact.job_id)
    except FileNotFoundError:
        return False
    except (NotRemoved, BadInput, OSError) as e:
        emit_event("file.not_removed", "Not removed: {file}: {error}", file=fact.path, error=str(e))
        return False
    return True


def leave_no_folder(base: Path, parts: list[str], job_id: str) -> None:
    """The job's own folder goes with its last file; shared ones stay, others may be about to write there."""
    if not parts or parts[-1] != job_id:
        return
    with below(base, parts[:-1]) as folder:
        try:
            os.rmdir(parts[-1], dir_fd=folder)
        except OSError:
            return  # something else lies in it
