"""`conductor rotate`: what is old of receipts, journals and notes of removals goes into dated archives.

So do logs that were put aside. Everything that reads the record reads the archives too.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from conductor.adapters.files.archives import FOLDER, PACKED, PART
from conductor.adapters.files.receipt_log import SUFFIX as RECEIPTS
from conductor.adapters.files.rotation import FileBusy, IsOld, one_rotation, rotate_file, sweep
from conductor.base.errors import UsageError
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event
from conductor.model.receipt import MOST_UNHEARD
from conductor.model.spec import Value
from conductor.record.journal import SUFFIX as JOURNAL
from conductor.record.removal_notes import SUFFIX as REMOVALS

#: A log that was put aside: `NAME.1.jsonl`.
PUT_ASIDE = re.compile(r"(.+)\.[0-9]+\.jsonl")


class Rotated(Value, frozen=True, kw_only=True, omit_defaults=False):
    #: Lines that went into archives.
    receipts: int = 0
    notes: int = 0
    removals: int = 0
    #: Log files.
    logs: int = 0
    #: The new archives, by their paths.
    archives: tuple[str, ...] = ()
    #: Files that are left for the next time, and why.
    busy: tuple[str, ...] = ()


class _Ended(Struct):
    ended_at: float


class _At(Struct):
    at: float


def rotate(layout: Layout, before: float, stamp: str) -> Rotated:
    """`before`: what is older (epoch seconds) goes. `stamp`: how the new archives' names begin.

    Cut off at any point it is simply called again. Raises `OSError`, and `UsageError` while somebody else
    rotates.
    """
    archives: list[Path] = []
    busy: list[str] = []
    folder = layout.receipts_dir

    def all_of(suffix: str, is_old: IsOld, keeps: int) -> int:
        """So many lines."""
        sweep(folder, suffix)
        lines = 0
        for file in sorted(folder.glob(f"*{suffix}")):
            try:
                part = rotate_file(file, is_old, stamp, keeps=keeps)
            except FileBusy as e:
                busy.append(str(e))
                continue
            if part is not None:
                archives.append(folder / FOLDER / part.file)
                lines += part.lines
        return lines

    try:
        with one_rotation(folder):
            # A worker that dies has handed in all but its last ones: these are looked for where they were
            # written.
            receipts = all_of(RECEIPTS, _is_before(_Ended, "ended_at", before), MOST_UNHEARD)
            notes = all_of(JOURNAL, _is_before(_At, "at", before), 1)
            removals = all_of(REMOVALS, _is_before(_At, "at", before), 0)
            logs = list(rotate_logs(layout.logs_dir, stamp))
    except FileBusy as e:
        raise UsageError(str(e)) from None
    result = Rotated(
        receipts=receipts,
        notes=notes,
        removals=removals,
        logs=len(logs),
        archives=tuple(map(str, (*archives, *logs))),
        busy=tuple(busy),
    )
    if result.archives:
        words = "Archived {receipts} receipts, {lines} notes and {files} logs"
        emit_event("record.archived", words, receipts=receipts, lines=notes + removals, files=len(logs))
    return result


def _is_before(kind: type[Struct], field: str, before: float) -> IsOld:
    decode: Callable[[bytes], Struct] = msgspec.json.Decoder(kind).decode

    def is_old(line: bytes) -> bool:
        try:
            return getattr(decode(line), field) < before
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True  # Cut by a crash: it goes with those around it.

    return is_old


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────


def rotate_logs(logs_dir: Path, stamp: str) -> Iterator[Path]:
    """Logs that were put aside. Those being written stay: they are put aside once they have grown."""
    target = logs_dir / FOLDER
    for file in sorted(logs_dir.glob("*.jsonl")):
        found = PUT_ASIDE.fullmatch(file.name)
        if found is None:
            continue
        make_own(target)
        current = file.with_name(f"{found[1]}.jsonl")
        # Out of the row in one step: whoever is cut off behind it packs it the next time.
        with unmoved(current), suppress(FileNotFoundError):
            file.rename(target / f"{stamp}.{file.name}")
    for moved in sorted(target.glob("*.jsonl")):
        yield _pack(moved)


@contextmanager
def unmoved(file: Path) -> Generator[None]:
    """The lock of the log that is being written: nobody puts it, or those behind it, aside meanwhile."""
    try:
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):  # a share without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _pack(file: Path) -> Path:
    packed = file.with_name(f"{file.name}{PACKED}")
    draft = packed.with_name(f"{packed.name}{PART}")
    with file.open("rb") as source, draft.open("wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as target:
            shutil.copyfileobj(source, target)
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(packed)
    file.unlink()
    return packed
