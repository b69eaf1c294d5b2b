"""The invariants, held against a live ledger: what `conductor audit` reads and adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from conductor.core.charges import charges, disk_key, vram_key
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value
from conductor.ports import STATES, Ledger

#: Jobs change state while they are counted: a fault counts only when it is there so many times in a row.
LOOKS = 3
SHOWN = 3


class Check(Value, frozen=True, kw_only=True):
    name: str
    is_sound: bool
    #: What was counted, or what is wrong.
    finding: str


class AuditReport(Value, frozen=True, kw_only=True):
    checks: tuple[Check, ...]
    is_sound: bool


def audited(ledger: Ledger) -> AuditReport:
    """Every check; one that fails is looked at again, for a count is not one instant."""
    checks = tuple(settled(check, ledger) for check in (conservation, in_flight, ceilings, attempts))
    return AuditReport(checks=checks, is_sound=all(check.is_sound for check in checks))


def settled(check: Callable[[Ledger], Check], ledger: Ledger) -> Check:
    result = check(ledger)
    for _ in range(LOOKS - 1):
        if result.is_sound:
            break
        result = check(ledger)
    return result


def conservation(ledger: Ledger) -> Check:
    """Each backlog's counts against the jobs themselves, each of them in exactly one state."""
    faults: list[str] = []
    jobs = 0
    for backlog in ledger.backlog.backlogs():
        counts = ledger.backlog.counts(backlog)
        seen: Counter[str] = Counter()
        for state in STATES:
            ids = list(ledger.backlog.ids(state, backlog))
            seen.update(ids)
            jobs += len(ids)
            if len(ids) != counts.get(state, 0):
                faults.append(f"{backlog}: {counts.get(state, 0)} counted as {state}, {len(ids)} there")
        faults += [f"{job_id} is in {n} states" for job_id, n in seen.items() if n > 1]
    return verdict("conservation", faults, f"{jobs} jobs, each in exactly one state")


def in_flight(ledger: Ledger) -> Check:
    """A reservation for each admitted or running job, and for no other."""
    reserved = {r.job_id for r in ledger.handover.reservations()}
    active = {job_id for state in ("admitted", "running") for job_id in ledger.backlog.ids(state)}
    faults = [f"{job_id} holds a reservation and is not in flight" for job_id in sorted(reserved - active)]
    faults += [f"{job_id} is in flight without a reservation" for job_id in sorted(active - reserved)]
    return verdict("reservations", faults, f"{len(reserved)}, one for each job in flight")


def ceilings(ledger: Ledger) -> Check:
    """What is reserved fits the device, the disk, the host that was reported."""
    nodes = ledger.reports.live()
    sums = summed(ledger.handover.reservations())
    limits = {key: limit for node in nodes for key, limit in capacities(node).items()}
    faults = [f"{key}: {sums[key]} reserved of {limit}" for key, limit in limits.items() if sums[key] > limit]
    return verdict("ceilings", faults, f"{len(limits)} capacities, none overbooked")


def summed(reservations: Iterable[Reservation]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for reservation in reservations:
        sums.update(charges(reservation))
    return sums


def capacities(node: NodeReport) -> dict[str, int]:
    found = {vram_key(node.node, device.key): device.vram_total_mib for device in node.devices}
    disks = {disk_key(node.node, v.root): v.total_bytes for v in node.volumes if v.total_bytes is not None}
    return found | disks


def attempts(ledger: Ledger) -> Check:
    """No job in flight has more reservations than one attempt."""
    each = Counter(r.job_id for r in ledger.handover.reservations())
    faults = [f"{job_id} holds {n} reservations" for job_id, n in each.items() if n > 1]
    return verdict("attempts", faults, f"{len(each)} in flight, one attempt each")


def verdict(name: str, faults: list[str], sound: str) -> Check:
    words = "; ".join(faults[:SHOWN]) + (f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else "")
    return Check(name=name, is_sound=not faults, finding=words or sound)
