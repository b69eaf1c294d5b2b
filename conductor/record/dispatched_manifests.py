"""What was dispatched from here, as the journal has it, and how a ledger stands to that."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from conductor.model.spec import Value
from conductor.record import kept_manifests
from conductor.record.journal_notes import Note
from conductor.record.manifest import read


class Source(Value, frozen=True, kw_only=True):
    """What was dispatched: the content of a manifest, and where to."""

    #: Where it lay. What lies there now may say something else.
    manifest: Path
    backlog: str
    #: Of its lines as they were dispatched; empty: of a manifest that was named by hand.
    sha256: str = ""
    jobs: int = 0
    #: Its own copy; None: it has none.
    kept: Path | None = None
    #: By the number of its last dispatch: of a job in several, the line of the last one holds.
    order: int = 0
    #: That one took its jobs along from other backlogs.
    is_move: bool = False

    @property
    def file(self) -> Path:
        """Where its lines are read, whatever they are: unlike `content`, at no cost."""
        return self.manifest if self.kept is None else self.kept

    def content(self) -> Path | None:
        """The file that holds just what was dispatched; read whole. None: there is none any more."""
        if not self.sha256:
            return self.manifest
        files = (file for file in (self.kept, self.manifest) if file is not None)
        return next((file for file in files if kept_manifests.has(file, self.sha256)), None)


class LedgerMatch(Value, frozen=True, kw_only=True):
    """`missing`: dispatched, and not into this ledger. `is_lost`: nothing that was dispatched is in it."""

    #: Each content once, by its first dispatch.
    sources: tuple[Source, ...] = ()
    missing: tuple[Source, ...] = ()
    is_lost: bool = False
    #: How many ledgers came before this one.
    lives: int = 0

    @property
    def present(self) -> tuple[Source, ...]:
        """What was dispatched into this ledger, or rebuilt in it."""
        return tuple(source for source in self.sources if source not in self.missing)

    @property
    def sentence(self) -> str | None:
        """What to tell the user; None when all is well."""
        if not self.missing:
            return None
        others = len(self.missing) - 1
        named = self.missing[0].manifest.name + (f" and {others} more" if others else "")
        if self.is_lost:
            return (
                f"this Redis knows nothing of what was dispatched ({named}): it was emptied, or it is "
                "another one; "
                "`conductor rebuild` brings it back from manifests and receipts, or correct redis.url and "
                "redis.prefix"
            )
        return f"{named} was dispatched and is not in this Redis: `conductor rebuild` brings it back"


def content_of(sha256: str, backlog: str) -> str:
    """Its name in a ledger: what was dispatched, and where to."""
    return f"{sha256}|{backlog}"


def other_contents(sources: Iterable[Source], manifest: Path) -> Iterator[tuple[Source, int]]:
    """What else was dispatched under this name, with so many jobs that the manifest does not name now. Read
    whole where there is anything. Raises `ManifestError`."""
    others = [source for source in sources if source.manifest == manifest.resolve()]
    others = [source for source in others if not kept_manifests.has(manifest, source.sha256)]
    ids = {spec.id for spec in read(manifest)} if others else set[str]()
    for source in others:
        content = source.content()
        missing = source.jobs if content is None else sum(spec.id not in ids for spec in read(content))
        if missing:
            yield source, missing


def ledger_match(put: Iterable[Note], folder: Path, generation: str | None) -> LedgerMatch:
    """`put`: what the journal in `folder` says of dispatches and rebuilds, the eldest first."""
    sources: dict[tuple[str, str], Source] = {}
    last: dict[tuple[str, str], str] = {}
    known: set[str] = set()
    for note in put:
        known.add(note.generation)
        key = (note.sha256, note.backlog)
        last[key] = note.generation
        if key not in sources or note.what == "dispatched":
            # In the place of its first dispatch, with the number of its last.
            sources[key] = _source(note, folder)
    return LedgerMatch(
        sources=tuple(sources.values()),
        missing=tuple(source for key, source in sources.items() if last[key] != generation),
        is_lost=bool(last) and generation not in known,
        lives=len(known - {generation}),
    )


def _source(note: Note, folder: Path) -> Source:
    kept = kept_manifests.place_of(folder, note.sha256)
    return Source(
        manifest=Path(os.path.normpath(folder / note.manifest)),
        backlog=note.backlog,
        sha256=note.sha256,
        jobs=note.jobs,
        kept=kept if kept.is_file() else None,
        order=note.n,
        is_move=note.is_move,
    )
