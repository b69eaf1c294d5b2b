"""What the routes work with, made once: the ledger, the looks at it, the settings that they need."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from conductor.app.web.lookout import Lookout
from conductor.app.web.questions import Questions
from conductor.base.files.layout import CodeSettings, OwnServer
from conductor.base.settings.schedule_settings import ScheduleSettings
from conductor.model.alerts import Alert
from conductor.model.decision import GateLedger
from conductor.model.forecast import Forecast
from conductor.model.job_filter import JobFilter
from conductor.model.spec import Value
from conductor.model.subject import FileNames
from conductor.ports import Ledger
from conductor.recovery.verdicts import ReviewDesk
from conductor.views.job_list import JobList
from conductor.views.status import Status, gather
from conductor.views.stuck import tasks_of
from conductor.views.whole_status import Findings, find

#: For all who look at the page together.
LOOK_EVERY_S = 0.2
FIND_EVERY_S = 5.0
#: The history index is brought up to date so often, while somebody asks for jobs.
FEED_EVERY_S = 1.0
DEATHS_EVERY_S = 5.0
HOUR_S = 3600.0

T = TypeVar("T")


class LedgerLook(Value, frozen=True, kw_only=True):
    """As the ledger stood at one moment."""

    status: Status
    gates: GateLedger
    forecasts: tuple[Forecast, ...] = ()
    alerts: tuple[Alert, ...] = ()


@dataclass(kw_only=True)
class Stack:
    ledger: Ledger
    code: CodeSettings
    valkey: OwnServer
    lease_s: float
    schedules: Mapping[str, ScheduleSettings]

    def __post_init__(self) -> None:
        self.looks = Lookout("ledger", self._look, LOOK_EVERY_S)
        #: Reads files too, and so may hang on a mount: a thread of its own.
        self.findings = Lookout("findings", self._find, FIND_EVERY_S)

        self.jobs = JobList(self.code.state_dir, self.code.receipts_dir, self.ledger)
        #: The same where Redis does not answer: what the record says.
        self.recorded_jobs = JobList(self.code.state_dir, self.code.receipts_dir, None)
        self.desk = ReviewDesk(self.ledger, self.code.receipts_dir)
        self.records = Lookout("records", self.jobs.refresh, FEED_EVERY_S)
        #: Jobs that died within the last hour. It reads the record, and so may hang as well.
        self.deaths = Lookout("deaths", self._died_lately, DEATHS_EVERY_S)
        self._asks = Questions("asks")
        #: A mount that hangs keeps no question to the ledger waiting.
        self._file_asks = Questions("files")
        self._files = FileNames(self.ledger.jobs.lines)

    async def ask(self, what: Callable[[], T]) -> T:
        """`what`, of the ledger. Raises `Unreachable` where it takes too long: a write may be done all the
        same."""
        return await self._asks.ask(what)

    async def ask_files(self, what: Callable[[], T]) -> T:
        """`what`, of files that may lie on a mount."""
        return await self._file_asks.ask(what)

    def start(self) -> None:
        self.looks.start()
        self.findings.start()
        self.records.start()
        self.deaths.start()
        self._asks.start()
        self._file_asks.start()

    def something_happened(self) -> None:
        """Who asks from now on is told of it."""
        self.looks.expire()
        self.records.expire()

    def stop(self) -> None:
        self.looks.stop()
        self.findings.stop()
        self.records.stop()
        self.deaths.stop()
        self._asks.stop()
        self._file_asks.stop()
        self.desk.close()

    def _look(self) -> LedgerLook:
        status = gather(self.ledger, files=self._files)
        return LedgerLook(
            status=status,
            gates=self.ledger.gate_record.gates(),
            forecasts=self.ledger.forecasts.forecasts(),
            alerts=self.ledger.alerts.book().raised,
        )

    def _died_lately(self) -> int:
        self.jobs.refresh()
        wanted = JobFilter(states=("dead",), since=time.time() - HOUR_S)
        return self.jobs.index.find(wanted, 1).count

    def _find(self) -> Findings:
        active = self.ledger.handover.reservations()
        return find(
            self.ledger,
            None,
            active,
            layout=self.code,
            valkey=self.valkey,
            tasks=tasks_of(self.code) if active else {},
            lease_s=self.lease_s,
        )
