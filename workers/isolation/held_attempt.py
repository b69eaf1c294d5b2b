"""An attempt in hand, as the threads of its worker share it: its reservation, its lease, how far its body
is.
"""

from __future__ import annotations

import time
from typing import Literal

from conductor.model.ledger_entries import HeldReport
from conductor.model.snapshot import Reservation
from workers.isolation.usage import Meter

#: «cancel»: the operator's word. «gone»: the attempt was rescued, somebody else may be running the job.
Verdict = Literal["cancel", "gone"]
#: A frozen body's limits are further away than anybody waits: whoever thaws it wakes those who do.
FAR_S = 1e6


class Held:
    """An attempt in hand. Written by both threads, each field by one."""

    def __init__(self, reservation: Reservation, meter: Meter, valid_until: float) -> None:
        self.reservation = reservation
        self.job_id = reservation.job_id
        self.attempt = reservation.attempt
        self.meter = meter
        #: What it is about, where more than its task is known.
        self.about = reservation.task
        #: By the local monotonic clock: until then nobody can have been given the job. Keeper's.
        self.valid_until = valid_until
        self.verdict: Verdict | None = None
        #: How often a ledger that was emptied got it back: such a one has forgotten who is preloaded behind
        #: it.
        self.adopted = 0
        #: Main thread's.
        self.is_running = False
        #: Root → bytes that the one preloaded behind it may write.
        self.behind: dict[str, int] = {}
        self.progress: float | None = None
        self.note = ""
        self.is_news = False
        #: The keeper's: what was told of it as an event, and when (monotonic).
        self.told: tuple[float | None, str] | None = None
        self.told_at = 0.0
        #: When the body last said how far it is (monotonic).
        self.moved_at = time.monotonic()
        self.began = time.monotonic()
        #: The freezer's: since when it stands still (epoch seconds) and why, and for how long it has before.
        self.frozen_since: float | None = None
        self.frozen_for = ""
        self.frozen_s = 0.0
        self._frozen_at = 0.0

    def is_started(self, reservation: Reservation, valid_until: float) -> None:
        """One that was preloaded; `hold` it now."""
        self.reservation, self.valid_until = reservation, valid_until

    def report(self, now: float) -> HeldReport:
        return HeldReport(
            job_id=self.job_id,
            attempt=self.attempt,
            usage=self.meter.usage(),
            progress=self.progress,
            note=self.note,
            quiet_s=round(now - self.moved_at, 1),
            frozen_since=self.frozen_since,
            frozen_for=self.frozen_for,
            frozen_s=round(self.frozen_s, 3),
        )

    def freeze(self, why: str, since: float, now: float) -> None:
        """`since`: epoch seconds; `now`: monotonic."""
        self._frozen_at, self.frozen_since, self.frozen_for, self.is_news = now, since, why, True

    def thaw(self, now: float) -> None:
        stood_s = now - self._frozen_at
        # In this order: nobody is to see it running with its limits as they were.
        self.frozen_s += stood_s
        self.moved_at += stood_s
        self.frozen_since, self.frozen_for, self.is_news = None, "", True

    @property
    def pardon_s(self) -> float:
        """By so much its limits lie later than they were set."""
        return self.frozen_s + (0.0 if self.frozen_since is None else FAR_S)

    def begin(self, pid: int) -> None:
        """Its body has its turn, in the process `pid`."""
        self.meter.pid = pid
        self.began = self.moved_at = time.monotonic()
        self.is_running = True
