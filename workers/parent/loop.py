"""The worker's parent process: takes attempts from one queue and has them run, until it is told to leave."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from loguru import logger

from conductor.adapters.open_ledger import redis_of
from conductor.adapters.redis.project_mark import refuse_other_project
from conductor.base.logs.running_output import RunningNote, RunningOutput
from conductor.base.redis_keys import Keys
from workers.attempt.parts import Parts
from workers.isolation.child_process import ChildBroken, ChildProcess
from workers.isolation.held_attempt import Held
from workers.isolation.stop_signals import Stopping
from workers.parent.driver import Flow
from workers.parent.intake import Intake
from workers.parent.rq_presence import SOCKET_LIMIT_S, Presence, own_client
from workers.parent.wiring import open_parts

if TYPE_CHECKING:
    from conductor.base.settings.settings import Settings
    from conductor.model.receipt import Receipt

#: The dashboard hears of jobs that take longer than this; writing of each would cost a short one a round
#: trip.
SHOWN_AFTER_S = 0.5
BEAT_EVERY_S = 15.0
_UNBLOCK_EVERY_S = 0.05


class Worker:
    """One queue. A long job goes alone, short ones several at a time."""

    def __init__(
        self, intake: Intake, queue: str, presence: Presence, stopping: Stopping, idle_s: float = 0.0
    ) -> None:
        self._intake = intake
        self._queue = queue
        self._presence = presence
        self._stopping = stopping
        self._idle_s = idle_s
        self._beat_at = 0.0
        self._parts: Parts | None = None
        self._note: RunningNote | None = None

    def work(self, parts: Parts) -> None:
        """Until told to leave. What was taken and not started goes back."""
        self._parts = parts
        self._note = RunningNote(parts.host.printed.logs_dir, parts.worker)
        flow = Flow(parts, self._queue, self._count, intake=self._intake, idle_s=self._idle_s)
        self._warm_up(parts)
        flow.work()

    def _warm_up(self, parts: Parts) -> None:
        """The child's imports are paid before the first job, not by it."""
        try:
            parts.host.ensure(())
        except ChildBroken as e:
            logger.error("{}", e)

    def _count(self, receipt: Receipt) -> None:
        self._presence.count(receipt.is_whole, receipt.seconds)

    # ── the keeper's thread ───────────────────────────────────────────────────────────────────────────────

    def chores(self, held: Held | None) -> None:
        """On every round of the keeper: the dashboard, and the way out of a blocking BLMOVE."""
        if self._stopping.is_asked and held is None and self._intake.is_blocked:
            self._intake.unblock()
            self._stopping.wake_keeper()  # Once more: it may just have been about to block.
            time.sleep(_UNBLOCK_EVERY_S)
            return
        shown = (
            f"{held.job_id}-a{held.attempt}"
            if held and time.monotonic() - held.began > SHOWN_AFTER_S
            else None
        )
        if shown != self._presence.shown:
            self._tell_output(held if shown else None)
        if shown != self._presence.shown or time.monotonic() >= self._beat_at:
            self._presence.show(shown)
            self._beat_at = time.monotonic() + BEAT_EVERY_S

    def _tell_output(self, held: Held | None) -> None:
        """Where its words begin, for who follows them."""
        if self._parts is None or self._note is None:
            return
        printed = self._parts.host.printed
        self._note.tell(
            held
            and RunningOutput(
                job_id=held.job_id,
                attempt=held.attempt,
                file=str(printed.file),
                start=printed.start,
                pid=os.getpid(),
            )
        )

    def close(self) -> None:
        if self._note is not None:
            self._note.tell(None)


def work(
    settings: Settings,
    *,
    queue: str,
    node: str,
    name: str,
    device: str | None,
    stopping: Stopping,
    host: ChildProcess | None = None,
    idle_s: float = 0.0,
) -> None:
    """A worker's whole life. `host`: one with its child prepared. `idle_s`: after so long without a job it is
    over; 0: it waits for ever. Raises `Unreachable` without Redis at the start.
    """
    # What may be trusted is the node's question: a worker goes on with what it was given.
    with redis_of(settings, is_lenient=True, is_joining=True) as client:
        refuse_other_project(client, settings.receipts_dir, settings.redis)
        keys = Keys(settings.redis.prefix)
        # Its own client: a beat must not wait for a connection that the main thread blocks.
        presence = Presence(own_client(client, SOCKET_LIMIT_S), queue, name, keys)
        intake = Intake(client, queue, name, keys, presence.register)
        worker = Worker(intake, queue, presence, stopping, idle_s)
        presence.birth()
        try:
            with open_parts(
                settings,
                name=name,
                node=node,
                client=client,
                stopping=stopping,
                queue=queue,
                device=device,
                chores=worker.chores,
                host=host,
            ) as parts:
                logger.debug("Worker {} listens to {}", name, queue)
                worker.work(parts)
        finally:
            worker.close()
            presence.death()
            intake.close()
            logger.debug("Worker {} leaves", name)
