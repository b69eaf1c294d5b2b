"""The conductor's own plan: transfers that the decision asks for, as jobs of the backlog that waits for them.

They are dispatched as a manifest of two lines, so that they are known to a rebuild, and cost, wait and are
explained as all jobs do. The same files of the same attempts give the same two jobs: who is killed here, or
plans beside another leader, puts them once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from loguru import logger

from conductor.base.errors import ConductorError
from conductor.base.files.layout import Layout
from conductor.base.text import many, size
from conductor.core.chains.transfers import pair
from conductor.dispatch.dispatch import dispatch
from conductor.dispatch.file_chains import rules_of
from conductor.model.chains import FileMove
from conductor.model.spec import TaskDecl
from conductor.ports import Ledger
from conductor.record import manifest as manifests

FOLDER = "transfers"
#: What could not be put is asked for again by the ticks to come: no sooner.
PAUSE_S = 5.0


class FileTransfers:
    """A thread beside the ticks: a dispatch reads receipts, which a tick has no time for."""

    def __init__(self, ledger: Ledger, layout: Layout, tasks: Callable[[], Mapping[str, TaskDecl]]) -> None:
        """`tasks`: read in this thread, once there is something to bring."""
        self._ledger = ledger
        self._layout = layout
        self._tasks = tasks
        self._asked: tuple[FileMove, ...] = ()
        self._news = threading.Condition()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> FileTransfers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._is_over = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()

    def ask(self, moves: Sequence[FileMove]) -> None:
        """In place of what was asked before: each tick says all that is to go. The thread begins with the
        first of them, which most projects never have."""
        with self._news:
            self._asked = tuple(moves)
            if moves and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="file transfers", daemon=True)
                self._thread.start()
            self._news.notify()

    def _work(self) -> None:
        pause_s: float | None = None
        while True:
            with self._news:
                if pause_s is not None:
                    self._news.wait_for(lambda: self._is_over, pause_s)
                self._news.wait_for(lambda: self._is_over or self._asked)
                if self._is_over:
                    return
                moves, self._asked = self._asked, ()
            pause_s = None
            for move in moves:
                try:
                    put(self._ledger, self._layout, self._tasks(), move)
                except (ConductorError, OSError) as e:
                    logger.warning("Files cannot go from {} to {} yet: {}", move.source, move.target, e)
                    pause_s = PAUSE_S


def put(ledger: Ledger, layout: Layout, tasks: Mapping[str, TaskDecl], move: FileMove) -> int:
    """How many jobs are new. Nothing where the files are not where the tick saw them: a later tick looks
    again. Raises `ConductorError`, `OSError`."""
    facts = ledger.files.lying(sorted(move.files))
    if len(facts) != len(move.files) or any(fact.node != move.source for fact in facts):
        return 0
    take, bring = pair(facts, move.target, move.via)
    file = manifest_of(layout, take.id)
    manifests.write(file, (take, bring))
    new = dispatch(ledger, file, move.backlog, tasks, layout.receipts_dir, files=rules_of(layout)).new
    if new:
        total = size(sum(fact.bytes for fact in facts))
        words = "{} ({}) go from {} to {} by way of {}"
        logger.info(words, many(len(facts), "file"), total, move.source, move.target, move.via)
    return new


def manifest_of(layout: Layout, job_id: str) -> Path:
    return layout.state_dir / FOLDER / f"{job_id}.jsonl"
