"""The keys that Python touches itself. All others, with their meaning, are in the headers of `lua/`."""

from __future__ import annotations

from conductor.model.entries import STATES, JobState

PREFIX = "conductor:"

STATE = PREFIX + "state"
JOBS = PREFIX + "jobs"
SEALS = PREFIX + "seals"
BACKLOGS = PREFIX + "backlogs"
CLASSES = PREFIX + "classes"
CLASS_BACKLOG = PREFIX + "class_backlog"
BORN = PREFIX + "born"
GENERATION = PREFIX + "generation"
SETTLING = PREFIX + "settling"
COMPLETE = PREFIX + "complete"
HOLDS = PREFIX + "holds"
ASKED = PREFIX + "asked"
FORECASTS = PREFIX + "forecasts"
LEASES = PREFIX + "leases"
LEADER = PREFIX + "leader"
WAKE = PREFIX + "wake"
NODES = PREFIX + "nodes"
REFUSALS = PREFIX + "refusals"
LETTING_BYTES = PREFIX + "letting_bytes"
HANDED_AHEAD = PREFIX + "handed_ahead"
CALLS = PREFIX + "calls"
PAUSED = PREFIX + "paused"
DRAINING = PREFIX + "draining"
RESUMED = PREFIX + "resumed"
#: In `draining`: not one node but all.
ALL_NODES = "*"

#: The letter of each state in `conductor:state` and `conductor:count:BACKLOG`.
LETTERS: dict[JobState, str] = dict(zip(STATES, "wardxvc", strict=True))
STATE_OF: dict[str, JobState] = {letter: state for state, letter in LETTERS.items()}


#: States whose jobs are few and looked for by it: each has a set of their ids.
ASIDE: frozenset[JobState] = frozenset({"dead", "cancelled", "review"})


#: Of the dead, those that died of themselves: id → cause.
OWN_DEAD = PREFIX + "own_dead"


def aside(state: JobState) -> str:
    """The set of ids in one of the states of `ASIDE`."""
    return f"{PREFIX}aside:{LETTERS[state]}"


def class_jobs(number: str) -> str:
    """Those of a class that wait and are free to go, by order of arrival."""
    return f"{PREFIX}class:{number}"


def count(backlog: str) -> str:
    return f"{PREFIX}count:{backlog}"


def causes(backlog: str) -> str:
    """Cause → how many died of it themselves and are dead."""
    return f"{PREFIX}causes:{backlog}"


def hand(worker: str) -> str:
    """The list a worker moves an entry to (BLMOVE) when it takes it from its queue."""
    return f"{PREFIX}hand:{worker}"


def line(worker: str) -> str:
    """The list on which a worker hears who is lined up behind what it runs."""
    return f"{PREFIX}line:{worker}"


def node(name: str) -> str:
    return f"{PREFIX}node:{name}"


def queue(name: str) -> str:
    """RQ's list of entries."""
    return f"rq:queue:{name}"


def entry(job_id: str, attempt: int) -> str:
    """The RQ job id of an attempt."""
    return f"{job_id}-a{attempt}"
