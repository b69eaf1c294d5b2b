"""What was dispatched where, and what the operator said since: the small record that makes Redis disposable.

`receipts/HOST.journal`, beside the receipts because the two belong together: JSON lines, appended under a lock and
synced. Manifests are named relative to that folder, so that a project can be moved as a whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from loguru import logger

from conductor.errors import ConfigError
from conductor.model.spec import JobId, Value

SUFFIX = ".journal"


class Note(Value, frozen=True, kw_only=True):
    """One line. Times are epoch seconds by the host that wrote it."""

    v: Literal[1] = 1
    at: float
    what: Literal["dispatched", "retried", "cancelled", "reviewed", "paused", "resumed", "draining", "fed"]
    #: Of a dispatch: the ledger it went to, the manifest and what it held.
    generation: str = ""
    manifest: str = ""
    sha256: str = ""
    backlog: str = ""
    jobs: int = 0
    #: Of an operator's word: job → its attempts until then.
    ids: dict[JobId, int] = {}
    #: Of a kind whose waiting jobs went into review: its name, and what its failures had in common.
    kind: str = ""
    words: str = ""
    #: Of a pause: the lane, or the device; of a drain: the node. Empty: all of them.
    place: str = ""


#: A word on a place; `resumed` and `fed` take the others back.
Word = Literal["paused", "resumed", "draining", "fed"]


class Source(Value, frozen=True, kw_only=True):
    """A manifest that was dispatched, and where to."""

    manifest: Path
    backlog: str
    #: As it was when it was dispatched last.
    sha256: str = ""
    jobs: int = 0

    @property
    def is_unchanged(self) -> bool:
        return self.manifest.is_file() and sha256_of(self.manifest) == self.sha256


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode


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
        """All of them, the eldest first. A line cut by a crash says nothing that was acted upon: passed over."""
        return sorted((note for file in self.files() for note in _notes(file)), key=lambda note: note.at)

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────

    def dispatched(self, manifest: Path, backlog: str, jobs: int, generation: str) -> None:
        """Before the first job goes in; a manifest that did not change is noted once. Raises `ConfigError` when it
        cannot be written: then nothing may go in."""
        note = Note(
            at=time.time(),
            what="dispatched",
            generation=generation,
            manifest=os.path.relpath(manifest.resolve(), self.folder.resolve()),
            sha256=sha256_of(manifest),
            backlog=backlog,
            jobs=jobs,
        )
        last = self._last().get((note.manifest, note.backlog))
        if last is None or (last.generation, last.sha256) != (note.generation, note.sha256):
            self._append(note)

    def operator(self, what: Literal["retried", "cancelled"], ids: Mapping[str, int]) -> None:
        """Job → attempts it has had: what they came to is settled by this word."""
        if ids and self.files():
            self._append(Note(at=time.time(), what=what, ids=dict(ids)))

    def place(self, what: Word, place: str) -> None:
        """A pause or a drain, also before anything was dispatched. Raises `ConfigError` when it cannot be written."""
        self._append(Note(at=time.time(), what=what, place=place))

    def reviewed(self, kind: str, words: str) -> None:
        """What waits of a kind is set aside: for `verify`, which asks no Redis. Said once for each time it happens."""
        last = next((n for n in reversed(self.notes()) if n.what in ("retried", "reviewed")), None)
        if self.files() and (last is None or (last.what, last.kind, last.words) != ("reviewed", kind, words)):
            self._append(Note(at=time.time(), what="reviewed", kind=kind, words=words))

    def _append(self, note: Note) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                size = os.fstat(fd).st_size
                is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
                os.write(fd, b"\n" * is_torn + _encode(note) + b"\n")
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as e:
            raise ConfigError(
                f"{self.file} cannot be written ({e.strerror}); set receipts_dir in conductor.toml to a folder of yours"
            ) from None

    # ── what it comes to ──────────────────────────────────────────────────────────────────────────────────

    def standing(self, generation: str | None) -> Standing:
        """How the ledger of that mark stands to all that was dispatched from here."""
        last = self._last().values()
        known = {note.generation for note in self.notes() if note.what == "dispatched"}
        return Standing(
            sources=tuple(self._source(note) for note in last),
            missing=tuple(self._source(note) for note in last if note.generation != generation),
            is_lost=bool(last) and generation not in known,
            lives=len(known - {generation}),
        )

    def _last(self) -> dict[tuple[str, str], Note]:
        return {(note.manifest, note.backlog): note for note in self.notes() if note.what == "dispatched"}

    def _source(self, note: Note) -> Source:
        manifest = Path(os.path.normpath(self.folder / note.manifest))
        return Source(manifest=manifest, backlog=note.backlog, sha256=note.sha256, jobs=note.jobs)


class Standing(Value, frozen=True, kw_only=True):
    """`missing`: dispatched, and not into this ledger. `is_lost`: nothing that was dispatched is in it."""

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
                f"this Redis knows nothing of what was dispatched ({named}): it was emptied, or it is another one; "
                "`conductor rebuild` brings it back from manifests and receipts, or set redis.url to the right one"
            )
        return f"{named} was dispatched and is not in this Redis: `conductor rebuild` brings it back"


def new_mark() -> str:
    """For a ledger that has none yet."""
    return secrets.token_hex(8)


def sha256_of(manifest: Path) -> str:
    with manifest.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _notes(file: Path) -> Iterator[Note]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip() or not line.endswith(b"\n"):
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
        if note.what == "dispatched" and note.generation != generation:
            # Another ledger: what lay in review waits again.
            generation, words, back = note.generation, {}, {}
        elif note.what == "reviewed":
            words[note.kind], back[note.kind] = note.words, set()
        elif note.what == "retried":
            for ids in back.values():
                ids.update(note.ids)
    return words, back


def places(notes: Iterable[Note]) -> tuple[frozenset[str], frozenset[str]]:
    """What the operator's last words left paused (lanes, devices), and draining (nodes; empty: all)."""
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
    """Job → attempts whose failures the operator forgave (`retry`), and job → attempts when it was cancelled last."""
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
