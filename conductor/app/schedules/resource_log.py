"""The leader's note of what each host has and uses, once a minute, as an event: what a chart of the night is
drawn from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType

from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.model.report import NodeReport
from conductor.ports import Ledger

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
    for report in ledger.reports.live():
        emit_event("node.resources", "{node}: {readings}", node=report.node, readings=list(readings(report)))


def readings(report: NodeReport) -> Iterator[str]:
    """«ram=12288/65536 MiB», free or used of all; what is not known is left out."""
    for name, measure in sorted(report.measured.items()):
        if measure.free is not None:
            yield f"{name}.free={measure.free}/{'?' if measure.total is None else measure.total}"
    for device in report.devices:
        if device.vram_used_mib is not None:
            yield f"{device.key}.vram_used_mib={device.vram_used_mib}/{device.vram_total_mib}"
    for volume in report.volumes:
        if volume.free_bytes is not None:
            total = "?" if volume.total_bytes is None else volume.total_bytes
            yield f"{volume.root}.free_bytes={volume.free_bytes}/{total}"
