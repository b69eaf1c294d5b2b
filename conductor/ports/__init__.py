"""The edge as the rest of the program sees it: one narrow Protocol per outside thing.

Every method that changes a job's state is one atomic step, fenced by the leader's `epoch` or by the attempt's
number. Adapters translate their errors: a lost connection is `errors.Unreachable`, a refused fence
`errors.Fenced`. Times are epoch seconds by the ledger's own clock (Redis TIME), never by the host's.
"""

from __future__ import annotations

from msgspec import Struct

from conductor.ports.alerts import Alerts
from conductor.ports.attempts import Attempts, CallLog, Orphans
from conductor.ports.clock import Clock, ReceiptLog
from conductor.ports.event_stream import EventStream
from conductor.ports.files import SharedFiles
from conductor.ports.jobs import JobIntake, Jobs, Tallies, WaitingJobs
from conductor.ports.operator import Breakers, Control, JobCommands, JobPriorities
from conductor.ports.pilots import PilotBook
from conductor.ports.reviews import Reviews
from conductor.ports.schedules import ScheduleBook
from conductor.ports.tick import (
    Bell,
    Forecasts,
    GateRecord,
    Handover,
    Leadership,
    LedgerIdentity,
    Prefetch,
    Rates,
    Reports,
)
from conductor.ports.workers import Doorbell, RollCalls

__all__ = [
    "Alerts",
    "Attempts",
    "Bell",
    "Breakers",
    "CallLog",
    "Clock",
    "Control",
    "Doorbell",
    "EventStream",
    "Forecasts",
    "GateRecord",
    "Handover",
    "JobCommands",
    "JobIntake",
    "JobPriorities",
    "Jobs",
    "Leadership",
    "Ledger",
    "LedgerIdentity",
    "Orphans",
    "PilotBook",
    "Prefetch",
    "Rates",
    "ReceiptLog",
    "Reports",
    "Reviews",
    "RollCalls",
    "ScheduleBook",
    "SharedFiles",
    "Tallies",
    "WaitingJobs",
]


class Ledger(Struct, frozen=True, kw_only=True):
    """Everything that lives in Redis, or in its in-memory twin: built once per process and passed down."""

    #: Jobs on their way in, as they wait, one by one, and counted.
    intake: JobIntake
    waiting: WaitingJobs
    jobs: Jobs
    tallies: Tallies
    #: Attempts with their workers, and without; calls of APIs; files that jobs hand on.
    attempts: Attempts
    orphans: Orphans
    workers: RollCalls
    doorbell: Doorbell
    calls: CallLog
    files: SharedFiles
    #: What everybody tells of, for those who look.
    events: EventStream
    #: The leader's.
    handover: Handover
    gate_record: GateRecord
    prefetch: Prefetch
    leadership: Leadership
    identity: LedgerIdentity
    forecasts: Forecasts
    bell: Bell
    reports: Reports
    #: The operator's.
    control: Control
    commands: JobCommands
    priorities: JobPriorities
    kinds: Breakers
    reviews: Reviews
    alerts: Alerts
    schedules: ScheduleBook
    #: Of engines.
    pilots: PilotBook
