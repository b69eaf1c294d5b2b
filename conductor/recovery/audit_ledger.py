"""The invariants of the ledger itself, held against all of it at one instant. Pure: (full ledger, reports) →
faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from conductor.adapters.redis.scans.full_ledger import FullLedger
from conductor.base.redis_keys import entry
from conductor.core.capacity.charges import charges, disk_key
from conductor.core.capacity.resources import VRAM, charge_key
from conductor.core.failures.history import named
from conductor.model.ledger_entries import STATES, JobState
from conductor.model.report import NodeReport

ENDED: tuple[JobState, ...] = ("done", "dead", "review", "cancelled")
#: Whoever is to rescue an orphan has had so long.
RESCUE_S = 30.0


class AuditFault(NamedTuple):
    #: The job, or what else is wrong: a backlog, a charge key, an entry.
    subject: str
    words: str


def conservation(full: FullLedger) -> Iterator[AuditFault]:
    """Each backlog's counts against the jobs themselves."""
    seen: Counter[tuple[str, str]] = Counter()
    for job_id, row in full.jobs.items():
        backlog = full.backlog_of.get(row.class_no)
        if backlog is None:
            yield AuditFault(job_id, f"is of class {row.class_no}, which there is not")
        else:
            seen[backlog, row.state] += 1
    for job_id in full.garbled:
        yield AuditFault(job_id, "has a state that cannot be read")
    for job_id in full.lineless:
        yield AuditFault(job_id, "has no manifest line")
    for backlog in sorted(full.counts.keys() | {backlog for backlog, _ in seen}):
        for state in STATES:
            counted, there = full.counts.get(backlog, {}).get(state, 0), seen[backlog, state]
            if abs(counted - there) > moved(full, backlog):
                yield AuditFault(backlog, f"{counted} counted as {state}, {there} there")


def causes(full: FullLedger) -> Iterator[AuditFault]:
    """Of what the dead died, counted for each backlog, against those that died of themselves."""
    seen: Counter[tuple[str, str]] = Counter()
    #: Of no job that can be read: named elsewhere, and in whose backlog they were is not known.
    lost: Counter[str] = Counter()
    for job_id, cause in full.dead_by_own_cause.items():
        row = full.jobs.get(job_id)
        if row is None:
            lost[cause] += 1
        elif row.state != "dead":
            yield AuditFault(job_id, f"is noted as dead of {cause} and is {row.state}")
        else:
            seen[full.backlog_of.get(row.class_no, ""), cause] += 1
    counted = {(name, cause): n for name, row in full.causes.items() for cause, n in row.items()}
    for backlog, cause in sorted(counted.keys() | seen.keys()):
        told, there = counted.get((backlog, cause), 0), seen[backlog, cause]
        if abs(told - there) > moved(full, backlog) + lost[cause]:
            yield AuditFault(backlog, f"{told} counted as dead of {cause}, {there} there")


def moved(full: FullLedger, backlog: str) -> int:
    """So many jobs may have been seen in the state before: they came, or ended, while the ledger was read. 0
    where they are of one instant, or nothing happened."""
    if full.counts_before is None:
        return 0
    before, now = full.counts_before.get(backlog, {}), full.counts.get(backlog, {})
    came = sum(now.values()) - sum(before.values())
    return came + sum(abs(now.get(state, 0) - before.get(state, 0)) for state in ENDED)


def places(full: FullLedger) -> Iterator[AuditFault]:
    """Each job is in the one place that its state names, and in no other."""
    found = _found(full)
    ends = {
        "admitted": "handed",
        "running": "leased",
        **{state: f"set of the {state}" for state in full.by_state},
    }
    for job_id, row in full.jobs.items():
        at = found.get(job_id, ())
        allowed = (
            (f"class {row.class_no}", "delayed", "bound")
            if row.state == "waiting"
            else (ends.get(row.state),)
        )
        wanted = row.state == "waiting" or row.state in ends
        if len(at) != wanted or any(place not in allowed for place in at):
            yield AuditFault(job_id, f"is {row.state} and {'in ' + ' and '.join(at) if at else 'nowhere'}")
    for number in full.free.keys() - full.ready:
        yield AuditFault(f"class {number}", "has jobs and is not among those looked at")
    for job_id in found.keys() - full.jobs.keys() - {*full.garbled}:
        yield AuditFault(job_id, f"is in {' and '.join(found[job_id])} and is no job")


def _found(full: FullLedger) -> dict[str, tuple[str, ...]]:
    """Job → the places it is in. Jobs of one place share one tuple: there may be a million."""
    found: dict[str, tuple[str, ...]] = {}
    lists = [(f"class {number}", ids) for number, ids in full.free.items()]
    lists += [("delayed", full.delayed), ("bound", full.bound), ("handed", tuple(full.admitted))]
    lists += [
        ("leased", tuple(full.leases)),
        *((f"set of the {state}", ids) for state, ids in full.by_state.items()),
    ]
    for name, ids in lists:
        alone = (name,)
        for job_id in ids:
            found[job_id] = found[job_id] + alone if job_id in found else alone
    return found


