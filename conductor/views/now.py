"""What goes on, for the page that stays open: headline, backlogs, gates, what waits, what runs. Pure.

One value made of one look (`conductor.views.status`), so that no two figures on a screen are of two moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.analysis.forecast.text import ForecastEnd, end_of
from conductor.base.hours import about
from conductor.core.admission.earliest_start import earliest, is_never
from conductor.core.admission.explain import before, describe, leading, prospects
from conductor.model.decision import Gate, Hold, Shared
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import JobState
from conductor.model.receipt import Usage
from conductor.model.snapshot import Reservation
from conductor.model.spec import Lane, Value
from conductor.verify.read_back_progress import ReadBackProgress
from conductor.views.frozen_jobs import frozen_words
from conductor.views.gate_rows import GateRow, gate_rows
from conductor.views.headline import Headline, headline_of
from conductor.views.resource_history import LostTonight
from conductor.views.status import LaneStatus, Status

#: Of what runs and what waits so many rows are shown; the list of jobs has all.
SHOWN_ROWS = 200
#: Of who holds a gate, and of the first behind it, so many are called by what they are about.
SHOWN_NAMES = 4


class BacklogRow(Value, frozen=True, kw_only=True):
    name: str
    states: dict[JobState, int]
    known: int
    done: int
    #: What has not ended.
    left: int
    #: When it should be through, and what was said of that at first.
    end: ForecastEnd = ForecastEnd()
    first_ends_at: float | None = None
    #: The operator paused it: nothing of it is started.
    is_paused: bool = False
    #: Jobs that have ended an hour, since its run began; None: nobody can say yet.
    per_hour: float | None = None


class WaitingRow(Value, frozen=True, kw_only=True):
    """Jobs of one class that wait for one and the same reason."""

    backlog: str
    task: str
    lane: str
    jobs: int
    #: The first of them, and the file it is about.
    job_id: str
    about: str
    #: The one gate to name, and all answers in words, its own first.
    gate: Gate | None
    words: tuple[str, ...]
    is_never: bool
    since: float
    #: Earliest start of the first; None: nobody can say.
    starts_at: float | None


class RunningRow(Value, frozen=True, kw_only=True):
    job_id: str
    task: str
    about: str
    backlog: str
    lane: Lane
    state: str
    #: «node1/gpu0».
    where: str
    since: float
    #: How long such a job usually takes; 0: not known.
    expected_s: float
    asked_vram_mib: int
    asked_ram_mib: int
    usage: Usage | None
    progress: float | None
    note: str
    #: Why it stands still, or that its worker is silent; empty: it goes on.
    trouble: str
    attempt: int


class Now(Value, frozen=True, kw_only=True):
    """`now` and all instants: epoch seconds by the ledger's clock."""

    now: float
    leader: str | None
    #: As of when the gates are, and whether anybody decides at all.
    as_of: float | None
    has_leader: bool
    headline: Headline
    ends_at: float | None
    ends: str
    backlogs: tuple[BacklogRow, ...]
    lanes: tuple[LaneStatus, ...]
    gates: tuple[GateRow, ...]
    waiting: tuple[WaitingRow, ...]
    running: tuple[RunningRow, ...]
    dead: dict[str, int]
    #: What was published and has been read again, as a number and in words; None: nothing.
    read_back: ReadBackProgress | None
    proved: str
    notes: tuple[str, ...]
    #: What the gates have cost since the evening; None: nobody has listened for so long.
    tonight: LostTonight | None = None
    #: Gate → in per cent, of each of the last twelve times five minutes, how much of it something was held
    #: back.
    last_hour: dict[str, tuple[int, ...]] = {}
    #: Job → what it is about, of those that the gates name.
    subjects: dict[str, str] = {}


