"""The most important first: one sentence on what goes on, and what waits for a person. Pure."""

from __future__ import annotations

from typing import Literal

from conductor.base.logs.logs import CYAN, GREEN, RED, YELLOW
from conductor.base.redis_keys import BACKLOG
from conductor.base.text import many
from conductor.core.admission.earliest_start import is_broken, is_never, is_refused
from conductor.model.decision import Hold
from conductor.model.ledger_entries import STATES
from conductor.model.spec import Value
from conductor.views.dead_jobs import BEHIND
from conductor.views.staleness import clock, no_conductor
from conductor.views.status import Status

#: `act`: a person is needed. `empty`: no job was ever dispatched.
Tone = Literal["act", "runs", "waits", "over", "empty"]
#: On a terminal.
COLOUR_OF: dict[Tone, str] = {"act": RED, "runs": CYAN, "waits": YELLOW, "over": GREEN, "empty": ""}
#: So many causes are named.
SHOWN_CAUSES = 3
#: Signs of a job in flight that a person should look at; the others go over by themselves.
ALARMING = ("silent", "stalled")


class Todo(Value, frozen=True, kw_only=True):
    """What waits for a person: how many jobs, of what, where they are listed, what helps."""

    jobs: int
    words: str
    #: Words of the job filter that list them; empty: they are not told apart by it.
    filter: str = ""
    #: A command to begin with; empty: the words say all.
    command: str = ""


class Headline(Value, frozen=True, kw_only=True):
    tone: Tone
    #: «Running: 212 of 340 done, the rest by about 04:10 (in 2 h 10 min).»
    words: str
    todo: tuple[Todo, ...] = ()


def headline_of(status: Status) -> Headline:
    todo = todo_of(status)
    words = _words(status)
    if not any(status.backlogs.values()):
        return Headline(tone="empty", words=words, todo=todo)
    left = status.total("waiting", "admitted", "running")
    if todo:
        return Headline(tone="act", words=words, todo=todo)
    if not left:
        return Headline(tone="over", words=words)
    return Headline(tone="runs" if status.total("running", "admitted") else "waits", words=words)


def _words(status: Status) -> str:
    known, done = status.total(*STATES), status.total("done")
    if not known:
        return "No job has been dispatched: `conductor plan`, then `conductor dispatch`."
    left = status.total("waiting", "admitted", "running")
    if not left:
        return f"Nothing runs and nothing waits: {done:,} of {many(known, 'job')} done{_since(status)}."
    if not status.ledger_age.has_leader:
        return f"Nothing new starts: {done:,} of {many(known, 'job')} done."
    begun = status.total("running", "admitted")
    head = "Running" if begun else "Waiting"
    return f"{head}: {done:,} of {many(known, 'job')} done, {_rest(status)}."


def _rest(status: Status) -> str:
    if status.end.at is None:
        return status.end.words
    # The forecast's own words: «done about 04:10 (in 2 h 10 min)», or those of one backlog.
    return status.end.words if status.end.words.startswith(BACKLOG) else f"the rest {status.end.words}"


def _since(status: Status) -> str:
    ended = status.forecast.ended_at if status.forecast is not None else None
    return "" if ended is None else f" since {clock(ended, status.now)}"


# ── what waits for a person ───────────────────────────────────────────────────────────────────────────────


def todo_of(status: Status) -> tuple[Todo, ...]:
    """The most urgent first: what stands still altogether, then what was lost, then what waits for a word."""
    left = status.total("waiting", "admitted", "running")
    found: list[Todo | None] = [
        _no_leader(status, left),
        _no_node(status),
        *_holds(status),
        _stuck(status),
        _dead(status),
        _review(status),
    ]
    return tuple(todo for todo in found if todo is not None and todo.jobs)


def _no_leader(status: Status, left: int) -> Todo | None:
    if status.ledger_age.has_leader:
        return None
    return Todo(
        jobs=left,
        words=f"{many(left, 'job')} left and {no_conductor(status.ledger_age, status.now)}",
        filter="state:waiting",
        command="conductor up",
    )


def _no_node(status: Status) -> Todo | None:
    if status.nodes or not status.ledger_age.has_leader:
        return None
    waiting = status.total("waiting")
    return Todo(jobs=waiting, words=f"{many(waiting, 'job')} and no node", command="conductor node")


def _holds(status: Status) -> list[Todo]:
    moment = status.ledger_age.moment(status.now)
    never = [hold for hold in status.holds if is_never(hold, moment)]
    broken = [hold for hold in status.holds if is_broken(hold)]
    refused = [hold for hold in status.holds if is_refused(hold) and hold not in never]
    return [
        _of_holds(never, "can never run here"),
        _of_holds(broken, "wait for workers that die at each start"),
        _of_holds(refused, "wait for an API that refuses everybody"),
    ]


def _of_holds(holds: list[Hold], words: str) -> Todo:
    jobs = sum(hold.waiting for hold in holds)
    first = holds[0].head[:12] if holds else ""
    return Todo(
        jobs=jobs,
        words=f"{many(jobs, 'job')} {words}",
        filter="state:waiting " + " ".join(f"task:{task}" for task in sorted({h.task for h in holds})),
        command=f"conductor explain {first}" if first else "",
    )


def _stuck(status: Status) -> Todo:
    # Without a conductor every worker falls silent in time: that is said once, above.
    has_leader = status.ledger_age.has_leader
    alarming = [stuck for stuck in status.stuck if has_leader and stuck.sign in ALARMING]
    jobs = len(alarming)
    first = alarming[0].job_id[:12] if jobs else ""
    return Todo(
        jobs=jobs,
        words=f"{many(jobs, 'job')} {'does' if jobs == 1 else 'do'} not get on",
        filter="state:running",
        command=f"conductor explain {first}",
    )


def _dead(status: Status) -> Todo:
    jobs = status.total("dead")
    own = sorted(((n, cause) for cause, n in status.dead.items() if cause != BEHIND), reverse=True)
    named = ", ".join(f"{n:,} {cause}" for n, cause in own[:SHOWN_CAUSES])
    rest = f", {len(own) - SHOWN_CAUSES} more causes" if len(own) > SHOWN_CAUSES else ""
    behind = status.dead.get(BEHIND, 0)
    after = f", {behind:,} behind those" if own and behind else ""
    causes = f": {named}{rest}{after}" if own else ""
    return Todo(
        jobs=jobs, words=f"{jobs:,} dead{causes}", filter="state:dead", command="conductor jobs state:dead"
    )


def _review(status: Status) -> Todo:
    jobs = status.total("review")
    return Todo(jobs=jobs, words=f"{jobs:,} to review", filter="state:review", command="conductor review")


# ── as text ───────────────────────────────────────────────────────────────────────────────────────────────


def line(headline: Headline) -> str:
    """«Running: 212 of 340 jobs done, the rest done about 04:10; 3 dead (`conductor jobs state:dead`).»"""
    parts = [f"{todo.words} (`{todo.command}`)" if todo.command else todo.words for todo in headline.todo]
    return "; ".join([headline.words.removesuffix("."), *parts]) + "."
