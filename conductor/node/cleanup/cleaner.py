"""The thread in which a node clears up: what dead attempts left, stale staging, old output of jobs, and files
that nobody needs any more.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from pathlib import Path

from loguru import logger

from conductor.adapters.host import cgroup
from conductor.base.errors import Unreachable
from conductor.base.files.layout import Layout
from conductor.base.logs import job_output
from conductor.base.logs.events import emit_event
from conductor.base.settings.schedule_settings import CleanSettings
from conductor.node.cleanup.disk_room import DiskRoom
from conductor.node.cleanup.orphaned_receipts import sweep
from conductor.node.cleanup.stale_staging import clean_ended, clean_staging
from conductor.node.health.reporter import Reporter
from conductor.ports import Ledger

TIDY_EVERY_S = 600.0
#: Jobs may wait for the room of files that nobody needs any more.
LET_GO_EVERY_S = 1.0
TIDY_ENDED_EVERY_S = 5.0


class Cleaner(threading.Thread):
    """A NAS may be slow to remove a folder, and nobody waits for this thread."""

    def __init__(
        self, layout: Layout, rule: CleanSettings, ledger: Ledger, node: str, reporter: Reporter
    ) -> None:
        super().__init__(name="clean-up", daemon=True)
        self._layout = layout
        self._rule = rule
        self._ledger = ledger
        self._reporter = reporter
        self._room = DiskRoom(layout, ledger, node)
        #: Job and attempt of what dead workers left on disk.
        self._ended: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()

    def ended(self, job_id: str, attempt: int) -> None:
        """From any thread: the files of this attempt can go."""
        self._ended.put((job_id, attempt))

    def run(self) -> None:
        due = ended_due = 0.0
        while True:
            roots = [Path(volume.path) for volume in self._reporter.reading.volumes if volume.fault is None]
            if time.monotonic() >= due:
                rule = self._rule
                job_output.prune(self._layout.logs_dir, time.time(), rule.max_bytes, rule.keep_days)
                try:
                    clean_staging(roots, self._ledger, time.time())
                except Unreachable:
                    logger.debug("No stale files are removed: Redis is away")
                due = time.monotonic() + TIDY_EVERY_S
            try:
                sweep(roots, *self._ended.get(timeout=LET_GO_EVERY_S))
            except queue.Empty:
                # Who was killed with a worker had not ended yet when the node buried that one.
                cgroup.sweep()
                with suppress(Unreachable):
                    self._remove_files()
                    if time.monotonic() >= ended_due:
                        ended_due = time.monotonic() + TIDY_ENDED_EVERY_S
                        clean_ended(roots, self._ledger)

    def _remove_files(self) -> None:
        try:
            if self._room.make(self._reporter.reading.volumes, time.time()):
                self._reporter.look_again()
        except OSError as e:
            emit_event("file.not_removed", "Nothing is removed: {file} cannot be written: {error}",
                       file=str(self._layout.receipts_dir), error=e.strerror or str(e))  # fmt: skip
