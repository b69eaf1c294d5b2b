"""What the routes work with, made once: the ledger, the looks at it, the settings that they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from conductor.app.web.lookout import Lookout
from conductor.base.errors import Unreachable
from conductor.base.files.layout import CodeSettings, OwnServer
from conductor.model.decision import GateLedger
from conductor.model.forecast import Forecast
from conductor.model.spec import Value
from conductor.model.subject import subject_of_line
from conductor.ports import Ledger
from conductor.views.now import SHOWN_ROWS
from conductor.views.status import Status, gather
from conductor.views.stuck import tasks_of
from conductor.views.whole_status import Findings, find

#: For all who look at the page together.
LOOK_EVERY_S = 0.5
FIND_EVERY_S = 5.0
#: Questions about single jobs: so many at once, and so many that wait; an answer is waited for so long.
THREADS, MOST_WAITING, ANSWER_S = 8, 64, 5.0

T = TypeVar("T")


class LedgerLook(Value, frozen=True, kw_only=True):
    """As the ledger stood at one moment."""

    status: Status
    gates: GateLedger
    forecasts: tuple[Forecast, ...] = ()
    #: Job → the file that it is about, of those that run and of the first that wait.
    subjects: dict[str, str] = {}


@dataclass(kw_only=True)
class Stack:
    ledger: Ledger
    code: CodeSettings
    valkey: OwnServer
    lease_s: float

    def __post_init__(self) -> None:
        self.looks = Lookout("ledger", self._look, LOOK_EVERY_S)
        #: Reads files too, and so may hang on a mount: a thread of its own.
        self.findings = Lookout("findings", self._find, FIND_EVERY_S)

        self._pool = ThreadPoolExecutor(THREADS, "asks")
        self._asking = 0
        self._subjects: dict[str, str] = {}

    async def ask(self, what: Callable[[], T]) -> T:
        """`what`, in a thread. Raises `Unreachable` where it takes too long: a write may be done all the
        same."""
        if self._asking >= MOST_WAITING:
            raise Unreachable("too much is being asked at once: try again in a moment")
        self._asking += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, what)
        future.add_done_callback(self._answered)
        try:
            return await asyncio.wait_for(asyncio.shield(future), ANSWER_S)
        except TimeoutError:
            raise Unreachable(
                f"no answer within {ANSWER_S:.0f} s: what was asked for may be done yet"
            ) from None

    def _answered(self, future: asyncio.Future[T]) -> None:
        self._asking -= 1
        # Nobody waits any more: its error is not to be called unseen.
        if not future.cancelled():
            future.exception()

    def start(self) -> None:
        self.looks.start()
        self.findings.start()

    def stop(self) -> None:
        self.looks.stop()
        self.findings.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> LedgerLook:
        status = gather(self.ledger)
        return LedgerLook(
            status=status,
            gates=self.ledger.gate_record.gates(),
            forecasts=self.ledger.forecasts.forecasts(),
            subjects=self._subjects_of(status),
        )

    def _subjects_of(self, status: Status) -> dict[str, str]:
        """A line never changes under its id: each is read once while it is shown."""
        ids = [*(r.job_id for r in status.active[:SHOWN_ROWS]), *(h.head for h in status.holds if h.head)]
        known, self._subjects = self._subjects, {}
        for job_id in ids[: 2 * SHOWN_ROWS]:
            self._subjects[job_id] = known[job_id] if job_id in known else self._subject(job_id)
        return self._subjects

    def _subject(self, job_id: str) -> str:
        job = self.ledger.jobs.job(job_id)
        task = "" if job is None else job.job_class.task
        return "" if job is None else subject_of_line(job.line, task).removeprefix(task).strip()

    def _find(self) -> Findings:
        active = self.ledger.handover.reservations()
        return find(
            self.ledger,
            None,
            active,
            receipts_dir=self.code.receipts_dir,
            valkey=self.valkey,
            tasks=tasks_of(self.code) if active else {},
            lease_s=self.lease_s,
        )
