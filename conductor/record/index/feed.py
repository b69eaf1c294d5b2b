"""From the record into the index: what came since, file by file, in pieces that are whole.

Receipts, journals and kept manifests only grow, so each is read on from where it was left. Where one was cut,
rewritten or is gone, what was read of it may not hold any more: the index is emptied and all is read again.
Memory stays that of one batch, however many jobs there are. One process feeds at a time (a lock file beside
the index); the others look at what is there.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from conductor.adapters.files.archives import FOLDER as ARCHIVES
from conductor.adapters.files.archives import PACKED, unpacked
from conductor.base.errors import ManifestError
from conductor.model.receipt import Receipt
from conductor.model.subject import file_name
from conductor.record.index import schema
from conductor.record.index.sources import Rewritten, lines_since, reached, refuse_gone
from conductor.record.index.writer import IndexWriter
from conductor.record.journal_notes import PUT, Note
from conductor.record.kept_manifests import place_of
from conductor.record.manifest import opened

BATCH = 5_000
_receipt = msgspec.json.Decoder(Receipt).decode
_note = msgspec.json.Decoder(Note).decode

T = TypeVar("T")
#: How many lines were read so far.
OnFed = Callable[[int], None]


class ManifestNeeds(Struct):
    vram_mib: int = 0
    ram_mib: int = 0


class ManifestOutput(Struct):
    path: str


class ManifestLine(Struct):
    """Of a line what the index keeps; the rest is passed over, which is quicker than to read it."""

    id: str
    workflow: str
    task: str
    inputs: dict[str, Any] = {}
    reads: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    writes: tuple[ManifestOutput, ...] = ()
    needs: ManifestNeeds | None = None
    priority: int = 0

    @property
    def file(self) -> str:
        paths = (*self.inputs, *self.reads, *self.updates, *(output.path for output in self.writes))
        return file_name(paths[0]) if paths else ""


_line = msgspec.json.Decoder(ManifestLine).decode


@contextmanager
def feeder_lock(file: Path) -> Generator[bool]:
    """False: somebody else feeds."""
    fd = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(fd)


def feed(conn: sqlite3.Connection, receipts_dir: Path, on_fed: OnFed = lambda lines: None) -> int:
    """All that the record has and the index has not. How many lines that were."""
    try:
        return _Feeding(conn, receipts_dir, on_fed).run()
    except Rewritten:
        _empty(conn)
        return _Feeding(conn, receipts_dir, on_fed).run()


def _empty(conn: sqlite3.Connection) -> None:
    names = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    with schema.transaction(conn):
        for name in ("names", "words"):
            if name in names:
                conn.execute(f"INSERT INTO {name} ({name}) VALUES ('delete-all')")
        for name in ("attempt", "live", "job", "grp", "message", "manifest", "source", "meta"):
            conn.execute(f"DELETE FROM {name}")


class _Feeding:
    def __init__(self, conn: sqlite3.Connection, receipts_dir: Path, on_fed: OnFed) -> None:
        self._conn = conn
        self._folder = receipts_dir
        self._on_fed = on_fed
        self._writer = IndexWriter(conn)
        self._lines = 0

    def run(self) -> int:
        there = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        receipts = [file for file in there if file.suffix == ".jsonl"]
        journals = [file for file in there if file.suffix == ".journal"]
        archives = sorted((self._folder / ARCHIVES).glob(f"*{PACKED}"))
        refuse_gone(self._conn, {file.name for file in (*receipts, *journals, *archives)})
        notes = self._notes(journals, archives)
        # First what was dispatched, so that a job is known with its file before its receipts come.
        for note in notes:
            if note.what in PUT:
                self._manifest(note)
        for file in archives:
            if file.name.endswith(f".jsonl{PACKED}"):
                self._archive(file)
        for file in receipts:
            self._receipts(file)
        # Last: a word on jobs is said of attempts whose receipts are there.
        self._operator([note for note in notes if note.what not in PUT])
        return self._lines

    # ── the journal ───────────────────────────────────────────────────────────────────────────────────────

    def _notes(self, journals: list[Path], archives: list[Path]) -> list[Note]:
        """What was noted since, in its order. The files are told of as read with the last of it."""
        found: list[Note] = []
        self._reached: dict[Path, int] = {}
        self._archived = [file for file in archives if file.name.endswith(f".journal{PACKED}")]
        for file in self._archived:
            if not self._is_known(file.name):
                found += [note for line in _lines_in(file) if (note := _note_of(line)) is not None]
        for file in journals:
            for line, at in lines_since(self._conn, file):
                self._reached[file] = at
                if (note := _note_of(line)) is not None:
                    found.append(note)
        return sorted(found, key=lambda note: note.n)

    def _operator(self, notes: list[Note]) -> None:
        with schema.transaction(self._conn):
            for note in notes:
                if note.what in ("retried", "cancelled", "prioritised") and note.ids:
                    self._writer.open(note.ids)
                    for job_id, attempts in note.ids.items():
                        job = self._writer.job(job_id)
                        if note.what == "retried":
                            job.was_retried(attempts)
                        elif note.what == "prioritised":
                            job.priority = note.priority
                        else:
                            job.was_cancelled(note.cause)
                    self._writer.write()
            for file, at in self._reached.items():
                reached(self._conn, file, at)
            for file in self._archived:
                self._conn.execute("INSERT OR IGNORE INTO source VALUES (?, 0, '')", (file.name,))

    # ── manifests ─────────────────────────────────────────────────────────────────────────────────────────

    def _manifest(self, note: Note) -> None:
        name = f"{note.sha256}|{note.backlog}|{note.n if note.is_move else 0}"
        if self._is_known(name):
            return
        kept = place_of(self._folder, note.sha256)
        file = kept if kept.is_file() else Path(os.path.normpath(self._folder / note.manifest))
        try:
            for batch in _batches(_manifest_lines(file)):
                self._lines_of(batch, note)
        except (ManifestError, OSError, EOFError):
            return  # Its receipts tell of its jobs; the next look may find it.
        with schema.transaction(self._conn):
            self._conn.execute("INSERT INTO source VALUES (?, 0, '')", (name,))

    def _lines_of(self, lines: list[ManifestLine], note: Note) -> None:
        with schema.transaction(self._conn):
            manifest = self._writer.manifest(Path(note.manifest).name)
            self._writer.open(line.id for line in lines)
            for line in lines:
                job = self._writer.job(line.id)
                if job.dispatched_at is None:
                    job.dispatched_at, job.backlog = note.at, note.backlog
                if note.is_move and job.base != "done":
                    job.backlog = note.backlog
                if note.n < job.line_order:
                    continue
                job.task, job.workflow, job.priority = line.task, line.workflow, line.priority
                job.manifest, job.line_order = manifest, note.n
                job.file = job.file or line.file
                if line.needs is not None and job.started_at is None:
                    job.asked_vram, job.asked_ram = line.needs.vram_mib or None, line.needs.ram_mib or None
            self._writer.write()
        self._count(len(lines))

    # ── receipts ──────────────────────────────────────────────────────────────────────────────────────────

    def _archive(self, file: Path) -> None:
        """What was taken out of a file of receipts: read once."""
        if self._is_known(file.name):
            return
        for batch in _batches(_placed(_lines_in(file))):
            with schema.transaction(self._conn):
                self._take(file.name, batch)
            self._count(len(batch))
        with schema.transaction(self._conn):
            self._conn.execute("INSERT INTO source VALUES (?, 0, '')", (file.name,))

    def _is_known(self, name: str) -> bool:
        return self._conn.execute("SELECT 1 FROM source WHERE name = ?", (name,)).fetchone() is not None

    def _take(self, source: str, lines: Iterable[tuple[bytes, int]]) -> None:
        """Each with the place behind it."""
        found = [
            (receipt, at - len(line)) for line, at in lines if (receipt := _receipt_of(line)) is not None
        ]
        self._writer.open(receipt.job_id for receipt, _ in found)
        for receipt, place in found:
            self._writer.take(receipt, source, place)
        self._writer.write()

    def _receipts(self, file: Path) -> None:
        try:
            for batch in _batches(lines_since(self._conn, file)):
                with schema.transaction(self._conn):
                    self._take(file.name, batch)
                    reached(self._conn, file, batch[-1][1])
                self._count(len(batch))
        except OSError:
            return  # A share that is away: its lines come later.

    def _count(self, lines: int) -> None:
        self._lines += lines
        self._on_fed(self._lines)


def _receipt_of(line: bytes) -> Receipt | None:
    try:
        return _receipt(line) if line.strip() else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # Cut by a crash, and never acted upon.


def _note_of(line: bytes) -> Note | None:
    try:
        return _note(line) if line.strip() else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # Cut by a crash: it says nothing that was acted upon.


def _lines_in(archive: Path) -> Iterator[bytes]:
    with unpacked(archive) as lines:
        yield from lines


def _placed(lines: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    at = 0
    for line in lines:
        at += len(line)
        yield line, at


def _manifest_lines(file: Path) -> Iterator[ManifestLine]:
    with opened(file) as lines:
        for line in lines:
            if line.strip():
                try:
                    yield _line(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