def reservations(full: FullLedger) -> Iterator[AuditFault]:
    """A reservation for each job in flight and for no other, of the attempt that is under way."""
    for job_id, held in full.reservations.items():
        row = full.jobs.get(job_id)
        if row is None or row.state not in ("admitted", "running"):
            yield AuditFault(job_id, "holds a reservation and is not in flight")
        elif (row.state, row.attempts) != (held.state, held.attempt):
            yield AuditFault(
                job_id, f"is {row.state} in {named(row.attempts)}, reserved: {held.state}, {held.attempt}"
            )
        wanted = dict(Counter(charges(held)) + Counter(full.claims.get(job_id)))
        if wanted != full.charges.get(job_id):
            yield AuditFault(job_id, "is charged for something else than its reservation")
    for job_id, row in full.jobs.items():
        if row.state in ("admitted", "running") and job_id not in full.reservations:
            yield AuditFault(job_id, "is in flight without a reservation")
    for job_id in full.charges.keys() - full.reservations.keys():
        yield AuditFault(job_id, "is charged and holds no reservation")
    for job_id in full.claims:
        if (held := full.reservations.get(job_id)) is None or held.state != "running":
            yield AuditFault(job_id, "has somebody preloaded behind it and does not run")
    for job_id in full.off_queue_at.keys() - full.admitted:
        yield AuditFault(job_id, "is noted as taken from its queue and is not handed over")


def sums(full: FullLedger) -> Iterator[AuditFault]:
    """What is reserved in all is the sum of what each attempt is charged."""
    total: Counter[str] = Counter()
    for amounts in full.charges.values():
        total.update(amounts)
    for key in sorted(total.keys() | full.reserved.keys()):
        if total[key] != full.reserved.get(key, 0):
            yield AuditFault(key, f"{full.reserved.get(key, 0)} counted as reserved, {total[key]} is")


def queues(full: FullLedger) -> Iterator[AuditFault]:
    """RQ's keys are a true copy: entries only of what is handed over, each once, a job hash for each
    attempt.
    """
    current = {entry(job_id, held.attempt): held for job_id, held in full.reservations.items()}
    seen = Counter(name for names in full.queues.values() for name in names)
    for queue, names in full.queues.items():
        for name in names:
            held = current.get(name)
            if held is None or held.state != "admitted" or held.queue != queue:
                yield AuditFault(name, f"lies in queue {queue} and is not handed over there")
    for name in (name for name, n in seen.items() if n > 1):
        yield AuditFault(name, f"lies {seen[name]} times in queues")
    for job_id, held in full.reservations.items():
        status, origin = full.rq.get(job_id, ("", ""))
        wanted = ("queued" if held.state == "admitted" else "started", held.queue)
        if (status, origin) != wanted:
            yield AuditFault(
                job_id,
                f"is {wanted[0]} in {wanted[1]}, its RQ job says {status or 'nothing'} {origin}".rstrip(),
            )
    working = {name.rpartition(":")[0]: queue for queue, names in full.wip.items() for name in names}
    for name, queue in working.items():
        if name not in current or current[name].state != "running" or current[name].queue != queue:
            yield AuditFault(name, f"is among what runs in {queue} and does not")
    for name, held in current.items():
        if held.state == "running" and name not in working:
            yield AuditFault(held.job_id, "runs and is not among what RQ shows as running")


def leases(full: FullLedger) -> Iterator[AuditFault]:
    """Orphans are rescued: no lease ran out, and no entry was taken and not started, long ago."""
    for job_id, until in full.leases.items():
        if until < full.now - RESCUE_S:
            yield AuditFault(job_id, f"its lease ran out {full.now - until:.0f} s ago, and nobody rescued it")
    for job_id, at in full.off_queue_at.items():
        if at < full.now - RESCUE_S:
            yield AuditFault(job_id, f"was taken from its queue {full.now - at:.0f} s ago and not started")


def ceilings(full: FullLedger, nodes: Sequence[NodeReport]) -> Iterator[AuditFault]:
    """What is reserved fits the device and the disk that were reported."""
    for key, limit in capacities(nodes).items():
        if full.reserved.get(key, 0) > limit:
            yield AuditFault(key, f"{full.reserved[key]} reserved of {limit}")


def capacities(nodes: Sequence[NodeReport]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in nodes:
        found |= {
            charge_key(VRAM, f"{node.node}/{device.key}"): device.vram_total_mib for device in node.devices
        }
        found |= {
            disk_key(node.node, v.root): v.total_bytes for v in node.volumes if v.total_bytes is not None
        }
    return found


def workers(full: FullLedger, nodes: Sequence[NodeReport]) -> Iterator[AuditFault]:
    """What runs, runs on a node that reports and has workers on that queue."""
    served = {(node.node, queue.queue) for node in nodes for queue in node.queues if queue.workers}
    for job_id, held in full.reservations.items():
        if held.state == "running" and (held.node, held.queue) not in served:
            yield AuditFault(job_id, f"runs on {held.node} in {held.queue}, of which no node reports workers")


#: Name → check, and what to say where nothing is wrong.
LEDGER_CHECKS: dict[str, tuple[Callable[[FullLedger], Iterator[AuditFault]], Callable[[FullLedger], str]]] = {
    "conservation": (conservation, lambda b: f"{len(b.jobs)} jobs, each in exactly one state"),
    "causes": (causes, lambda b: f"{len(b.dead_by_own_cause)} died of themselves, each counted by its cause"),
    "places": (
        places,
        lambda b: (
            f"{sum(map(len, b.free.values()))} free to go, {len(b.delayed)} delayed, the rest "
            "where they belong"
        ),
    ),
    "reservations": (reservations, lambda b: f"{len(b.reservations)}, one for each job in flight"),
    "sums": (sums, lambda b: f"{len(b.reserved)} add up"),
    "queues": (queues, lambda b: f"{sum(map(len, b.queues.values()))} entries, each handed over"),
    "leases": (leases, lambda b: f"{len(b.leases)} running, none abandoned"),
}
