"""The leader's note of what each host has, uses and has promised, and of what the gates have cost, once a
minute, as events: what a chart of the night is drawn from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.model.decision import Shared
from conductor.model.report import NodeReport
from conductor.model.resource_reading import ResourceReading
from conductor.ports import Ledger
from conductor.views.status import lost_of

EVERY_S = 60.0


class ResourceLog:
    """Use as a context manager. `epoch`: the leader's, None while this process does not lead."""

    def __init__(self, ledger: Ledger, epoch: Callable[[], int | None]) -> None:
        self._ledger = ledger
        self._epoch = epoch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="resource log", daemon=True)

    def __enter__(self) -> ResourceLog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(EVERY_S):
            if self._epoch() is None:
                continue
            try:
                log_resources(self._ledger)
            except Unreachable:
                continue  # the tick says so


def log_resources(ledger: Ledger) -> None:
    """Raises `Unreachable`."""
    gates = ledger.gate_record.gates()
    for report in ledger.reports.live():
        told = [str(reading) for reading in (*readings(report), *promises(report.node, gates.shared))]
        emit_event("node.resources", "{node}: {readings}", node=report.node, readings=told)
    lost = lost_of(gates, gates.lost_s)
    if lost:
        costs = [str(ResourceReading(gate, "lost_s", round(s, 1), None)) for gate, s in sorted(lost.items())]
        emit_event("gates.lost", "So far: {readings}", readings=costs)


def readings(report: NodeReport) -> Iterator[ResourceReading]:
    """Free or used of all, as measured; what is not known is left out."""
    for name, measure in sorted(report.measured.items()):
        if measure.free is not None:
            yield ResourceReading(name, "free", measure.free, measure.total)
    for device in report.devices:
        if device.vram_used_mib is not None:
            yield ResourceReading(device.key, "vram_used_mib", device.vram_used_mib, device.vram_total_mib)
    for volume in report.volumes:
        if volume.free_bytes is not None:
            yield ResourceReading(volume.root, "free_bytes", volume.free_bytes, volume.total_bytes)


def promises(node: str, shared: Iterable[Shared]) -> Iterator[ResourceReading]:
    """What attempts hold and what others use there, of what there is less the headroom, as the last tick had
    it."""
    for each in shared:
        host, _, part = each.where.partition("/")
        if host != node:
            continue
        if each.gate == "vram":
            yield ResourceReading(part, "vram_promised_mib", each.reserved, each.limit)
            yield ResourceReading(part, "vram_foreign_mib", each.others, each.limit)
        elif each.gate == "scratch":
            yield ResourceReading(part, "promised_bytes", each.reserved, each.limit)
        elif each.gate == "ram" and not part:
            yield ResourceReading(each.gate, "promised", each.reserved, each.limit)
