"""Staged files → their final names: whole or not at all, once. What stands there already is never
replaced.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.errors import JobError
from conductor.base.files import output_mark, paths
from conductor.base.files import safe_open as folders_of
from conductor.base.files.output_mark import MadeBy
from conductor.model.receipt import OutputFact
from conductor.model.spec import JobSpec
from workers.attempt.atomic_link import Touched, Translated, fact_of, fsync, opened, place, stat_of
from workers.attempt.existing_outputs import NotOurs, look
from workers.task_api.context import attempt_folder, folder_name, staged

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout


def whole(
    layout: Layout, spec: JobSpec, body: str, known: Iterable[OutputFact] = ()
) -> tuple[OutputFact, ...]:
    """What this body has staged for every declared output: on disk, hashed and marked.

    `known`: what it had been before, for files that have gone to their places already. Raises `JobError` for
    an output the body did not write, `NoSpace`, `PublishFailed`.
    """
    before = {fact.path: fact for fact in known}
    return tuple(
        _whole(layout, spec.id, body, output.path, before.get(output.path)) for output in spec.writes
    )


def put(layout: Layout, spec: JobSpec, body: str, facts: Iterable[OutputFact]) -> None:
    """Give the staged files their names. On disk when this returns.

    A file with the very content that stands there already is as good. Raises `Taken` where anything else
    stands, `NoSpace`, `PublishFailed`.
    """
    facts = tuple(facts)
    with Touched() as touched:
        for fact in facts:
            _put(layout, spec.id, body, fact, touched)
        with Translated(", ".join(fact.path for fact in facts)):
            touched.sync()


def _whole(layout: Layout, job_id: str, body: str, path: str, before: OutputFact | None) -> OutputFact:
    root, _ = paths.split(path)
    paths.check_mounted(layout, root)
    base, parts = paths.root_folder(layout, root), _staged_parts(layout, job_id, body, path)
    file = base.joinpath(*parts)
    with Translated(path):
        try:
            is_file = stat.S_ISREG(file.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if before is not None:
                return before
            raise JobError(f"the task ended well but did not write its output {path!r}") from None
        if not is_file:
            raise JobError(f"the task's output {path!r} is not a regular file")
        # By descriptor from here on: a folder swapped for a link after the look above leads nowhere.
        with folders_of.below(base, parts[:-1]) as source, opened(file.name, os.O_RDWR, source) as fd:
            fact = fact_of(path, fd)
            fsync(fd)
            output_mark.mark(fd, MadeBy(job_id, body, fact.sha256))
            return fact


def _put(layout: Layout, job_id: str, body: str, fact: OutputFact, touched: Touched) -> None:
    root, relative = paths.split(fact.path)
    paths.check_mounted(layout, root)
    paths.output_place(layout, fact.path)
    base, (*parts, name) = paths.root_folder(layout, root), relative.split("/")

    def into_place() -> bool:
        """Is it done: its file was staged, and has its name now."""
        with (
            folders_of.below(base, parts, make=True, on_made=touched.add) as folder,
            _source(base, _staged_parts(layout, job_id, body, fact.path)) as source,
        ):
            touched.add(folder)
            return source is not None and place(name, source, folder, job_id, fact.sha256)

    with Translated(fact.path):
        if folders_of.again_if_removed(into_place):
            return
        with folders_of.below(base, parts, make=True, on_made=touched.add) as folder:
            if stat_of(name, folder) is None:
                raise JobError(
                    f"the output {fact.path!r} was there, and was removed before its job had ended"
                )
            existing = look(fact.path, name, folder)
            if existing.fact != fact:
                raise NotOurs(existing)


@contextmanager
def _source(base: Path, parts: tuple[str, ...]) -> Generator[int | None]:
    """The folder of a staged file; None where the file has gone to its place by a rename."""
    try:
        opened_folder = folders_of.below(base, parts[:-1])
        folder = opened_folder.__enter__()
    except FileNotFoundError:
        yield None
        return
    try:
        yield folder if stat_of(parts[-1], folder) is not None else None
    finally:
        opened_folder.__exit__(None, None, None)


def _staged_parts(layout: Layout, job_id: str, body: str, path: str) -> tuple[str, ...]:
    """Below its root."""
    root, relative = paths.split(path)
    file = staged(attempt_folder(layout, root, job_id, body), relative)
    return file.relative_to(paths.root_folder(layout, root)).parts


# ── what attempts leave behind ────────────────────────────────────────────────────────────────────────────


def folders(layout: Layout, spec: JobSpec, body: str) -> tuple[Path, ...]:
    """Every folder this body may write to."""
    return tuple(map(Path, folder_names(layout, spec, body)))


def folder_names(layout: Layout, spec: JobSpec, body: str) -> list[str]:
    """The same, asked for by every job: most have none of them, and a Path costs more than a look."""
    return [folder_name(layout, root, spec.id, body) for root in _roots(layout, spec)]


def bodies(layout: Layout, spec: JobSpec) -> frozenset[str]:
    """Those of this job that have left a folder on any of its roots."""
    prefix, found = f"{spec.id}.", set[str]()
    for root in _roots(layout, spec):
        with suppress(OSError):  # Not there: nothing was left.
            names = os.listdir(paths.root_folder(layout, root) / paths.STAGING)  # noqa: PTH208  names do
            found.update([name[len(prefix) :] for name in names if name.startswith(prefix)])
    return frozenset([body for body in found if body.partition(".")[0].isdigit()])


def clean(layout: Layout, spec: JobSpec, those: Iterable[str]) -> None:
    """Remove what these bodies have staged."""
    for body in those:
        for root in _roots(layout, spec):
            if os.path.exists(folder_name(layout, root, spec.id, body)):  # noqa: PTH110
                folders_of.remove(paths.root_folder(layout, root), (paths.STAGING, f"{spec.id}.{body}"))


def _roots(layout: Layout, spec: JobSpec) -> list[str]:
    named = [paths.split(output.path)[0] for output in spec.writes] if spec.writes else ()
    return [root for root in dict.fromkeys(("scratch", *named)) if root in layout.roots]
