"""Make again what verify finds missing, altered or done twice: the receipt is taken back first, then the job waits.

The order bears a kill at any point: with the receipt taken back the job counts as not done wherever receipts are read,
and the same command goes on from there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Set
from pathlib import Path

from msgspec import Struct

from conductor import manifest as manifests
from conductor import paths
from conductor.adapters.receipt_log import ReceiptLog
from conductor.errors import BadInput, ConfigError
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from conductor.records import Record, Records
from conductor.recovery.remake import send_back, take_back
from conductor.settings import Settings
from conductor.verify import verify
from conductor.verify_report import Finding


class Redone(Struct, frozen=True, kw_only=True):
    """What became of the jobs with missing or altered outputs."""

    sent_back: tuple[str, ...] = ()
    #: Waiting, running or dead: their turn will come, or comes with `conductor retry`.
    not_done: tuple[str, ...] = ()
    #: In no backlog: `conductor dispatch` brings them.
    unknown: tuple[str, ...] = ()
    #: Where altered files lie now.
    aside: tuple[str, ...] = ()


def redo_missing(ledger: Ledger, manifest: Path, settings: Settings) -> Redone:
    """Send back every job of `manifest` that is done and whose outputs are not there as they were published, or
    which two receipts call done.

    Raises `ConfigError` while a root with such outputs is not there: then everything on it would be made again.
    """
    report = verify(manifest, settings.receipts_dir, settings)
    check_roots(settings, report.findings)
    wanted = with_makers(manifest, {f.job_id for f in report.findings if is_to_be_made_again(f)}, settings)
    records = Records.gather(manifest, settings.receipts_dir)
    specs = [spec for spec in manifests.read(manifest) if spec.id in wanted]
    after = dependants(manifests.read(manifest), wanted)
    log = ReceiptLog(settings.receipts_dir, f"operator-{os.getpid()}-{secrets.token_hex(3)}")
    found: dict[str, list[str]] = {"sent_back": [], "not_done": [], "unknown": [], "aside": []}
    try:
        # In the order of the manifest: who is made again waits for those before it that are.
        for spec in specs:
            where = _redo(ledger, spec, records.of(spec.id), after[spec.id], wanted, log, settings, found["aside"])
            found[where].append(spec.id)
    finally:
        log.close()
        records.close()
    return Redone(**{name: tuple(ids) for name, ids in found.items()})


def is_to_be_made_again(finding: Finding) -> bool:
    """Also a job of which two receipts stand: nobody knows which of its bodies left what is there."""
    return finding.kind in ("missing", "altered") or (finding.kind == "duplicate" and not finding.path)


def check_roots(settings: Settings, findings: Iterable[Finding]) -> None:
    """An unmounted share is not a thousand deleted files."""
    for root in {paths.split(f.path)[0] for f in findings if f.path}:
        declared = settings.roots.get(root)
        if declared is None:
            continue
        gone = not declared.path.is_dir() or (declared.marker and not (declared.path / declared.marker).exists())
        if gone:
            raise ConfigError(
                f"{root} is not mounted at {declared.path}: mount it, or its jobs would all be made again"
            )


def with_makers(manifest: Path, wanted: Set[str], settings: Settings) -> frozenset[str]:
    """These jobs, and those that make what they read and what was removed when it was read: however far back."""
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
            if other is not None and other not in found and not _is_there(settings, path):
                found.add(other)
                front.append(other)
    return frozenset(found)


def _is_there(settings: Settings, path: str) -> bool:
    try:
        return paths.resolve(settings, path, for_writing=False).exists()
    except BadInput:
        return False


Dependants = tuple[list[str], list[str]]


def dependants(specs: Iterable[JobSpec], wanted: Iterable[str]) -> dict[str, Dependants]:
    """Job → those in whose `after`, and in whose `after_ended`, it stands."""
    found: dict[str, Dependants] = {job_id: ([], []) for job_id in wanted}
    for spec in specs:
        for number, others in enumerate((spec.after, spec.after_ended)):
            for other in others:
                if other in found:
                    found[other][number].append(spec.id)
    return found


def _redo(
    ledger: Ledger,
    spec: JobSpec,
    record: Record,
    after: Dependants,
    wanted: Set[str],
    log: ReceiptLog,
    settings: Settings,
    aside: list[str],
) -> str:
    """Which list of `Redone` it belongs to."""
    job = ledger.backlog.job(spec.id)
    if job is None:
        return "unknown"
    if job.state != "done":
        return "not_done"
    take_back(log, record, "taken back by the operator: its output is missing or altered, or it was done twice")
    for attempt in sorted(record.attempts):
        aside += move_aside(settings, spec, attempt)
    own = [other for other in spec.after if other in wanted], [other for other in spec.after_ended if other in wanted]
    is_sent = send_back(ledger, spec.id, record, after, own)
    # Those that had found the output missing, and are dead of it.
    for other in (*after[0], *after[1]):
        view = ledger.backlog.job(other)
        if is_sent and view is not None and view.state == "dead" and view.cause == "bad_input":
            ledger.control.retry(other)
    return "sent_back" if is_sent else "not_done"


def move_aside(settings: Settings, spec: JobSpec, attempt: int) -> list[str]:
    """Every output that still stands goes to `.tmp/aside/ID.ATTEMPT` of its root: the new one must not meet it."""
    moved: list[str] = []
    for output in spec.writes:
        root, relative = paths.split(output.path)
        try:
            file = paths.output_place(settings, output.path)
        except BadInput:
            continue
        if not file.is_symlink() and not file.exists():
            continue
        target = paths.root_folder(settings, root) / paths.STAGING / paths.ASIDE / f"{spec.id}.{attempt}" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        moved.append(str(target))
    return moved
