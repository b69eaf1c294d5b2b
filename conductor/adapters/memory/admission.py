"""waiting → admitted, in memory: by the leader, or where a predecessor ends (the twin of
`adapters/redis/lua/hand_over.lua`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import structs

from conductor.adapters.memory import breakers
from conductor.adapters.memory.store import Store
from conductor.adapters.memory.stored_job import PreloadedSuccessor, StoredJob, entry_of
from conductor.core.capacity.charges import charges, disk_key, sums_of
from conductor.core.chains.chains import root_of
from conductor.model.decision import Admission
from conductor.model.receipt import Receipt
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation

#: Deeper queues hold jobs that are over in milliseconds.
SHALLOW = 16


def is_waiting(store: Store, job: StoredJob) -> bool:
    """And free to go."""
    return job.id in store.ready[job.job_class.id].ids


def hand_over(
    store: Store, admission: Admission, written: Mapping[str, int], preloaded: int | None = None
) -> str | None:
    """waiting → admitted; else why not. `written`: on disks, since it was decided (charge key → bytes);
    `preloaded`: the number under which it was preloaded, and has not begun."""
    r = admission.reservation
    job = store.jobs.get(r.job_id)
    if job is None or not is_waiting(store, job):
        return "not waiting"
    why_not = objection(store, job, admission, charges(r), written, preloaded) or breakers.objection(store, r)
    if why_not := why_not or report_objection(store, r):
        return why_not
    if is_of_another_line(job, r):
        return "its line changed meanwhile"
    at = place_in_queue(store, job, store.queues[r.queue])
    take_place(store, job, r)
    store.queues[r.queue].insert(at, entry_of(r))
    store.handed_over[r.node] += 1
    store.bell.notify_all()
    return None


def place_in_queue(store: Store, job: StoredJob, queue: Sequence[str]) -> int:
    """What was handed over before and comes back goes ahead of all that came after it and was handed over
    meanwhile."""
    if not job.attempts or len(queue) > SHALLOW:
        return len(queue)
    ahead_of = (
        at
        for at, entry in enumerate(queue)
        if (other := store.jobs.get(entry.rpartition("-a")[0])) is not None
        and other.job_class.priority <= job.job_class.priority
        and other.seq > job.seq
    )
    return next(ahead_of, len(queue))


def report_objection(store: Store, r: Reservation) -> str | None:
    """What its node has said since a tick looked; None: nothing against it."""
    report, until = store.reports.get(r.node, (None, 0.0))
    if report is None or until <= store.now():
        return None
    return _closed_objection(report, r) or _device_objection(report, r)


def _closed_objection(report: NodeReport, r: Reservation) -> str | None:
    """A node-side gate that closed, or a device that went into quarantine: nothing starts there."""
    closed = [(o.device, o.words) for o in report.obstacles]
    closed += [(device.key, device.quarantined) for device in report.devices if device.quarantined]
    for key, why in closed:
        if not key or key in r.devices:
            return f"{r.node}{'/' if key else ''}{key} starts nothing now: {why}"
    return None


def _device_objection(report: NodeReport, r: Reservation) -> str | None:
    """A card that was swapped or is gone: nobody runs on the one that has its name."""
    there = {device.key: device.uuid for device in report.devices}
    pairs = zip(r.devices, r.uuids, strict=False)  # Where they are told.
    return next(
        (f"{r.node}/{key} is not {uuid} any more" for key, uuid in pairs if there.get(key) != uuid), None
    )


def take_place(store: Store, job: StoredJob, r: Reservation) -> None:
    if not job.attempts:
        store.longest_s = max(store.longest_s, store.now() - job.since)
    store.unrest(job)
    job.is_revised = False
    job.attempts = r.attempt
    store.history.stepped(r.attempt)
    store.move(job, "admitted")
    store.reserve(job, r)


def is_of_another_line(job: StoredJob, r: Reservation) -> bool:
    """Decided for the line that it had before?"""
    return job.is_revised and r.class_id != job.job_class.id


def objection(
    store: Store,
    job: StoredJob,
    admission: Admission,
    amounts: Mapping[str, int],
    written: Mapping[str, int],
    preloaded: int | None = None,
) -> str | None:
    attempt = admission.reservation.attempt
    if attempt != max(job.attempts, store.history.floor) + 1 and not attempt == job.attempts == preloaded:
        return f"attempt {attempt} is not its next"
    for key, limit in sorted(admission.ceilings.items()):
        names = sums_of(key)
        if sum(store.sums[name] + amounts.get(name, 0) + written.get(name, 0) for name in names) > limit:
            return f"over ceiling {key}"
    return None


def succeed(store: Store, receipt: Receipt, preloaded: PreloadedSuccessor | None = None) -> None:
    """An attempt ended well: who was named for that goes into the queue, and no other successor of that tick.
    `preloaded`: who was preloaded behind it, and has not begun."""
    successor, epoch, until, looked_at = store.successors.pop(receipt.job_id, (None, 0, 0.0, None))
    if (
        successor is None
        or successor.attempt != receipt.attempt
        or store.now() > until
        or epoch != store.epoch
    ):
        return
    number = (
        preloaded.attempt
        if preloaded is not None and preloaded.job_id == successor.admission.reservation.job_id
        else None
    )
    written = store.written_since(looked_at) if store.preloaded else Counter[str]()
    for fact in receipt.outputs:  # What it left itself is in the ceilings.
        if (key := disk_key(receipt.node, root_of(fact.path))) in written:
            written[key] -= fact.bytes
    if (
        not is_held_back(store, successor.admission.reservation)
        and hand_over(store, successor.admission, written, number) is None
    ):
        store.count_succession()


def take_offer(store: Store, job: StoredJob) -> bool:
    """A job was put, of a class that was expected: is it handed over where the last tick would have started
    it?"""
    offer, epoch, until = store.offers.get(job.job_class.id, (None, 0, 0.0))
    if offer is None or store.now() > until or epoch != store.epoch or not store.is_settled:
        return False
    r = structs.replace(offer.admission.reservation, job_id=job.id, since=store.now())
    admission = structs.replace(offer.admission, reservation=r)
    if is_held_back(store, r) or hand_over(store, admission, {}) is not None:
        return False
    store.count_succession()
    store.offers = {}
    return True


def is_held_back(store: Store, r: Reservation) -> bool:
    """By the operator, or a rebuild: that holds at once."""
    is_paused = r.lane in store.paused or any(
        f"{r.node}/{device}" in store.paused_devices for device in r.devices
    )
    job = store.jobs.get(r.job_id)
    is_paused = is_paused or (job is not None and job.job_class.backlog in store.paused_backlogs)
    is_settling = store.settles_at > store.now()
    return is_paused or is_settling or store.is_draining or r.node in store.draining
