"""The keeper: one thread that renews the leases of the attempts in hand, measures the one that runs, and
hears when one is to end.

It runs beside whatever the main thread does: waiting for the body, hashing a large file, publishing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

import msgspec
from loguru import logger

from conductor.base.errors import ConductorError, Unreachable
from conductor.base.logs.events import emit_event
from conductor.model.ledger_entries import RenewAnswer
from conductor.model.subject import SHORT_ID
from conductor.ports import Attempts
from workers.attempt.progress_events import tell_progress
from workers.isolation.held_attempt import Held, Verdict
from workers.isolation.stop_signals import Stopping

#: How often the child is measured, and how soon new progress is told.
SAMPLE_S = 1.0
#: After a failed renewal: Redis may be back any moment.
_AGAIN_S = 0.25


class Keeper:
    """`hold` before the body starts, `release` after the receipt is accepted."""

    def __init__(
        self,
        attempts: Attempts,
        worker: str,
        lease_s: float,
        stopping: Stopping,
        chores: Callable[[Held | None], None],
    ) -> None:
        self._attempts = attempts
        self._worker = worker
        self._lease_s = lease_s
        self._stopping = stopping
        #: Called on every round with the attempt that runs.
        self._chores = chores
        self._helds: list[Held] = []
        #: Of the last turn whose answer was heard: what was started later may be on its way.
        self._seen = 0
        self._renew_at = 0.0
        self._is_hurried = False
        #: Heard, and not told to the main thread yet.
        self._verdicts: deque[tuple[Held, Verdict]] = deque()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        self._stopping.wake_keeper()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def saw(self, step: int) -> None:
        """After all that came with it is held: from then on the ledger takes what is not named for
        dropped.
        """
        with self._lock:
            self._seen = max(self._seen, step)

    def hurry(self) -> None:
        """From any thread: say now what is held."""
        self._is_hurried = True
        self._stopping.wake_keeper()

    def next_verdict(self) -> tuple[Held, Verdict] | None:
        """The main thread's: the next that was heard since, if there is one."""
        return self._verdicts.popleft() if self._verdicts else None

    def hold(self, held: Held) -> None:
        with self._lock:
            self._helds.append(held)

    def release(self, held: Held) -> None:
        with self._lock:
            self._helds.remove(held)

    def is_ours(self, held: Held, is_doubtful: bool = False) -> bool:
        """Asked before anything is published. Waits for Redis where the lease has run out, or
        `is_doubtful`.
        """
        if is_doubtful:
            with self._lock:
                held.valid_until = 0.0
        while held.verdict is None and time.monotonic() >= held.valid_until:
            with self._lock:
                self._renew()
            if held.verdict is None and time.monotonic() >= held.valid_until:
                if self._stopping.is_urgent:
                    return False
                self._stopping.sleep(_AGAIN_S)
        return held.verdict is None

    def _work(self) -> None:
        while not self._is_closed:
            self._stopping.keeper_sleep(self._round())

    def _round(self) -> float:
        with self._lock:
            # First: to measure a family of processes may take long on a busy host, and leases run out.
            if self._is_due():
                self._at_all_costs(self._renew)
            for held in self._helds:
                self._at_all_costs(partial(self._look_after, held))
            running = next((held for held in self._helds if held.is_running), None)
        self._at_all_costs(partial(self._chores, running))
        # Also when idle: waking this thread for every job would cost a short one more than its own work.
        due_s = self._renew_at - time.monotonic()
        return max(0.0, due_s) if due_s <= _AGAIN_S else min(SAMPLE_S, self._lease_s / 3)

    def _is_due(self) -> bool:
        has_news = self._is_hurried or any(held.is_news for held in self._helds)
        return has_news or time.monotonic() >= self._renew_at

    def _at_all_costs(self, step: Callable[[], None]) -> None:
        """Whatever goes wrong with one must not end the renewing of the others: this thread lives on."""
        try:
            step()
        except Exception as e:  # noqa: BLE001  said, and tried again with the next round
            logger.opt(exception=True).error("The keeper could not do its round: {}: {}", type(e).__name__, e)

    def _look_after(self, held: Held) -> None:
        if held.verdict is None and held.is_running:
            held.meter.sample()
            tell_progress(held, time.monotonic())
            if held.meter.beyond:
                self._stopping.wake()

    def _renew(self) -> None:
        """All that is held, in one step, also when that is nothing: what is not named is not held here. The
        lock is held. An unreachable Redis is tried again shortly."""
        asked_at = time.monotonic()
        self._is_hurried = False
        # Who was told to stop is still here: until it has stopped its place is not free.
        named = [held for held in self._helds if held.verdict != "gone"]
        for held in named:
            held.is_news = False
        self._renew_at = asked_at + min(_AGAIN_S, self._lease_s / 3)
        try:
            renewed = self._attempts.renew(
                self._worker, self._lease_s, [h.report(asked_at) for h in named], self._seen
            )
            answers: list[RenewAnswer] = [
                self._adopted(held) if answer == "unknown" else answer
                for held, answer in zip(named, renewed.answers, strict=True)
            ]
            for held, answer in zip(named, answers, strict=True):
                self._hear(held, answer, asked_at)
        except Unreachable:
            return
        except ConductorError as e:
            words = "Renewing what {worker} holds was refused: {error}"
            emit_event("lease.refused", words, worker=self._worker, error=str(e))
            return
        # The ledger is about to be told of it: nobody else may be given it meanwhile.
        if "unknown" not in answers:
            self._renew_at = asked_at + self._lease_s / 3

    def _hear(self, held: Held, answer: RenewAnswer, asked_at: float) -> None:
        if held.verdict is not None:
            return
        if answer in ("cancel", "gone"):
            held.verdict = answer
            self._verdicts.append((held, answer))
            self._stopping.wake()
        else:
            held.valid_until = asked_at + self._lease_s

    def _adopted(self, held: Held) -> RenewAnswer:
        """A ledger that forgot the attempt was emptied, or stepped back: it gets it back as soon as it knows
        the job.

        Until then nobody else can have been given it. The work goes on; its receipt counts when all is
        rebuilt. With it goes what was claimed for the one behind it, which may have begun."""
        disk = dict(Counter(held.reservation.disk) + Counter(held.behind))
        reservation = (
            msgspec.structs.replace(held.reservation, disk=disk) if held.behind else held.reservation
        )
        adopted = self._attempts.adopt(reservation, self._worker, self._lease_s)
        if adopted == "ok":
            held.adopted += 1
            emit_event("attempt.adopted", "Redis had forgotten {about} ({}) attempt {attempt}: it goes on",
                       held.job_id[:SHORT_ID], job_id=held.job_id, attempt=held.attempt, about=held.about,
                       worker=self._worker)  # fmt: skip
        return adopted
