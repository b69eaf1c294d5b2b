"""Figures of a night out of its recorded ticks: which gates were closed to whom and how long, what devices
had promised and used, who ran and what waited at the last tick. Each tick is looked at once, and what did not
change costs nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from conductor.analysis.replay.recording import files_of, read_points
from conductor.analysis.replay.recording_frames import NEVER, Point, closed
from conductor.base.errors import ConfigError
from conductor.core.admission.gate_ledger import LONGEST_GAP_S
from conductor.model.decision import GATES, Gate
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass, Reservation
from conductor.views.night.document import DeviceFigures, GateFigures, LastWaiting
from conductor.views.night.statistics import TimeSpan, joined, strip

#: So many rows of what waits are listed.
MOST_WAITING = 50
#: The disk's clock and the ledger's may be so far apart.
CLOCKS_APART_S = 86_400.0


class DeviceUse(Struct):
    """Added up over the seconds in which it was seen. MiB·s; `used_s`: seconds in which the use was told."""

    total_mib: int = 0
    seconds: float = 0.0
    promised: float = 0.0
    used: float = 0.0
    used_s: float = 0.0


class RecordedNight(Struct, kw_only=True):
    """What the ticks of a night tell. `fault`: why they could not be read to their end."""

    ticks: int = 0
    skipped: int = 0
    first_at: float | None = None
    last_at: float | None = None
    held_s: dict[Gate, float] = {}
    job_s: dict[Gate, float] = {}
    closed: dict[Gate, list[TimeSpan]] = {}
    devices: dict[tuple[str, str], DeviceUse] = {}
    running: tuple[str, ...] = ()
    waiting: tuple[LastWaiting, ...] = ()
    fault: str = ""

    def gates(self, begins: float, ends: float) -> tuple[GateFigures, ...]:
        """Those that were closed, the costliest first."""
        rows = [
            GateFigures(
                gate=gate,
                held_s=round(self.held_s[gate], 3),
                job_s=round(self.job_s.get(gate, 0.0), 3),
                strip=strip(joined(self.closed.get(gate, ())), begins, ends),
            )
            for gate in GATES
            if self.held_s.get(gate)
        ]
        return tuple(sorted(rows, key=lambda row: (-row.job_s, -row.held_s)))

    def with_vram(self, rows: Iterable[DeviceFigures]) -> tuple[DeviceFigures, ...]:
        return tuple(self._with_vram(row) for row in rows)

    def _with_vram(self, row: DeviceFigures) -> DeviceFigures:
        use = self.devices.get((row.node, row.device))
        if use is None or not use.seconds:
            return row
        return replace(
            row,
            total_mib=use.total_mib or None,
            mean_promised_mib=round(use.promised / use.seconds, 1),
            mean_used_mib=round(use.used / use.used_s, 1) if use.used_s else None,
        )


def recorded_in(folder: Path, since: float, until: float) -> RecordedNight:
    """Nothing where nothing was recorded then. What another version wrote ends it with a word."""
    looking = _Looking()
    found = looking.found
    try:
        for point in points_in(folder, since, until):
            looking.look(point)
    except ConfigError as e:
        found.fault = str(e)
    looking.end()
    return found


def points_in(folder: Path, since: float, until: float) -> Iterator[Point]:
    """The ticks of that time. Files that were last written long before it are not opened."""
    for file in files_of(folder):
        if file.stat().st_mtime < since - CLOCKS_APART_S:
            continue
        for point in read_points(file):
            if point.now > until:
                break
            if point.now >= since:
                yield point


class _Looking:
    def __init__(self) -> None:
        self.found = RecordedNight(held_s={}, job_s={}, closed={}, devices={})
        self._last: Point | None = None
        self._gates: object = None
        self._candidates: object = None
        #: Of the tick before: gate → jobs that it held.
        self._held: Counter[Gate] = Counter()
        self._rows: dict[tuple[str, str, tuple[Gate, ...], bool], int] = {}
        self._nodes: list[int] = []
        self._reserved: list[int] = []
        self._use: dict[tuple[str, str], tuple[int, int, int | None]] = {}

    def look(self, point: Point) -> None:
        found, last = self.found, self._last
        if last is not None:
            self._count(last.now, point.now)
        found.ticks += 1
        found.skipped += point.skipped
        found.first_at = point.now if found.first_at is None else found.first_at
        found.last_at = point.now
        if point.gates is not self._gates or point.candidates is not self._candidates:
            self._gates, self._candidates = point.gates, point.candidates
            self._rows = _rows(point)
            self._held = Counter()
            for (_, _, gates, _), jobs in self._rows.items():
                self._held.update(dict.fromkeys(gates, jobs))
        if point.nodes is not self._nodes or point.reservations is not self._reserved:
            self._nodes, self._reserved = point.nodes, point.reservations
            self._use = _use(point)
        self._last = point

    def _count(self, at: float, until: float) -> None:
        """What was held after a tick stayed so until the next one. A longer gap was lost to no gate."""
        step = until - at
        if not 0 < step <= LONGEST_GAP_S:
            return
        found = self.found
        for gate, jobs in self._held.items():
            found.held_s[gate] = found.held_s.get(gate, 0.0) + step
            found.job_s[gate] = found.job_s.get(gate, 0.0) + step * jobs
            spans = found.closed.setdefault(gate, [])
            if spans and spans[-1][1] == at:
                spans[-1] = spans[-1][0], until
            else:
                spans.append((at, until))
        for place, (total, promised, used) in self._use.items():
            device = found.devices.setdefault(place, DeviceUse())
            device.total_mib = max(device.total_mib, total)
            device.seconds += step
            device.promised += step * promised
            if used is not None:
                device.used += step * used
                device.used_s += step

    def end(self) -> None:
        if (last := self._last) is None:
            return
        going = [last.value(number, Reservation) for number in last.reservations]
        self.found.running = tuple(held.job_id for held in going)
        rows = [
            LastWaiting(backlog=backlog, task=task, jobs=jobs, gates=gates, is_never=is_never)
            for (backlog, task, gates, is_never), jobs in self._rows.items()
        ]
        rows.sort(key=lambda row: (not row.is_never, -row.jobs, row.backlog, row.task, row.gates))
        self.found.waiting = tuple(rows[:MOST_WAITING])


def _rows(point: Point) -> dict[tuple[str, str, tuple[Gate, ...], bool], int]:
    """Backlog, task, gates that are closed, and whether any wait will open them → how many wait."""
    found: dict[tuple[str, str, tuple[Gate, ...], bool], int] = defaultdict(int)
    for number, waiting, _ in point.candidates:
        job_class: JobClass = point.value(number, JobClass)
        mask = point.gates.get(job_class.id)
        if mask is not None and waiting:
            found[job_class.backlog, job_class.task, closed(mask), bool(mask & NEVER)] += waiting
    return found


def _use(point: Point) -> dict[tuple[str, str], tuple[int, int, int | None]]:
    """(node, device) → MiB: there in all, promised, used by anyone."""
    promised: Counter[tuple[str, str]] = Counter()
    for number in point.reservations:
        held: Reservation = point.value(number, Reservation)
        for device in held.devices:
            promised[held.node, device] += held.vram_mib
    return {
        (node.node, device.key): (
            device.vram_total_mib,
            promised[node.node, device.key],
            device.vram_used_mib,
        )
        for number in point.nodes
        for node in (point.value(number, NodeReport),)
        for device in node.devices
    }
