"""A thread that enforces what the main thread would have to, whatever that one is stuck in.

A body that has run longer than it may is ended with its family, also while the main thread waits for Redis or
writes to a disk that does not answer. Where the main thread itself stands still with work in hand, this
process ends: its supervisor sees that, nobody renews its leases, and what it held goes back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from conductor.adapters.host.stopped_processes import StoppedProcesses
from conductor.base.logs.events import emit_event

if TYPE_CHECKING:
    from workers.attempt.freezer import Freezer
    from workers.attempt.parts import BodyRow, InHand
    from workers.isolation.child_process import ChildProcess
    from workers.isolation.stop_signals import Stopping

#: How often it looks.
LOOK_EVERY_S = 1.0
#: Who looks so late was stopped.
STOOD_STILL_S = 5.0
#: Behind a deadline: the main thread is first, and it gives a body that was asked to leave its time.
GRACE_S = 5.0
#: The main thread stands still: as long as one of its bodies may run, but so long at least and at most. Redis
#: gives an answer or an error within the first, and what a slow disk still has to write is on it within the
#: second.
STANDS_LEAST_S, STANDS_MOST_S = 90.0, 900.0
#: Of sysexits.h: another worker may fare better.
EX_TEMPFAIL = 75
#: What is to be said is said within so long, or not: the log may lie on the very disk.
_SAY_S = 2.0


class Watchdog:
    """One worker's. Times are monotonic."""

    def __init__(
        self,
        host: ChildProcess,
        stopping: Stopping,
        lease_s: float,
        freezer: Freezer,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        """To be made by the main thread. `lease_s`: so long the child may stand still, stopped by a
        signal.
        """
        self._host = host
        self._stopping = stopping
        self._freezer = freezer
        self._leave = leave
        self._stopped = StoppedProcesses(lease_s)
        self._main = threading.get_ident()
        self._course: BodyRow | None = None
        self._hand: InHand | None = None
        self._closed = threading.Event()
        #: What of the child's row was seen last, and since when.
        self._row: object = None
        self._row_since = 0.0
        self._signs: object = None
        self._signs_since = 0.0
        self._looked_at = 0.0
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def over(self, course: BodyRow, hand: InHand) -> None:
        """From now on it watches over these."""
        self._course, self._hand = course, hand

    def look(self, now: float) -> None:
        """One look."""
        course, hand = self._course, self._hand
        if course is None or hand is None:
            return
        if now - self._looked_at > STOOD_STILL_S:
            # Not the others alone: this thread did too, with the whole process. All begin anew.
            self._row = self._signs = None
        self._looked_at = now
        self._freezer.look(hand)
        if self._host.frozen.is_on:
            # They stand by our own will: neither that nor their time is held against them.
            self._row, self._stopped = None, StoppedProcesses(self._stopped.limit_s)
        else:
            self._look_at_child(course, now)
            self._look_at_row(course, hand, now)
        self._look_at_main(course, hand, now)

    def _work(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            try:
                self.look(time.monotonic())
            except Exception as e:  # noqa: BLE001  the next look may see what this one could not
                logger.error("The watchdog could not look: {}: {}", type(e).__name__, e)

    def _look_at_child(self, course: BodyRow, now: float) -> None:
        """It does nothing, and whoever waits for it hears nothing: neither its body nor the next one."""
        for pid, stood_s in self._stopped.over((self._host.pid,), now).items():
            course.stood_still = pid, stood_s
            if self._host.strike(pid):
                words = (
                    "The task's process (pid {pid}) stood still for {seconds:.0f} s, stopped by a "
                    "signal: killed"
                )
                _say(partial(emit_event, "worker.stuck", words, pid=pid, seconds=stood_s))

    def _look_at_row(self, course: BodyRow, hand: InHand, now: float) -> None:
        """Bodies follow each other where turns are heard or tickets are taken. Where neither moves for as
        long as the longest of them may take, the one that runs, if one does, is over its time."""
        row = (self._host.pid, course.turns, self._host.unbegun_now())
        if row != self._row or not hand.given:
            self._row, self._row_since = row, now
            return
        if now - self._row_since < course.longest_s + GRACE_S:
            return
        self._row_since = now
        pid, _, unbegun = row
        if len(hand.given) - unbegun <= self._host.unheard_ends():
            return  # All that had begun has ended, and waits to be heard.
        course.struck = pid
        if self._host.strike(pid):
            words = "A body ran longer than {seconds:g} s, and its worker did not look: killed"
            _say(partial(emit_event, "worker.stuck", words, pid=pid, seconds=course.longest_s))

    def _look_at_main(self, course: BodyRow, hand: InHand, now: float) -> None:
        """It is alive where it waits by its own will, has done so since, or has computed anything."""
        signs = (self._stopping.rested, _cpu_s(self._main))
        if signs != self._signs or self._stopping.is_at_rest or not hand.reported():
            self._signs, self._signs_since = signs, now
            return
        if now - self._signs_since >= min(STANDS_MOST_S, max(STANDS_LEAST_S, course.longest_s)):
            names = ", ".join(f"{job_id} attempt {number}" for job_id, number in hand.reported())
            stood_s = now - self._signs_since
            words = (
                "Stuck for {seconds:.0f} s with {}: a disk or a mount that does not answer? This "
                "worker ends, and "
                "its attempts go back"
            )
            ids = [job_id for job_id, _ in hand.reported()]
            _say(partial(emit_event, "worker.stuck", words, names, seconds=stood_s, job_ids=ids))
            self._host.strike(self._host.pid)
            self._signs_since = now
            self._leave(EX_TEMPFAIL)


def _say(said: Callable[[], None]) -> None:
    """In a thread of its own: the log may lie on the disk that does not answer."""
    saying = threading.Thread(target=said, daemon=True)
    saying.start()
    saying.join(_SAY_S)


def _cpu_s(thread: int) -> float:
    """What it has computed; 0 where the system does not say."""
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread))
    except (AttributeError, OSError):
        return 0.0
