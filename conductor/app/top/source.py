"""What `conductor top` shows, as one value of one look: jobs, lanes, gates, devices. It knows no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from conductor.base.hours import about
from conductor.base.text import duration, many, short, size
from conductor.core.admission.explain import describe, leading
from conductor.model.decision import Hold
from conductor.model.job_filter import JobFilter
from conductor.model.job_row import SHAPES, JobRow
from conductor.model.ledger_entries import JobState
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID, FileNames, named
from conductor.ports import Ledger
from conductor.views.dead_jobs import DeadJobs, obituaries
from conductor.views.frozen_jobs import frozen_words
from conductor.views.gate_rows import gate_rows
from conductor.views.headline import Headline, headline_of
from conductor.views.job_list import JobList
from conductor.views.staleness import aside, clock
from conductor.views.status import Status, gather

MOST_ROWS = 200
MOST_GATES = 4
MOST_DEVICES = 4
#: In letters: what a row of 80 columns has room for.
SUBJECT, PLACE, WORDS = 32, 16, 60
COLUMNS = ("state", "job", "id", "for", "where", "says")


class TopRow(Value, frozen=True, kw_only=True):
    """`job_id`: also the key of the row."""

    job_id: str
    state: JobState
    cells: tuple[str, ...]


class TopLane(Value, frozen=True, kw_only=True):
    """What can be paused: a lane, a device («node1/gpu0»), or a backlog."""

    place: str
    is_paused: bool
    kind: Literal["lane", "device", "backlog"] = "lane"
    #: «gpu 1 of 2 work, 3 queued»
    words: str


class TopView(Value, frozen=True, kw_only=True):
    headline: Headline
    rows: tuple[TopRow, ...] = ()
    lanes: tuple[TopLane, ...] = ()
    #: Devices and backlogs.
    places: tuple[TopLane, ...] = ()
    gates: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    #: How many fit the filter; empty without one.
    foot: str = ""


class TopSource:
    """Used by one thread at a time."""

    def __init__(self, ledger: Ledger, backlog: str | None, state_dir: Path, receipts_dir: Path) -> None:
        self._ledger = ledger
        self._backlog = backlog
        self._files = FileNames(ledger.jobs.lines)
        self._jobs = JobList(state_dir, receipts_dir, ledger)
        #: Of how many dead of each cause these are the first.
        self._dead: dict[str, int] = {}
        self._graves: tuple[DeadJobs, ...] = ()

    def look(self, wanted: JobFilter) -> TopView:
        """Empty filter: what runs, the first of each class that waits, the first of the dead. Raises
        `Unreachable`."""
        status = gather(self._ledger, self._backlog, self._files)
        rows, foot = (tuple(self._under_way(status)), "") if wanted.is_empty else self._found(wanted, status)
        shared = self._ledger.gate_record.gates().shared
        gates = [row for row in gate_rows(status, shared) if not row.is_open][:MOST_GATES]
        return TopView(
            headline=headline_of(status),
            rows=rows,
            lanes=tuple(_lanes(status)),
            places=tuple(_places(status)),
            gates=tuple(
                f"{row.gate} {row.where}: {row.waiting} wait: {row.words or row.value}" for row in gates
            ),
            devices=tuple(line for node in status.nodes for line in _devices(node))[:MOST_DEVICES],
            foot=foot,
        )

    def _under_way(self, status: Status) -> Iterator[TopRow]:
        yield from (_running(held, status) for held in status.active[:MOST_ROWS])
        heads = {hold.head: hold for hold in status.holds if hold.head}
        active = {held.job_id for held in status.active}
        yield from (_waiting(hold, status) for head, hold in heads.items() if head not in active)
        if status.dead != self._dead:
            self._dead = status.dead
            self._graves = obituaries(self._ledger, self._backlog) if status.dead else ()
        yield from (
            _row(dead.job_id, "dead", named(dead.task, dead.file), "", "", f"{dead.cause}: {dead.message}")
            for dead in self._graves
            if dead.job_id not in active and dead.job_id not in heads
        )

    def _found(self, wanted: JobFilter, status: Status) -> tuple[tuple[TopRow, ...], str]:
        self._jobs.refresh()
        page = self._jobs.page(wanted, MOST_ROWS)
        count = f"{'' if page.is_count_exact else 'at least '}{page.count} fit"
        return tuple(_listed(row, status.now) for row in page.rows), count


def _row(job_id: str, state: JobState, subject: str, lasts: str, place: str, words: str) -> TopRow:
    cells = (
        f"{SHAPES[state]} {state}",
        short(subject, SUBJECT),
        job_id[:SHORT_ID],
        lasts,
        short(place, PLACE),
        short(words, WORDS),
    )
    return TopRow(job_id=job_id, state=state, cells=cells)


def _running(held: Reservation, status: Status) -> TopRow:
    since = held.started_at or held.admitted_at
    heard = status.ledger_age.unheard.get(held.job_id)
    trouble = frozen_words(held, status.now) if heard is None else f"no word since {clock(heard, status.now)}"
    progress = "" if held.progress is None else f"{held.progress:.0%} "
    return _row(
        held.job_id,
        held.state,
        status.subject(held.job_id, held.task),
        duration(status.now - since),
        "/".join((held.node, *held.devices)),
        trouble or f"{progress}{held.note}".strip(),
    )


def _waiting(hold: Hold, status: Status) -> TopRow:
    """The first of a class; behind it how many of the same kind."""
    moment, verdict = status.ledger_age.moment(status.now), leading(hold)
    why = describe(verdict, moment, about(moment)) if verdict else "its turn has not come"
    more = f"and {hold.waiting - 1} more: " if hold.waiting > 1 else ""
    lasts = duration(moment - hold.since) if hold.since else ""
    (why,) = status.calling([why])
    subject = status.subject(hold.head, hold.task)
    return _row(hold.head, "waiting", subject, lasts, "", more + why + aside(status.ledger_age, status.now))


def _listed(row: JobRow, now: float) -> TopRow:
    lasts = row.seconds
    if row.state == "running" and row.started_at:
        lasts = now - row.started_at
    progress = "" if row.progress is None else f"{row.progress:.0%} {row.note}".strip()
    words = progress or ": ".join(each for each in (row.cause, row.message) if each and row.state != "done")
    place = "/".join(each for each in (row.node, row.device) if each)
    return _row(
        row.job_id, row.state, row.subject, "" if lasts is None else duration(lasts), place, words or ""
    )


def _lanes(status: Status) -> Iterator[TopLane]:
    for lane in status.lanes:
        words = f"{lane.lane} {lane.running} of {lane.workers} work"
        words += f", {lane.queued} queued" if lane.queued else ""
        words += ", PAUSED" if lane.is_paused else ""
        yield TopLane(place=lane.lane, is_paused=lane.is_paused, words=words)


def _places(status: Status) -> Iterator[TopLane]:
    for node in status.nodes:
        for device in node.devices:
            place = f"{node.node}/{device.key}"
            is_paused = place in status.controls.paused_devices
            words = f"{place} {device.name}".rstrip() + (", PAUSED" if is_paused else "")
            yield TopLane(place=place, is_paused=is_paused, kind="device", words=words)
    for name, counts in status.backlogs.items():
        is_paused = name in status.controls.paused_backlogs
        left = sum(counts.get(state, 0) for state in ("waiting", "admitted", "running"))
        if left or is_paused:
            words = f"backlog {name}, {many(left, 'job')} left" + (", PAUSED" if is_paused else "")
            yield TopLane(place=name, is_paused=is_paused, kind="backlog", words=words)


def _devices(node: NodeReport) -> Iterator[str]:
    for device in node.devices:
        used = "use unknown" if device.vram_used_mib is None else f"{size(device.vram_used_mib << 20)} used"
        of = f" of {size(device.vram_total_mib << 20)}" if device.vram_total_mib else ""
        ours = f", {size(sum(device.ours.values()) << 20)} by our jobs" if device.ours else ""
        fault = f": NOT USED: {device.quarantined}" if device.quarantined else ""
        yield f"{node.node}/{device.key} {device.name}: {used}{of}{ours}{fault}"
