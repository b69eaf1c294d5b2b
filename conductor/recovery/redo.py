"""Make done jobs again: the receipt is taken back first, their outputs go aside, then they wait again.
`redo_missing` does so with what verify finds missing, altered or done twice, or without a receipt.

The order bears a kill at any point: with the receipt taken back the job counts as not done wherever receipts
are read, and the same command goes on from there.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Set
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.errors import BadInput, ConfigError
from conductor.base.files import cross_device_move, paths, safe_open
from conductor.base.files.layout import Layout
from conductor.dispatch.rerun_writers import send_back, take_back
from conductor.model.ledger_entries import Waits
from conductor.model.receipt import RECEIPT_VERSION, Receipt, number_of
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record.receipts import JobRecord, Records, record_of
from conductor.verify.report import VerifyFinding
from conductor.verify.verify import verify

#: In receipts: by whose word they were taken back.
OPERATOR = "operator"
#: Why a receipt is taken back.
MISSING = "its output is missing or altered, or it was done twice"
#: In whose `after` a job stands, and in whose `after_ended`.
Dependants = tuple[list[str], list[str]]


class Redone(Struct, frozen=True, kw_only=True):
    """What became of the jobs that were to be made again."""

    sent_back: tuple[str, ...] = ()
    #: Waiting, running or dead: their turn will come, or comes with `conductor retry`.
    not_done: tuple[str, ...] = ()
    #: In no backlog: `conductor dispatch` brings them.
    unknown: tuple[str, ...] = ()
    #: Where altered files lie now.
    aside: tuple[str, ...] = ()


def redo_missing(ledger: Ledger, manifest: Path, layout: Layout) -> Redone:
    """Send back every job of `manifest` that is done and whose outputs are not there as they were published,
    or which two receipts call done.

    Raises `ConfigError` while a root with such outputs is not there: then everything on it would be made
    again.
    """
    report = verify(manifest, layout.receipts_dir, layout)
    check_roots(layout, (paths.split(f.path)[0] for f in report.findings if f.path))
    wanted = with_makers(manifest, {f.job_id for f in report.findings if is_to_be_made_again(f)}, layout)
    specs = [spec for spec in manifests.read(manifest) if spec.id in wanted]
    after = dependants(manifests.read(manifest), wanted)
    with (
        closing(Records.gather(manifest, layout.receipts_dir)) as records,
        closing(Again(ledger, layout)) as again,
    ):
        # In the order of the manifest: who is made again waits for those before it that are.
        for spec in specs:
            own = [o for o in spec.after if o in wanted], [o for o in spec.after_ended if o in wanted]
            again.make(spec, records.of(spec.id), after[spec.id], own, MISSING)
    return again.redone()


def is_to_be_made_again(finding: VerifyFinding) -> bool:
    """Also a job of which two receipts stand: nobody knows which of its bodies left what is there."""
    return finding.kind in ("missing", "altered") or (finding.kind == "duplicate" and not finding.path)


class Again:
    """Sends jobs back, one after the other, with one file of receipts for all that is taken back."""

    def __init__(self, ledger: Ledger, layout: Layout) -> None:
        self._ledger = ledger
        self._layout = layout
        self._log = FileReceiptLog(layout.receipts_dir, f"{OPERATOR}-{os.getpid()}-{secrets.token_hex(3)}")
        self._found: dict[str, list[str]] = {"sent_back": [], "not_done": [], "unknown": [], "aside": []}

    def make(self, spec: JobSpec, record: JobRecord, after: Dependants, own: Waits, words: str) -> None:
        """`after`: who comes after it; `own`: what is made again before it. `words`: why its receipt is taken
        back.

        Raises `Unreachable`, `OSError`; then all of it is simply called again."""
        if (where := self._make(spec, record, after, own, words)) is not None:
            self._found[where].append(spec.id)

    def _make(
        self, spec: JobSpec, record: JobRecord, after: Dependants, own: Waits, words: str
    ) -> str | None:
        job = self._ledger.jobs.job(spec.id)
        if job is None:
            return "unknown"
        if job.state != "done":
            return "not_done"
        if record.accepted is None and job.accepted not in record.taken_back:
            # A receipt is there before its job is done: perhaps it came since the receipts were read.
            record = record_of(self._layout.receipts_dir, spec.id)
            if record.accepted is not None:
                return None
            self._take_back_lost(spec, record, job.accepted)
        take_back(self._log, record, f"taken back by the operator: {words}")
        for attempt in sorted(record.attempts or {number_of(body) for body in record.taken_back}):
            self._found["aside"] += move_aside(self._layout, spec, attempt)
        is_sent = send_back(self._ledger, spec.id, record, after, own)
        # Those that had found the output missing, and are dead of it.
        for other in (*after[0], *after[1]):
            view = self._ledger.jobs.job(other)
            if is_sent and view is not None and view.state == "dead" and view.cause == "bad_input":
                self._ledger.commands.retry(other)
        return "sent_back" if is_sent else "not_done"

    def _take_back_lost(self, spec: JobSpec, record: JobRecord, body: str) -> None:
        """Also what is nowhere: its file may turn up again, and is not to count then."""
        if not body or body in record.taken_back:
            return
        now = time.time()
        lost = Receipt(
            v=RECEIPT_VERSION,
            job_id=spec.id,
            attempt=number_of(body),
            token=body.partition(".")[2],
            workflow=spec.workflow,
            task=spec.task,
            outcome="superseded",
            message="taken back by the operator: no receipt of it is on disk",
            started_at=now,
            ended_at=now,
            node="",
            worker=OPERATOR,
        )
        self._log.append(lost)
        record.add(lost)

    def redone(self) -> Redone:
        return Redone(**{name: tuple(ids) for name, ids in self._found.items()})

    def close(self) -> None:
        self._log.close()


def check_roots(layout: Layout, roots: Iterable[str]) -> None:
    """An unmounted share is not a thousand deleted files; and what lies on it could not be put aside."""
    for root in sorted(set(roots)):
        declared = layout.roots.get(root)
        if declared is None:
            continue
        gone = not declared.path.is_dir() or (
            declared.marker and not (declared.path / declared.marker).exists()
        )
        if gone:
            raise ConfigError(
                f"{root} is not mounted at {declared.path}: mount it, or its jobs would all be made again"
            )


def with_makers(manifest: Path, wanted: Set[str], layout: Layout) -> frozenset[str]:
    """These jobs, and those that make what they read and what was removed when it was read: however far
    back.
    """
    maker: dict[str, str] = {}
    reads: dict[str, tuple[str, ...]] = {}
    for spec in manifests.read(manifest) if wanted else ():
        maker |= {output.path: spec.id for output in spec.writes}
        if spec.reads:
            reads[spec.id] = spec.reads
    found, front = set(wanted), list(wanted)
    while front:
        for path in reads.get(front.pop(), ()):
            other = maker.get(path)
            if other is not None and other not in found and not _is_there(layout, path):
                found.add(other)
                front.append(other)
    return frozenset(found)


def _is_there(layout: Layout, path: str) -> bool:
    try:
        return paths.resolve(layout, path, for_writing=False).exists()
    except BadInput:
        return False


def dependants(specs: Iterable[JobSpec], wanted: Iterable[str]) -> dict[str, Dependants]:
    """Job → those in whose `after`, and in whose `after_ended`, it stands."""
    found: dict[str, Dependants] = {job_id: ([], []) for job_id in wanted}
    for spec in specs:
        for number, others in enumerate((spec.after, spec.after_ended)):
            for other in others:
                if other in found:
                    found[other][number].append(spec.id)
    return found


def move_aside(layout: Layout, spec: JobSpec, attempt: int) -> list[str]:
    """Every output that still stands goes to `.tmp/aside/ID.ATTEMPT` of its root: the new one must not
    meet it.
    """
    moved: list[str] = []
    for output in spec.writes:
        root, relative = paths.split(output.path)
        try:
            file = paths.output_place(layout, output.path)
        except BadInput:
            continue
        if not file.is_symlink() and not file.exists():
            continue
        base, (*parts, name) = paths.root_folder(layout, root), relative.split("/")
        aside = (paths.STAGING, paths.ASIDE, f"{spec.id}.{attempt}", *parts)
        with safe_open.below(base, parts) as here, safe_open.below(base, aside, make=True) as there:
            cross_device_move.move(name, here, there)
        moved.append(str(base.joinpath(*aside, name)))
    return moved
