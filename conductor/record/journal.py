"""What was dispatched where, and what the operator said since: the small record that makes Redis disposable.

`receipts/HOST.journal`, beside the receipts because the two belong together: JSON lines, appended under a
lock and synced. Manifests are named relative to that folder, so that a project can be moved as a whole.

Notes are numbered, each above all that its writer could see in the folder, whosever they are: no clock is
asked which came first. Two that know nothing of each other may have one number; the files' names decide
between them then.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from loguru import logger

from conductor.adapters.files.archives import MARK, streams
from conductor.base.errors import ConfigError
from conductor.base.files.safe_open import make_own
from conductor.model.causes import Cause
from conductor.model.ledger_entries import JobState
from conductor.record import kept_manifests
from conductor.record.dispatched_manifests import LedgerMatch, Source, ledger_match
from conductor.record.journal_notes import PUT, Note

SUFFIX = ".journal"

#: A word on a place; `resumed` and `fed` take the others back.
Word = Literal["paused", "resumed", "draining", "fed"]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode
#: So much of a file's end is read for its last note, and more where that is longer.
TAIL_BYTES = 1 << 14


class NoteNumber(msgspec.Struct):
    """What a new note has to know of the last one."""

    n: int = 0


_numbered = msgspec.json.Decoder(NoteNumber).decode


class Journal:
    """Reads what all hosts wrote, writes this host's file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname()) + SUFFIX)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []

    def stamp(self) -> tuple[tuple[str, int], ...]:
        """Changes whenever a note is added."""
        return tuple((file.name, file.stat().st_size) for file in self.files())

    def notes(self) -> list[Note]:
        """All of them, the eldest first. A line cut by a crash says nothing that was acted upon: passed
        over.
        """
        found = (note for file, lines in streams(self.folder, SUFFIX) for note in _notes(file, lines))
        # Those of one file are in their order, and `sorted` leaves what is equal as it was.
        return sorted(found, key=lambda note: note.n)

    def notes_since(self, instant: float) -> list[Note]:
        """From the first on that may have been written since then (epoch seconds), the eldest first.

        A host's clock may be hours behind: where its file is younger than its last note says, its notes are
        so much younger too. All behind the first one come along, whatever they say of their time, so that the
        last word on anything is among them."""
        found: list[tuple[Note, Path]] = []
        for file, lines in streams(self.folder, SUFFIX):
            found += [(note, file) for note in _notes(file, lines)]
        last_at = {file: note.at for note, file in found}
        late_s = {file: max(0.0, file.stat().st_mtime - last_at.get(file, inf)) for file in self.files()}
        notes = sorted(found, key=lambda pair: pair[0].n)
        is_since = (note.at + late_s.get(file, 0.0) >= instant for note, file in notes)
        first = next((i for i, is_so in enumerate(is_since) if is_so), len(notes))
        return [note for note, _ in notes[first:]]

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────

    def dispatched(
        self,
        manifest: Path,
        backlog: str,
        jobs: int,
        generation: str,
        kept_as: str | None = None,
        *,
        is_move: bool = False,
        is_news: bool = False,
    ) -> bool:
        """Before the first job goes in: the manifest is kept (where that was not done before: `kept_as`, its
        hash), and noted, once where it did not change since. True: it was noted now. `is_news`: in any case.

        Raises `ConfigError` when that cannot be written: then nothing may go in."""
        sha256 = kept_as or kept_manifests.keep(self.folder, manifest)
        note = self._note_of(manifest, backlog, sha256, jobs, generation, "dispatched")
        note = msgspec.structs.replace(note, is_move=is_move)
        ours = [
            n for n in self.notes() if n.what in PUT and (n.manifest, n.backlog) == (note.manifest, backlog)
        ]
        has_it = any((n.sha256, n.generation) == (sha256, generation) for n in ours)
        # Another content of that name came between: the order of dispatches says whose lines hold.
        last = next((n for n in reversed(ours) if n.what == "dispatched"), None)
        is_news = is_news or not has_it or last is None or last.sha256 != sha256 or is_move
        if is_news:
            self._append(note)
        return is_news

    def number_of(self, sha256: str, backlog: str) -> int:
        """Of the last note that this content went in."""
        return max(
            (n.n for n in self.notes() if n.what in PUT and (n.sha256, n.backlog) == (sha256, backlog)),
            default=0,
        )

    def rebuilt(self, source: Source, jobs: int, generation: str) -> None:
        """It is in this ledger too; said once. Raises `ConfigError` when it cannot be written."""
        note = self._note_of(source.manifest, source.backlog, source.sha256, jobs, generation, "rebuilt")
        key = (note.sha256, note.backlog, generation)
        if all((n.sha256, n.backlog, n.generation) != key for n in self.notes() if n.what in PUT):
            self._append(note)

    def _note_of(
        self,
        manifest: Path,
        backlog: str,
        sha256: str,
        jobs: int,
        generation: str,
        what: Literal["dispatched", "rebuilt"],
    ) -> Note:
        return Note(
            at=time.time(),
            what=what,
            generation=generation,
            manifest=os.path.relpath(manifest.resolve(), self.folder.resolve()),
            sha256=sha256,
            backlog=backlog,
            jobs=jobs,
        )

    def operator(
        self, what: Literal["retried", "cancelled"], ids: Mapping[str, int], cause: Cause | None = None
    ) -> None:
        """Job → attempts it has had: what they came to is settled by this word. `cause`: it was failed, as
        this.
        """
        if ids and self.files():
            self._append(Note(at=time.time(), what=what, ids=dict(ids), cause=cause))

    def forgot(self, ids: Mapping[str, int], kind: str = "") -> None:
        """Job → attempts that teach nothing more; with a task or kind, what of it ended until now."""
        if ids or kind:
            self._append(Note(at=time.time(), what="forgot", ids=dict(ids), kind=kind))

    def requeued(self, ids: Mapping[str, int], was: JobState) -> None:
        """Job → attempts. Put back from that attempt, or to go at once; all of them were in that state."""
        if ids and self.files():
            self._append(Note(at=time.time(), what="requeued", ids=dict(ids), words=was))

    def prioritised(self, ids: Mapping[str, int], priority: int) -> None:
        """Job → attempts."""
        if ids and self.files():
            self._append(Note(at=time.time(), what="prioritised", ids=dict(ids), priority=priority))

    def acted(self, verb: str, who: str, words: str, jobs: int) -> None:
        """What somebody did to the jobs of a filter, for people: nothing is decided by it."""
        self._append(Note(at=time.time(), what="acted", kind=verb, who=who, words=words, jobs=jobs))

    def foretold(self, backlog: str, left: int, ends_at: float) -> None:
        """What was said first of the end of a run, for people: held against what came of it. Empty backlog:
        all."""
        if self.files():
            self._append(
                Note(at=time.time(), what="foretold", backlog=backlog, jobs=left, instant=round(ends_at))
            )

    def tried(self, kind: str, at: float) -> None:
        """A closed kind (or all of a task) is tried at once. `at`: by the ledger's clock, which dates its
        failures.
        """
        if self.files():
            self._append(Note(at=at, what="tried", kind=kind))

    def place(self, what: Word, place: str, word: int = 0) -> None:
        """A pause or a drain, also before anything was dispatched. Raises `ConfigError` when it cannot be
        written.
        """
        self._append(Note(at=time.time(), what=what, place=place, word=word))

    def schedule(
        self,
        what: Literal["fire_ended", "fires_skipped", "schedule_paused", "schedule_resumed"],
        name: str,
        instant: int = 0,
        fires: int = 0,
        words: str = "",
        *,
        is_by_hand: bool = False,
    ) -> None:
        """What became of fires, or the operator's word. Raises `ConfigError` when it cannot be written."""
        self._append(
            Note(
                at=time.time(),
                what=what,
                schedule=name,
                instant=instant,
                fires=fires,
                words=words,
                is_by_hand=is_by_hand,
            )
        )

    def reviewed(self, kind: str, words: str) -> None:
        """What waits of a kind is set aside: for `verify`, which asks no Redis. Said once for each time it
        happens.
        """
        last = next((n for n in reversed(self.notes()) if n.what in ("retried", "reviewed")), None)
        if self.files() and (last is None or (last.what, last.kind, last.words) != ("reviewed", kind, words)):
            self._append(Note(at=time.time(), what="reviewed", kind=kind, words=words))

    def _append(self, note: Note) -> None:
        try:
            make_own(self.folder)
            while not self._write(note):
                pass
        except OSError as e:
            raise ConfigError(
                f"{self.file} cannot be written ({e.strerror}); set receipts_dir in conductor.toml to a "
                "folder of yours"
            ) from None

    def _write(self, note: Note) -> bool:
        """On disk. False where the file was removed or put elsewhere under our hands: nobody would read
        that one.
        """
        fd = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            # Under the lock: of this host's notes no two have one number.
            number = 1 + self._last_number()
            os.write(fd, b"\n" * is_torn + _encode(msgspec.structs.replace(note, n=number)) + b"\n")
            os.fsync(fd)
            return _is_at(fd, self.file)
        finally:
            os.close(fd)

    def _last_number(self) -> int:
        """The highest that can be seen in the folder. Each writer's notes rise, so the last of each file
        tells; only where one has no note left, all of it in archives, those are read."""
        last = [_last_number_of(file) for file in self.files()]
        if None in last:
            return max((note.n for note in self.notes()), default=0)
        return max((number for number in last if number is not None), default=0)

    # ── what it comes to ──────────────────────────────────────────────────────────────────────────────────

    def ledger_match(self, generation: str | None) -> LedgerMatch:
        """How the ledger of that mark stands to all that was dispatched from here."""
        return ledger_match((note for note in self.notes() if note.what in PUT), self.folder, generation)


