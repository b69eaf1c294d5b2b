"""`conductor purge-scratch`: all at once what the node removes by and by, when its room is wanted.

Through the same doors: the ledger says which files nobody needs any more, and which attempts are over. What a
job that waits or runs still reads, and what nobody reads (a result), is not among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conductor.base.files import paths
from conductor.base.files.layout import Layout
from conductor.model.spec import Value
from conductor.node.cleanup.file_removal import finish, is_mounted
from conductor.node.cleanup.stale_staging import ended, remove, stale
from conductor.ports import Ledger


class PurgeableRoot(Value, frozen=True, kw_only=True, omit_defaults=False):
    root: str
    #: Of files that all their readers have read.
    file_bytes: int
    #: Folders of attempts that are over, and what lies in them.
    folders: int
    folder_bytes: int


def purgeable(layout: Layout, ledger: Ledger, node: str, now: float) -> tuple[PurgeableRoot, ...]:
    """Root by root, those that are there. `now`: epoch seconds by this host. Raises `Unreachable`."""
    roots = ephemeral(layout)
    removable = ledger.files.removable(node, roots)
    found: list[PurgeableRoot] = []
    for root in roots:
        folders = over(paths.root_folder(layout, root), ledger, now)
        found.append(
            PurgeableRoot(
                root=root,
                file_bytes=removable.get(root, 0),
                folders=len(folders),
                folder_bytes=sum(size_of(folder) for folder in folders),
            )
        )
    return tuple(found)


def purge(layout: Layout, ledger: Ledger, node: str, now: float) -> tuple[int, int]:
    """Files and folders that were removed. Broken off at any point it is called again. Raises `Unreachable`,
    `OSError`.
    """
    files = finish(layout, ledger, node, now)
    roots = ephemeral(layout)
    for root, wanted in ledger.files.removable(node, roots).items():
        while wanted > 0:
            taken = sum(fact.bytes for fact in ledger.files.begin_removal(node, root, wanted))
            files += finish(layout, ledger, node, now)
            wanted -= taken
            if not taken or ledger.files.begin_removal(node):
                break  # nothing is left, or something cannot be removed now
    return files, len(remove(over_in(layout, roots, ledger, now)))


def ephemeral(layout: Layout) -> list[str]:
    """Roots whose files may go, and whose disk is there."""
    return [root for root in sorted(layout.ephemeral_roots()) if is_mounted(layout, f"{root}:x")]


def over_in(layout: Layout, roots: Sequence[str], ledger: Ledger, now: float) -> list[Path]:
    return [folder for root in roots for folder in over(paths.root_folder(layout, root), ledger, now)]


def over(root: Path, ledger: Ledger, now: float) -> list[Path]:
    """Folders of attempts that are over."""
    return sorted({*ended(root, ledger), *stale(root, ledger, now)})


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            facts = path.lstat()
        except OSError:
            continue
        total += facts.st_size if path.is_file() and not path.is_symlink() else 0
    return total
