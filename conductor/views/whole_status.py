"""`Status` with all that a person should know beside the ledger: what the command line and the API show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from conductor.adapters.redis.valkey import fullness
from conductor.base.files.layout import Layout, OwnServer
from conductor.core.failures.stuck import Stuck
from conductor.model.snapshot import Reservation
from conductor.model.spec import TaskDecl, Value
from conductor.ports import Ledger
from conductor.record.ledger_identity import ledger_match_of
from conductor.verify.read_back_progress import ReadBackProgress, read_progress
from conductor.views.dead_jobs import DeadJobs, obituaries
from conductor.views.headline import Headline, headline_of
from conductor.views.status import Status, noting
from conductor.views.stuck import stuck_jobs


class Findings(Value, frozen=True, kw_only=True):
    """What is looked up less often than the counts: it costs more, and changes less."""

    #: The most urgent last: each is put before all others.
    notes: tuple[str, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    graves: tuple[DeadJobs, ...] = ()
    read_back: ReadBackProgress | None = None


class HeadedStatus(Status, frozen=True, kw_only=True):
    """With the most important first: what `status --json` and the API say."""

    headline: Headline


def headed(status: Status) -> HeadedStatus:
    return HeadedStatus(**msgspec.structs.asdict(status), headline=headline_of(status))


def find(
    ledger: Ledger,
    backlog: str | None,
    active: Sequence[Reservation],
    *,
    layout: Layout,
    valkey: OwnServer,
    tasks: Mapping[str, TaskDecl],
    lease_s: float,
) -> Findings:
    """`active`: the reservations that were just read. Raises `Unreachable`."""
    notes = (ledger_match_of(ledger, layout.receipts_dir).sentence, fullness(valkey))
    return Findings(
        notes=tuple(note for note in notes if note),
        stuck=stuck_jobs(ledger, active, tasks, lease_s),
        graves=obituaries(ledger, backlog),
        read_back=read_progress(layout.state_dir),
    )


def whole_status(status: Status, found: Findings) -> Status:
    for note in found.notes:
        status = noting(status, note)
    return msgspec.structs.replace(status, stuck=found.stuck, graves=found.graves, read_back=found.read_back)
