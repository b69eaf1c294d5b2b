"""The edge as the rest of the program sees it: one narrow Protocol per outside thing.

Every method that changes a job's state is one atomic step, fenced by the leader's `epoch` or by the attempt's
number. Adapters translate their errors: a lost connection is `errors.Unreachable`, a refused fence
`errors.Fenced`. Times are epoch seconds by the ledger's own clock (Redis TIME), never by the host's.
"""

from __future__ import annotations

from msgspec import Struct

from conductor.ports.clock import Clock, ReceiptLog
from conductor.ports.jobs import Attempts, Backlog
from conductor.ports.operator import Breakers, Control
from conductor.ports.tick import Bell, Handover, Leadership, Rates, Reports

__all__ = [
    "Attempts",
    "Backlog",
    "Bell",
    "Breakers",
    "Clock",
    "Control",
    "Handover",
    "Leadership",
    "Ledger",
    "Rates",
    "ReceiptLog",
    "Reports",
]


class Ledger(Struct, frozen=True, kw_only=True):
    """Everything that lives in Redis, or in its in-memory twin: built once per process and passed down."""

    backlog: Backlog
    attempts: Attempts
    handover: Handover
    leadership: Leadership
    bell: Bell
    reports: Reports
    control: Control
    kinds: Breakers