def _last_number_of(file: Path) -> int | None:
    """Of its last whole note; None: there is none in it. Read from its end on, as far as it takes."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        length = min(size, TAIL_BYTES)
        while True:
            opened.seek(size - length)
            lines = opened.read(length).split(b"\n")
            # The first may be the rest of one, and the last is none: it is empty, or was cut short.
            for line in reversed(lines[0 if length == size else 1 : -1]):
                if (number := _number_in(line)) is not None:
                    return number
            if length == size:
                return None
            length = min(size, 8 * length)


def _number_in(line: bytes) -> int | None:
    if not line.strip() or line.startswith(MARK):
        return None
    try:
        return _numbered(line).n
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def new_mark() -> str:
    """For a ledger that has none yet."""
    return secrets.token_hex(8)


def _is_at(fd: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), file.stat())
    except FileNotFoundError:
        return False


def _notes(file: Path, lines: BinaryIO) -> Iterator[Note]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or not line.endswith(b"\n") or line.startswith(MARK):
            continue
        try:
            yield _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            logger.warning("{}:{}: not a whole note, passed over: {}", file, number, e)


def in_review(notes: Iterable[Note]) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Kind → why what waited of it was set aside; and kind → jobs that the operator has sent back since."""
    words: dict[str, str] = {}
    back: dict[str, set[str]] = {}
    generation = ""
    for note in notes:
        if note.what in PUT and note.generation != generation:
            # Another ledger: what lay in review waits again.
            generation, words, back = note.generation, {}, {}
        elif note.what == "reviewed":
            words[note.kind], back[note.kind] = note.words, set()
        elif note.what == "retried":
            for ids in back.values():
                ids.update(note.ids)
    return words, back


def places(notes: Iterable[Note]) -> tuple[frozenset[str], frozenset[str]]:
    """What the operator's last words left paused (lanes, devices, «backlog:NAME»), and draining (nodes;
    empty: all)."""
    paused: set[str] = set()
    draining: set[str] = set()
    for note in notes:
        match note.what:
            case "paused":
                paused.add(note.place)
            case "resumed":
                paused.discard(note.place)
            case "draining":
                draining.add(note.place)
            case "fed":
                draining.discard(note.place)
            case _:
                pass
    return frozenset(paused), frozenset(draining)


def settled_by_operator(notes: Iterable[Note]) -> tuple[dict[str, int], dict[str, int]]:
    """Job → attempts whose failures the operator forgave (`retry`), and job → attempts when it was
    cancelled last.
    """
    forgiven: dict[str, int] = {}
    cancelled: dict[str, int] = {}
    for note in notes:
        if note.what == "cancelled":
            cancelled.update(note.ids)
        elif note.what == "retried":
            forgiven.update(note.ids)
            for job_id in note.ids:
                cancelled.pop(job_id, None)
    return forgiven, cancelled