def now_of(
    status: Status,
    shared: Iterable[Shared] = (),
    forecasts: Iterable[Forecast] = (),
    tonight: LostTonight | None = None,
    last_hour: Mapping[str, tuple[int, ...]] | None = None,
) -> Now:
    moment = status.ledger_age.moment(status.now)
    told = {forecast.backlog: forecast for forecast in forecasts}
    gates = gate_rows(status, shared)
    return Now(
        now=status.now,
        leader=status.leader,
        as_of=status.ledger_age.as_of,
        has_leader=status.ledger_age.has_leader,
        headline=headline_of(status),
        ends_at=status.end.at,
        ends=status.end.words,
        backlogs=tuple(
            _backlog(name, states, told.get(name) or told.get(""), status)
            for name, states in status.backlogs.items()
        ),
        lanes=status.lanes,
        gates=gates,
        waiting=tuple(_waiting(hold, moment, status) for hold in _most_urgent(status.holds, moment)),
        running=tuple(_running(held, status) for held in status.active[:SHOWN_ROWS]),
        dead=status.dead,
        read_back=status.read_back,
        proved="" if status.read_back is None else status.read_back.words,
        notes=status.notes,
        tonight=tonight,
        last_hour=dict(last_hour or {}),
        subjects=_subjects(gates, status),
    )


def _subjects(gates: Iterable[GateRow], status: Status) -> dict[str, str]:
    tasks = {held.job_id: held.task for held in status.active} | {h.head: h.task for h in status.holds}
    shown = (job for row in gates for job in (*row.holders[:SHOWN_NAMES], *row.heads[:SHOWN_NAMES]))
    return {job: status.subject(job, tasks[job]) for job in shown if job in tasks}


def _backlog(name: str, states: dict[JobState, int], forecast: Forecast | None, status: Status) -> BacklogRow:
    left = sum(states.get(state, 0) for state in ("waiting", "admitted", "running"))
    return BacklogRow(
        name=name,
        states=states,
        known=sum(states.values()),
        done=states.get("done", 0),
        left=left,
        end=end_of(forecast, left, status.ledger_age.has_leader, status.now),
        first_ends_at=None if forecast is None or forecast.ended_at else forecast.first_ends_at,
        is_paused=name in status.controls.paused_backlogs,
        per_hour=_per_hour(forecast, name, sum(states.values()), left, status),
    )


def _per_hour(forecast: Forecast | None, backlog: str, known: int, left: int, status: Status) -> float | None:
    """Of the run that goes on. What is said of all backlogs together is not of one of several."""
    if forecast is None or forecast.ended_at or (forecast.backlog != backlog and len(status.backlogs) > 1):
        return None
    hours = (status.now - forecast.first_made_at) / 3600
    ended = forecast.first_left + max(0, known - forecast.first_known) - left
    return round(ended / hours, 1) if hours > 1 / 60 and ended > 0 else None


def _most_urgent(holds: Iterable[Hold], moment: float) -> list[Hold]:
    """What can never run first, then those with most jobs."""
    return sorted(holds, key=lambda hold: (not is_never(hold, moment), -hold.waiting))[:SHOWN_ROWS]


def _waiting(hold: Hold, moment: float, status: Status) -> WaitingRow:
    when, first = about(moment), leading(hold)
    named_first = sorted(hold.closed, key=lambda verdict: verdict is not first)
    answers = [describe(verdict, moment, when) for verdict in named_first]
    words = [*answers, *before(hold), *prospects(hold, moment, when)]
    return WaitingRow(
        backlog=hold.backlog,
        task=hold.task,
        lane=hold.lane,
        jobs=hold.waiting,
        job_id=hold.head,
        about=status.files.get(hold.head, ""),
        gate=None if first is None else first.gate,
        words=tuple(status.calling(words)),
        is_never=is_never(hold, moment),
        since=hold.since,
        starts_at=earliest(hold),
    )


def _running(held: Reservation, status: Status) -> RunningRow:
    heard = status.ledger_age.unheard.get(held.job_id)
    silent = "" if heard is None else f"no word since {about(status.now)(heard).removeprefix('about ')}"
    return RunningRow(
        job_id=held.job_id,
        task=held.task,
        about=status.files.get(held.job_id, ""),
        backlog=held.backlog,
        lane=held.lane,
        state=held.state,
        where="/".join((held.node, *held.devices)) or held.queue,
        since=held.started_at if held.state == "running" and held.started_at else held.admitted_at,
        expected_s=held.expected_s,
        asked_vram_mib=held.vram_mib,
        asked_ram_mib=held.ram_mib,
        usage=held.usage,
        progress=held.progress,
        note=held.note,
        trouble=silent or (frozen_words(held, status.now) if held.state == "running" else ""),
        attempt=held.attempt,
    )
