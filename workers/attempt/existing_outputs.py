"""What stands at an output's name, and whose it is: an earlier body's of this job, another job's,
nobody's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from conductor.adapters.files.receipt_log import receipts_naming
from conductor.base.errors import NameTaken
from conductor.base.files import cross_device_move, paths, safe_open
from conductor.base.files import output_mark as made_by
from conductor.base.files.output_mark import MadeBy
from conductor.core.failures.history import named
from conductor.model.receipt import OutputFact, Receipt, number_of
from conductor.model.spec import JobSpec
from workers.attempt.atomic_link import Translated, fact_of, fsync, opened

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFREG: "a file",
}


class ExistingFile(NamedTuple):
    """`fact` is None for what is no regular file."""

    path: str
    kind: str
    fact: OutputFact | None = None
    made_by: MadeBy | None = None


class NotOurs(Exception):
    """Something stands at the name of an output, and is not what was to be put there."""

    def __init__(self, existing: ExistingFile) -> None:
        super().__init__(existing.path)
        self.existing = existing


def look(path: str, name: str, folder: int) -> ExistingFile:
    """Read whole, and on disk when this returns. Raises `OSError`."""
    mode = stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    if mode != stat.S_IFREG:
        return ExistingFile(path, _KINDS.get(mode, "a device"))
    with opened(name, os.O_RDONLY, folder) as fd:
        fact = fact_of(path, fd)
        fsync(fd)
        return ExistingFile(path, _KINDS[mode], fact, made_by.read(fd))


class Claims:
    """What receipts say of the file that stands there. Read when something is in the way, not before."""

    def __init__(self, layout: Layout, spec: JobSpec, existing: ExistingFile) -> None:
        self._spec = spec
        self._existing = existing
        naming = tuple(receipts_naming(layout.receipts_dir, existing.path)) if existing.fact else ()
        self._taken_back = {(r.job_id, r.body) for r in naming if r.takes_back}
        self._oks = tuple(r for r in naming if r.is_whole)

    def own(self) -> Receipt | None:
        """This job's, of this very content, and it counts."""
        return next((r for r in self._same() if r.job_id == self._spec.id and self._counts(r)), None)

    def own_taken_back(self) -> Receipt | None:
        """This job's, of this very content, and nobody's receipt vouches for it any more."""
        if any(self._counts(r) for r in self._same()):
            return None
        return next((r for r in self._same() if r.job_id == self._spec.id), None)

    def words(self) -> str:
        """Whose it is, and what to do. One sentence each."""
        path, kind = self._existing.path, self._existing.kind
        return (
            f"{path!r} is taken: {kind} stands there that is not what this job made: {self._whose()}. "
            "Remove it or "
            f"move it away, then `conductor retry {self._spec.id}` (what was computed is kept), or plan "
            "another name"
        )

    def _whose(self) -> str:
        fact, mark = self._existing.fact, self._existing.made_by
        if fact is None:
            return "no job makes such"
        by_receipt = next((r for r in self._same() if self._counts(r)), None)
        if by_receipt is not None:
            return f"{self._maker(by_receipt.job_id, by_receipt.body)} made it, as its receipt says"
        if mark is not None:
            what = "and no receipt says so" if mark.sha256 == fact.sha256 else "and it was changed since"
            return f"{self._maker(mark.job_id, mark.body)} made it, {what}"
        if (last := next((r for r in reversed(self._oks) if self._counts(r)), None)) is not None:
            return (
                f"{self._maker(last.job_id, last.body)} published another content there, which was "
                "changed since"
            )
        return "no job known here made it (it bears no mark, and no receipt names it)"

    def _maker(self, job_id: str, body: str) -> str:
        if job_id != self._spec.id:
            return f"job {job_id}"
        return f"{named(number_of(body))} of this job" if body.partition(".")[0].isdigit() else "this job"

    def _same(self) -> Iterator[Receipt]:
        return (r for r in self._oks if self._existing.fact in r.outputs)

    def _counts(self, receipt: Receipt) -> bool:
        return (receipt.job_id, receipt.body) not in self._taken_back


def move_aside(layout: Layout, job_id: str, body: str, path: str) -> None:
    """To `.tmp/aside/ID.BODY` of its root: no receipt counts that vouches for it."""
    root, relative = paths.split(path)
    base, (*parts, name) = paths.root_folder(layout, root), relative.split("/")
    aside = (paths.STAGING, paths.ASIDE, f"{job_id}.{body}", *parts)
    with (
        Translated(path),
        safe_open.below(base, parts) as folder,
        safe_open.below(base, aside, make=True) as target,
    ):
        cross_device_move.move(name, folder, target)


def taken(claims: Claims) -> NameTaken:
    return NameTaken(claims.words())
