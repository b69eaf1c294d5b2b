"""A new job reads a file that was removed, since all who read it were done: its writer runs again, and before
it the writers of what that one reads and what is gone too.

The order bears a kill at any point. First the files are kept: what is still there stays. Then, those that are
read before those that read them, a writer's receipt is taken back, and in one step it waits again, behind
what it comes after. Called again, all of this finds what is done already. The new jobs come last, and wait
for all of it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import FileReceiptLog, read_receipts
from conductor.base.text import many
from conductor.core.chains.chains import root_of
from conductor.core.chains.transfers import bound_for
from conductor.model.ledger_entries import Waits
from conductor.model.receipt import number_of
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record import removal_notes
from conductor.record.receipts import JobRecord

#: So many paths in one step.
BATCH = 500
#: A node that removes files says so at once; one that does not answer for so long is not waited for.
BUSY_S = 10.0
LOOK_EVERY_S = 0.05
#: Path → jobs that read it.
Readers = Mapping[str, Sequence[str]]


class Remade(Struct, frozen=True, kw_only=True):
    """What was found gone, and what runs (or, of a dry run, would run) again for it."""

    files: int = 0
    #: Backlog → jobs sent back to it; under "" those that the ledger is to be given first.
    again: Mapping[str, frozenset[str]] = {}
    #: Reader of something that is gone → the writers it waits for.
    behind: Mapping[str, frozenset[str]] = {}
    #: Path that is gone, and whose writer nobody knows → who reads it.
    lost: Readers = {}

    @property
    def ids(self) -> frozenset[str]:
        return frozenset[str]().union(*self.again.values())

    def sentence(self, backlog: str, is_dry_run: bool = False) -> str:
        """«12 files were removed since: their 12 jobs run again»; empty where nothing runs again."""
        if not self.ids:
            return ""
        elsewhere = {name: len(ids) for name, ids in sorted(self.again.items()) if name not in ("", backlog)}
        where = ", ".join(f"{count} in backlog:{name}" for name, count in elsewhere.items())
        were = "file was" if self.files == 1 else "files were"
        jobs = many(len(self.ids), "job")
        run = "would run" if is_dry_run else "runs" if len(self.ids) == 1 else "run"
        return f"{self.files} {were} removed since: {jobs} {run} again" + (f" ({where})" if where else "")


NOTHING = Remade()


class Makers:
    """Who made what was removed, over all manifests that are known here. Read when something is gone, not
    before.
    """

    def __init__(self, files: Iterable[Path], noted: Set[str]) -> None:
        self.files = [file for file in dict.fromkeys(files) if file.is_file()]
        self.of: dict[str, JobSpec] = {}
        for spec in self._specs():
            if not bound_for(spec):
                self.of |= {output.path: spec for output in spec.writes if output.path in noted}

    def _specs(self) -> Iterator[JobSpec]:
        for file in self.files:
            yield from manifests.read(file)

    def dependants(self, wanted: Set[str]) -> dict[str, tuple[list[str], list[str]]]:
        """Job → those in whose `after`, and in whose `after_ended`, it stands."""
        found: dict[str, tuple[list[str], list[str]]] = {job_id: ([], []) for job_id in wanted}
        for spec in self._specs() if wanted else ():
            for number, others in enumerate((spec.after, spec.after_ended)):
                for other in wanted & set(others):
                    found[other][number].append(spec.id)
        return found


class Remaker:
    """One call of `remake`."""

    def __init__(
        self, ledger: Ledger, receipts_dir: Path, ephemeral_roots: Set[str], is_dry_run: bool
    ) -> None:
        self._ledger = ledger
        self._folder = receipts_dir
        self._roots = ephemeral_roots
        self._is_dry_run = is_dry_run
        self._notes: dict[str, set[tuple[str, int]]] = {}
        for note in removal_notes.read(receipts_dir):
            self._notes.setdefault(note.path, set()).add((note.job_id, note.attempt))
        self._going: dict[str, str] = {}
        #: Removed on one node, and there on another, where a transfer brought them.
        self._lying: set[str] = set()
        self._records: dict[str, JobRecord] = {}
        #: Writer that runs again → those it waits for, in the order in which they were found.
        self._again: dict[str, list[str]] = {}
        self._backlog_of: dict[str, str] = {}
        self._behind: dict[str, set[str]] = {}
        self._gone: set[str] = set()
        self._lost: dict[str, Sequence[str]] = {}

    def run(self, readers: Readers, files: Iterable[Path], own: Set[str]) -> Remade:
        """`own`: jobs of the manifests that are about to be put."""
        self._keep(readers)
        if not any(path in self._notes or path in self._going for path in readers):
            return NOTHING
        makers = Makers(files, self._notes.keys() | self._going.keys())
        self._read_records({spec.id for spec in makers.of.values()})
        front = dict(readers)
        while front:
            front = self._look(front, makers, own)
            self._keep(front)
        if not self._lost and not self._is_dry_run:
            self._send(makers)
        again: dict[str, set[str]] = {}
        for job_id in self._again:
            again.setdefault(self._backlog_of[job_id], set()).add(job_id)
        behind = {reader: frozenset(ids) for reader, ids in self._behind.items()}
        sent = {name: frozenset(ids) for name, ids in again.items()}
        return Remade(files=len(self._gone), again=sent, behind=behind, lost=self._lost)

    def _keep(self, readers: Readers) -> None:
        """What is there stays from now on; so what is gone is known when this returns, and stays known."""
        paths = sorted(readers)
        for first in range(0, len(paths) if not self._is_dry_run else 0, BATCH):
            batch = {path: readers[path] for path in paths[first : first + BATCH]}
            self._going |= self._ledger.files.keep(batch)
        noted = sorted(self._notes.keys() & readers.keys())
        for first in range(0, len(noted), BATCH):
            self._lying |= {fact.path for fact in self._ledger.files.lying(noted[first : first + BATCH])}

    def _read_records(self, ids: Set[str]) -> None:
        for receipt in read_receipts(self._folder):
            if receipt.job_id in ids:
                self._records.setdefault(receipt.job_id, JobRecord()).add(receipt)

    def _look(self, front: Readers, makers: Makers, own: Set[str]) -> dict[str, list[str]]:
        """The paths that those read who run again, and who they are."""
        deeper: dict[str, list[str]] = {}
        for path, ids in sorted(front.items()):
            spec = makers.of.get(path)
            if not self._is_gone(path, spec):
                continue
            if spec is None:
                self._lost[path] = ids
                continue
            is_first = spec.id not in self._again
            if is_first and (state := self._state(spec, own)) != "done":
                if state is None:
                    self._lost[path] = ids
                self._wait(ids, spec)
                continue
            self._gone.add(path)
            self._again.setdefault(spec.id, [])
            self._wait(ids, spec)
            for read in spec.reads if is_first else ():
                if root_of(read) in self._roots:
                    deeper.setdefault(read, []).append(spec.id)
        return deeper

    def _wait(self, readers: Sequence[str], spec: JobSpec) -> None:
        for reader in readers:
            self._behind.setdefault(reader, set()).add(spec.id)
            if reader in self._again and spec.id in self._again:
                self._again[reader].append(spec.id)

    def _is_gone(self, path: str, spec: JobSpec | None) -> bool:
        if path in self._going:
            return True
        if path in self._lying:
            return False
        noted = self._notes.get(path)
        if not noted or spec is None:
            return bool(noted)
        record = self._records.get(spec.id, JobRecord())
        # Taken back by an earlier call that was killed before the ledger heard of it.
        taken_back = {number_of(body) for body in record.taken_back}
        attempts = taken_back if record.accepted is None else {record.accepted.attempt}
        return any((spec.id, attempt) in noted for attempt in attempts)

    def _state(self, spec: JobSpec, own: Set[str]) -> str | None:
        """None: it is in no backlog here, and nobody is about to put it there. Not `done`: it is on its way,
        or dead; its readers wait for it, or die with it."""
        view = self._ledger.jobs.job(spec.id)
        if view is not None:
            self._backlog_of[spec.id] = view.backlog
            return view.state
        if spec.id not in own:
            return None
        self._backlog_of[spec.id] = ""
        return "waiting" if self._records.get(spec.id, JobRecord()).accepted is None else "done"

    def _send(self, makers: Makers) -> None:
        specs = {spec.id: spec for spec in makers.of.values() if spec.id in self._again}
        after = makers.dependants(specs.keys())
        log = FileReceiptLog(self._folder, f"operator-{os.getpid()}-{secrets.token_hex(3)}")
        try:
            for job_id in in_order(self._again):
                spec, record = specs[job_id], self._records.get(job_id, JobRecord())
                take_back(log, record, "its output was removed, and is wanted again")
                if self._backlog_of[job_id]:
                    # All else that it comes after was done once, and may be in no backlog any more.
                    writers = self._behind.get(job_id, set[str]())
                    ended = writers.intersection(spec.after_ended).difference(spec.after)
                    send_back(
                        self._ledger, job_id, record, after[job_id], (sorted(writers - ended), sorted(ended))
                    )
        finally:
            log.close()


def remake(
    ledger: Ledger,
    receipts_dir: Path,
    ephemeral_roots: Set[str],
    readers: Readers,
    files: Iterable[Path],
    own: Set[str],
    *,
    is_dry_run: bool = False,
) -> Remade:
    """What `readers` read and what was removed is made again. `files`: all manifests known here. `own`: the
    jobs that are about to be put. Nothing is sent back where something of it cannot be made again (`lost`).

    Raises `Unreachable`, `ManifestError`, `OSError`; then it is simply called again.
    """
    if not readers:
        return NOTHING
    known = [file.resolve() for file in files]
    planned = Remaker(ledger, receipts_dir, ephemeral_roots, is_dry_run=True).run(readers, known, own)
    if is_dry_run or planned.lost:
        return planned
    # What is removed between the two is found by the second.
    return Remaker(ledger, receipts_dir, ephemeral_roots, is_dry_run=False).run(readers, known, own)


def unsaid(spec: JobSpec, writers: Iterable[str]) -> tuple[str, ...]:
    """Those writers that its line does not name: that they are done went without saying."""
    return tuple(sorted(set(writers).difference(spec.after, spec.after_ended)))


def in_order(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Each behind those it waits for."""
    order: dict[str, None] = {}
    stack = [(job_id, False) for job_id in reversed(list(waits))]
    begun: set[str] = set()
    while stack:
        job_id, is_ready = stack.pop()
        if is_ready:
            order[job_id] = None
        elif job_id not in begun:
            begun.add(job_id)
            stack.append((job_id, True))
            stack += [(other, False) for other in waits[job_id] if other in waits and other not in begun]
    return list(order)


def take_back(log: FileReceiptLog, record: JobRecord, words: str) -> None:
    """From then on it counts as not done wherever receipts are read."""
    if record.valid:
        log.extend([replace(receipt, outcome="superseded", message=words) for receipt in record.valid])


def send_back(
    ledger: Ledger, job_id: str, record: JobRecord, after: tuple[Sequence[str], Sequence[str]], own: Waits
) -> bool:
    """Its receipts are taken back: done → waiting. False where it was not done. `after`: who comes after
    it.
    """
    # Also those taken back by an earlier call that was killed before this step.
    attempts = sorted(
        {receipt.attempt for receipt in record.oks} | {number_of(body) for body in record.taken_back}
    )
    until = time.monotonic() + BUSY_S
    while True:
        is_forced = time.monotonic() > until
        if any(ledger.commands.redo(job_id, n, *after, own, is_forced=is_forced) for n in attempts):
            return True
        view = ledger.jobs.job(job_id)
        if is_forced or view is None or view.state != "done" or not ledger.files.keep({}):
            return False
        time.sleep(LOOK_EVERY_S)
