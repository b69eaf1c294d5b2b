"""The workers: lane, device, since when, what each has in hand, its last word; and whether each answers.

A worker answers by its renewal: the thread that hears the call and the one that renews have both turned, and
the ledger took what they said. A process that is stopped, or hangs with Python's lock held, does not. Its
main thread may wait for its queue or for a body; whether that one moves its own watchdog sees to
(`workers/parent/watchdog.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from conductor.base.text import duration, many, short, size, table
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID, FileNames, named
from conductor.model.worker import SeenWorker
from conductor.ports import Ledger

LOOK_EVERY_S = 0.05
MOST_SUBJECT = 40


class WorkerRow(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Instants in epoch seconds. Of a worker with nothing in hand `job_id` is empty."""

    worker: str
    node: str = ""
    lane: str = ""
    device: str = ""
    pid: int = 0
    since: float | None = None
    #: Its last word to the ledger; None: not heard for minutes.
    heard_at: float | None = None
    job_id: str = ""
    #: «media.cut · clip7.mp4»
    about: str = ""
    job_since: float | None = None
    #: Measured of what it runs.
    ram_mib: int | None = None
    vram_mib: int | None = None
    #: Seconds from the call to its word; None: not asked, or no answer.
    answer_s: float | None = None


class WorkerList(Value, frozen=True, kw_only=True, omit_defaults=False):
    now: float
    workers: tuple[WorkerRow, ...] = ()
    #: So many more start as soon as there is work for them.
    to_come: int = 0
    #: Whether they were called.
    is_asked: bool = False
    #: Those that were, and did not answer in time.
    silent: tuple[str, ...] = ()


def worker_list(ledger: Ledger) -> WorkerList:
    """Raises `Unreachable`."""
    seen, nodes, now = ledger.workers.seen(), ledger.reports.live(), ledger.bell.now()
    held = {r.worker: r for r in ledger.handover.reservations() if r.worker and r.state == "running"}
    files = FileNames(ledger.jobs.lines).of(r.job_id for r in held.values())
    rows = (_row(worker, held.get(worker.name), nodes, files) for worker in seen)
    workers = tuple(sorted(rows, key=lambda row: (row.node, row.lane, row.worker)))
    places = sum(queue.workers for node in nodes for queue in node.queues)
    return WorkerList(now=now, workers=workers, to_come=max(0, places - len(workers)))


def pinged(ledger: Ledger, limit_s: float, pause: Callable[[float], None]) -> WorkerList:
    """Each is called, and waited for: `limit_s` for all of them together. Raises `Unreachable`."""
    names = [worker.name for worker in ledger.workers.seen()]
    called_at = ledger.bell.now()
    ledger.workers.call_roll(names)
    answered: dict[str, float] = {}
    while True:
        now = ledger.bell.now()
        for worker in ledger.workers.seen():
            if worker.heard_at is not None and worker.heard_at > called_at:
                answered.setdefault(worker.name, worker.heard_at - called_at)
        if len(answered) >= len(names) or now - called_at >= limit_s:
            break
        pause(LOOK_EVERY_S)
    found = worker_list(ledger)
    rows = tuple(msgspec.structs.replace(row, answer_s=answered.get(row.worker)) for row in found.workers)
    # One that left meanwhile owes nobody an answer; one that came meanwhile was not asked.
    there = {row.worker for row in rows}
    silent = tuple(name for name in names if name in there and name not in answered)
    return msgspec.structs.replace(found, workers=rows, is_asked=True, silent=silent)


def _row(
    worker: SeenWorker, held: Reservation | None, nodes: Iterable[NodeReport], files: dict[str, str]
) -> WorkerRow:
    at = ((node, queue) for node in nodes for queue in node.queues if queue.queue == worker.queue)
    node, queue = next(at, (None, None))
    row = WorkerRow(
        worker=worker.name,
        node=node.node if node else worker.host,
        lane=queue.lane if queue else "",
        device=(queue.device or "") if queue else "",
        pid=worker.pid,
        since=worker.since,
        heard_at=worker.heard_at,
    )
    if held is None:
        return row
    return msgspec.structs.replace(
        row,
        job_id=held.job_id,
        about=named(held.task, files.get(held.job_id, "")),
        job_since=held.started_at,
        ram_mib=held.usage.rss_mib if held.usage else None,
        vram_mib=held.usage.vram_mib if held.usage else None,
    )


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def lines(found: WorkerList) -> list[str]:
    """A row a worker; then how many there are, and who is silent."""
    if not found.workers and found.to_come:
        return [f"no worker is there now: up to {found.to_come} start when jobs come"]
    if not found.workers:
        return ["no worker is there: `conductor node`, or `conductor up`"]
    head = ["worker", "lane", "on", "since", "last word", "job", "id", "memory"]
    rows: list[list[object]] = [[*head, "answer"] if found.is_asked else list[object](head)]
    rows += [_cells(row, found) for row in found.workers]
    busy = sum(bool(row.job_id) for row in found.workers)
    foot = f"{many(len(found.workers), 'worker')}, {busy} with a job"
    if found.to_come:
        foot += f"; up to {found.to_come} more when jobs come"
    if found.is_asked:
        foot += f"; no answer from {', '.join(found.silent)}" if found.silent else "; all answer"
    return [*table(rows, indent=""), foot]


def _cells(row: WorkerRow, found: WorkerList) -> list[object]:
    there = "" if row.since is None else duration(found.now - row.since)
    heard = "none lately" if row.heard_at is None else f"{duration(found.now - row.heard_at)} ago"
    used = (("", row.ram_mib), (" VRAM", row.vram_mib))
    memory = ", ".join(f"{size(mib << 20)}{what}" for what, mib in used if mib)
    job = short(row.about, MOST_SUBJECT) or "–"
    if row.job_since is not None:
        job += f" for {duration(found.now - row.job_since)}"
    place = "/".join(each for each in (row.node, row.device) if each)
    cells: list[object] = [row.worker, row.lane, place, there, heard, job, row.job_id[:SHORT_ID], memory]
    if found.is_asked:
        cells.append("NO ANSWER" if row.answer_s is None else f"{row.answer_s * 1000:.0f} ms")
    return cells
