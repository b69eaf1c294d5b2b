"""`conductor audit`: every invariant, on the live system or from files alone; every offender by its id.

What looks wrong is looked at again before it is said: receipts and reports are not of the same instant as the
ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from conductor.base.files.layout import Layout
from conductor.base.text import many
from conductor.core.admission.earliest_start import is_never
from conductor.core.admission.explain import never_sentence, never_words
from conductor.model.spec import Value
from conductor.model.subject import subject_of, subject_of_line
from conductor.record.journal import Journal
from conductor.record.manifest import read
from conductor.recovery import audit_files as files
from conductor.recovery.audit_ledger import LEDGER_CHECKS, AuditFault, capacities, ceilings, workers

if TYPE_CHECKING:
    from conductor.adapters.redis.scans.full_ledger import FullLedger
    from conductor.ports import Ledger

#: A fault counts only when it is there in every look; so long between them.
PAUSES_S = (0.25, 0.75, 2.0)
SHOWN = 3


class Check(Value, frozen=True, kw_only=True, omit_defaults=False):
    name: str
    is_sound: bool
    #: What was counted, or what is wrong, in short.
    finding: str
    #: All that is wrong: «subject: what». The subject is a job's id, wherever it is about one.
    faults: tuple[str, ...] = ()


class AuditReport(Value, frozen=True, kw_only=True, omit_defaults=False):
    checks: tuple[Check, ...]
    is_sound: bool
    #: Job that is at fault → what it is about: «media.cut · clip7.mp4».
    about: dict[str, str] = {}


#: Of jobs at fault that many are named by what they are about.
MOST_NAMED = 1000
#: Jobs, whatever is at fault besides among them → what those of them are about.
Naming = Callable[[Sequence[str]], dict[str, str]]
#: Check → what is wrong, and what was counted.
Look = dict[str, tuple[list[AuditFault], str]]


def audit_live(
    ledger: Ledger, read_full_ledger: Callable[[], FullLedger], layout: Layout, is_hashing: bool
) -> AuditReport:
    """Hold ledger, queues, reports, receipts and outputs against each other. Raises `Unreachable`."""
    outputs = files.Outputs(layout, is_hashing)
    return settled(partial(look_live, ledger, read_full_ledger, layout, outputs), partial(_named_by, ledger))


def _named_by(ledger: Ledger, ids: Sequence[str]) -> dict[str, str]:
    found = ledger.jobs.lines(ids)
    return {job_id: subject for job_id, line in found.items() if (subject := subject_of_line(line, ""))}


def look_live(
    ledger: Ledger, read_full_ledger: Callable[[], FullLedger], layout: Layout, outputs: files.Outputs
) -> Look:
    # The full ledger first: a receipt is on disk before its job is done.
    full = read_full_ledger()
    nodes = ledger.reports.live()
    proofs = files.Proofs(layout.receipts_dir)
    look: Look = {name: (list(check(full)), sound(full)) for name, (check, sound) in LEDGER_CHECKS.items()}
    limits = capacities(nodes)
    look["ceilings"] = list(ceilings(full, nodes)), f"{many(len(limits), 'limit')}, none overbooked"
    running = sum(held.state == "running" for held in full.reservations.values())
    look["workers"] = list(workers(full, nodes)), f"{running} running, each on a node that reports"
    ours = [job_id for job_id in full.jobs if job_id in proofs]
    look["receipts"] = (
        [*files.receipts(full, proofs), *files.one_each(proofs), *files.whole(proofs)],
        f"{proofs.read} on disk, {len(ours)} of them proofs of this ledger's jobs",
    )
    look["reasons"] = list(never(ledger)), "what waits can run here"
    sources = Journal(layout.receipts_dir).ledger_match(ledger.identity.generation()).present
    look["dispatched"] = (
        list(files.dispatched(full, sources)),
        f"{many(len(sources), 'manifest')}, every job is there",
    )
    return look | of_outputs(outputs, proofs, ours)


def never(ledger: Ledger) -> Iterator[AuditFault]:
    """What waits in vain, as the last tick found; without a conductor nobody asks."""
    gates = ledger.gate_record.gates()
    if ledger.leadership.leader() is not None:
        for hold in gates.holds:
            if is_never(hold, gates.at):
                yield AuditFault(
                    hold.head or hold.class_id,
                    f"{never_words(hold, gates.at)}: {never_sentence(hold, gates.at)}",
                )


def audit_files(manifests: Sequence[Path], layout: Layout, is_hashing: bool) -> AuditReport:
    """From manifests, receipts and outputs alone. Raises `ManifestError`."""
    outputs = files.Outputs(layout, is_hashing)
    return settled(partial(look_at_files, manifests, layout, outputs), partial(_named_in, manifests))


def _named_in(manifests: Sequence[Path], ids: Sequence[str]) -> dict[str, str]:
    wanted = frozenset(ids)
    specs = (spec for manifest in manifests for spec in read(manifest))
    return {spec.id: subject_of(spec) for spec in specs if spec.id in wanted}


def look_at_files(manifests: Sequence[Path], layout: Layout, outputs: files.Outputs) -> Look:
    ids = files.ids_of(manifests)
    proofs = files.Proofs(layout.receipts_dir)
    done = [job_id for job_id in ids if job_id in proofs]
    ours = (fault for fault in files.one_each(proofs) if fault.subject in ids)
    look: Look = {
        "receipts": (
            [*ours, *files.whole(proofs)],
            f"{len(done)} of {len(ids)} jobs done, each by one receipt",
        ),
        "order": (list(files.order(proofs, manifests)), "none before what it comes after"),
        "declared": (list(files.declared(proofs, manifests)), "receipts name what was declared"),
    }
    return look | of_outputs(outputs, proofs, done)


def of_outputs(outputs: files.Outputs, proofs: files.Proofs, ids: Sequence[str]) -> Look:
    outputs.looked_at = 0
    faults = [*outputs.faults(proofs, ids), *files.published_twice(proofs, ids)]
    return {"outputs": (faults, f"{many(outputs.looked_at, 'file')} as published")}


def settled(look: Callable[[], Look], naming: Naming) -> AuditReport:
    """What is wrong in every look: a system at work changes while it is looked at."""
    found = look()
    for pause_s in PAUSES_S:
        if not any(faults for faults, _ in found.values()):
            break
        time.sleep(pause_s)
        again = look()
        found = {name: (still(found[name][0], faults), sound) for name, (faults, sound) in again.items()}
    checks = tuple(verdict(name, faults, sound) for name, (faults, sound) in found.items())
    ids = list(dict.fromkeys(fault.subject for faults, _ in found.values() for fault in faults))
    about = naming(ids[:MOST_NAMED]) if ids else {}
    return AuditReport(checks=checks, is_sound=all(check.is_sound for check in checks), about=about)


def still(before: list[AuditFault], now: list[AuditFault]) -> list[AuditFault]:
    """Those of now whose subject was at fault before; in what way may have changed meanwhile (a count, an
    age).
    """
    known = {fault.subject for fault in before}
    return [fault for fault in now if fault.subject in known]


def verdict(name: str, faults: list[AuditFault], sound: str) -> Check:
    all_of_them = tuple(f"{fault.subject}: {fault.words}" for fault in faults)
    return Check(name=name, is_sound=not faults, finding=_first(all_of_them) or sound, faults=all_of_them)


def _first(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return "; ".join(faults[:SHOWN]) + more


def lines(report: AuditReport) -> Iterator[str]:
    """One line a check, and below it every offender that it has no room for."""
    for check in report.checks:
        faults = [_told(fault, report.about) for fault in check.faults]
        yield f"{'ok ' if check.is_sound else 'BAD'}  {check.name}: {_first(faults) or check.finding}"
        for fault in faults[SHOWN:]:
            yield f"       {fault}"


def _told(fault: str, about: Mapping[str, str]) -> str:
    """«media.cut · clip7.mp4 (ID): is waiting and nowhere»."""
    job_id, colon, words = fault.partition(": ")
    return f"{about[job_id]} ({job_id}): {words}" if colon and job_id in about else fault
