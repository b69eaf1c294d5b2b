"""What bodies printed, in `logs/worker-NAME.out`: of dead workers only the last few that said anything are
kept.

A worker's name is its own, so each death would leave a file for ever.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from conductor.base.logs.two_streams import names_folder, ranges_file

KEPT = 50


def sweep(folder: Path, node: str, live: Collection[str], kept: int = KEPT) -> list[Path]:
    """Remove the files of this node's workers that are not `live`: empty ones, and all but the latest `kept`.

    Which was removed. `live` must hold all that run: a file that is written to has to keep its name."""
    dead = list(files_of(folder, node, live))
    empty = [file for file, (_, size) in dead if size == 0]
    spoke = sorted((at, file) for file, (at, size) in dead if size)
    gone = [*empty, *(file for _, file in spoke[: max(0, len(spoke) - kept)])]
    for file in gone:
        # another node of this name took it, or the folder is read-only: no harm either way
        with suppress(OSError):
            file.unlink()
            ranges_file(file).unlink(missing_ok=True)
    for file, _ in dead:
        with suppress(OSError):
            names_folder(file).rmdir()
    return gone


def files_of(folder: Path, node: str, live: Collection[str]) -> Iterable[tuple[Path, tuple[float, int]]]:
    """File → when it was written last, and its bytes."""
    name = re.compile(rf"worker-((?:gpu|cpu|io|cloud)-{re.escape(node)}(?:-gpu[0-9]+)?-[0-9a-f]{{8}})\.out")
    for file in folder.glob("worker-*.out"):
        found = name.fullmatch(file.name)
        if found and found[1] not in live:
            with suppress(OSError):
                stat = file.stat()
                yield file, (stat.st_mtime, stat.st_size)
