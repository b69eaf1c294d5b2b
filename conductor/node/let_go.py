"""Removes files whose last readers are accepted, as the ledger names them for this node. Noted on disk, then removed.

Redis is not trusted with what is deleted: only a regular file below a root that is tidied, of the size its receipt has,
and made by the very job: by its mark, or where the file system keeps none, by the job's id in its path.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from loguru import logger

from conductor import paths, tidied
from conductor.errors import BadInput
from conductor.folders import below
from conductor.model.files import LetGo
from conductor.ports import Ledger
from conductor.settings import Settings, tidied_roots

#: As `workers.publish` marks what it makes.
MADE_BY = "user.conductor.job"
BATCH = 500


class Kept(Exception):
    """This file is not removed; why not."""


def let_go(settings: Settings, ledger: Ledger, node: str, now: float) -> int:
    """Remove what may go; how many files did. Raises `Unreachable`, `OSError` where the note cannot be written.

    Broken off at any point it is called again: what is noted and there is removed, what is not there is done.
    """
    roots, removed = tidied_roots(settings), 0
    while facts := ledger.attempts.let_go(node, BATCH):
        usable = [fact for fact in facts if paths.split(fact.path)[0] not in roots or is_mounted(settings, fact.path)]
        going = [fact for fact in usable if paths.split(fact.path)[0] in roots and may_go(settings, fact)]
        tidied.note(settings.receipts_dir, node, (noted(fact, now) for fact in going))
        # Somebody may have asked for the readers again while this was looked at.
        still = {fact.path for fact in ledger.attempts.let_go(node, BATCH)} if going else set[str]()
        for fact in going:
            if fact.path in still:
                removed += remove(settings, fact)
        ledger.attempts.gone(node, [fact.path for fact in usable])
        if len(usable) < len(facts):
            break
    if removed:
        logger.bind(event="let_go").info("Removed {} files that all their readers are done with", removed)
    return removed


def noted(fact: LetGo, now: float) -> tidied.Tidied:
    return tidied.Tidied(at=now, path=fact.path, job_id=fact.job_id, attempt=fact.attempt, bytes=fact.bytes)


def is_mounted(settings: Settings, path: str) -> bool:
    root = settings.roots[paths.split(path)[0]]
    return root.path.is_dir() and (root.marker is None or (root.path / root.marker).exists())


def may_go(settings: Settings, fact: LetGo) -> bool:
    """Is it there, and what the ledger says it is. What is not there needs no removing."""
    try:
        base, parts = place_of(settings, fact)
        with below(base, parts[:-1]) as folder:
            check(parts[-1], folder, fact)
    except FileNotFoundError:
        return False
    except (Kept, BadInput, OSError) as e:
        logger.warning("Not removed: {}: {}", fact.path, e)
        return False
    return True


def place_of(settings: Settings, fact: LetGo) -> tuple[Path, list[str]]:
    paths.resolve(settings, fact.path, for_writing=True)
    root, relative = paths.split(fact.path)
    return paths.root_folder(settings, root), relative.split("/")


def check(name: str, folder: int, fact: LetGo) -> None:
    """Raises `Kept` where it is another file than the one that was published."""
    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(facts.st_mode):
        raise Kept("it is no regular file")
    if facts.st_size != fact.bytes:
        raise Kept(f"it has {facts.st_size} bytes, {fact.bytes} were published")
    maker = maker_of(name, folder)
    if maker not in (None, fact.job_id):
        raise Kept(f"it was made by {maker}")
    if maker is None and fact.job_id not in fact.path:
        raise Kept("nothing shows that a job made it")


def maker_of(name: str, folder: int) -> str | None:
    if sys.platform != "linux":
        return None
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.getxattr(fd, MADE_BY).decode("ascii", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)


def remove(settings: Settings, fact: LetGo) -> bool:
    try:
        base, parts = place_of(settings, fact)
        with below(base, parts[:-1]) as folder:
            check(parts[-1], folder, fact)
            os.unlink(parts[-1], dir_fd=folder)
        leave_no_folder(base, parts[:-1], fact.job_id)
    except FileNotFoundError:
        return False
    except (Kept, BadInput, OSError) as e:
        logger.warning("Not removed: {}: {}", fact.path, e)
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
