"""The names of one project's keys: the one place that says how they begin. With their meaning they are in the
headers of `lua/`, as a project without a prefix has them.

Projects that share a database differ in `redis.prefix` and in nothing else: `night:conductor:state`,
`night:rq:queues`. The names are a value that whoever talks to Redis is given: one process may look at two
projects.
"""

from __future__ import annotations

import re

from conductor.model.ledger_entries import STATES, JobState

#: In `draining`: not one node but all.
#: Before the name of a backlog among the operator's words on places.
BACKLOG = "backlog:"
ALL_NODES = "*"

#: The letter of each state in `state` and `count:BACKLOG`.
LETTERS: dict[JobState, str] = dict(zip(STATES, "wardxvc", strict=True))
STATE_OF: dict[str, JobState] = {letter: state for state, letter in LETTERS.items()}


#: States whose jobs are few and looked for by it: each has a set of their ids.
LISTED_STATES: frozenset[JobState] = frozenset({"dead", "cancelled", "review"})


#: How keys begin where there is no prefix.
LEDGER, RQ = "conductor", "rq"


def checked_prefix(prefix: str) -> str:
    """As it is. Raises `ValueError` where the keys of two projects, or of RQ, could not be told apart by
    it.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", prefix):
        raise ValueError("letters, digits, - and _ only, 64 at most")
    if prefix in (LEDGER, RQ):
        raise ValueError(f"the keys of a project without a prefix begin with «{prefix}:»: take another word")
    return prefix


class Keys:
    """Of the project with that prefix (`redis.prefix`; empty: none)."""

    def __init__(self, prefix: str = "") -> None:
        before = f"{prefix}:" if prefix else ""
        self.prefix = prefix
        #: How the ledger's own keys begin, and those that RQ knows: what `RQ_KEY_PREFIX` says to RQ, and a
        #: colon.
        self.ledger = p = f"{before}{LEDGER}:"
        self.rq = f"{before}{RQ}:"
        self.state = p + "state"
        self.jobs = p + "jobs"
        self.seals = p + "seals"
        self.backlogs = p + "backlogs"
        self.classes = p + "classes"
        self.class_backlog = p + "class_backlog"
        self.created_ms = p + "created_ms"
        self.project = p + "project"
        self.generation = p + "generation"
        self.rebuild_grace = p + "rebuild_grace"
        self.served_by = p + "served_by"
        self.complete_dispatches = p + "complete_dispatches"
        self.gate_ledger = p + "gate_ledger"
        self.stop_requests = p + "stop_requests"
        self.forecasts = p + "forecasts"
        self.schedules = p + "schedules"
        self.engines, self.pilots = p + "engines", p + "pilots"
        self.engine_jobs = p + "engine_jobs"
        self.leases = p + "leases"
        self.events = p + "events"
        self.leader = p + "leader"
        self.leader_seen = p + "leader_seen"
        self.resigned = p + "resigned"
        self.bell = p + "bell"
        self.nodes = p + "nodes"
        self.left = p + "left"
        self.rate_limited = p + "rate_limited"
        self.removable_bytes = p + "removable_bytes"
        self.early_successions = p + "early_successions"
        self.reported_calls = p + "reported_calls"
        self.rates, self.rate_reserved, self.spent = p + "rates", p + "rate_reserved", p + "spent"
        #: Before the lists of the library `limits`, which puts a colon itself.
        self.rate_log = p + "rate_log"
        self.paused = p + "paused"
        self.draining = p + "draining"
        self.resumed = p + "resumed"
        self.alerts = p + "alerts"
        #: Of the dead, those that died of themselves: id → cause.
        self.dead_by_own_cause = p + "dead_by_own_cause"
        #: Names of workers; which of them are there their heartbeat says (`rq_worker`).
        self.workers = p + "workers"
        self.rq_queues = self.rq + "queues"
        self.rq_workers = self.rq + "workers"

    def waited_on_by(self, job_id: str) -> str:
        return f"{self.ledger}waited_on_by:{job_id}"

    def review(self, job_id: str) -> str:
        return f"{self.ledger}review:{job_id}"

    def by_state(self, state: JobState) -> str:
        """The set of ids in one of the states of `LISTED_STATES`."""
        return f"{self.ledger}by_state:{LETTERS[state]}"

    def class_jobs(self, number: str) -> str:
        """Those of a class that wait and are free to go, by order of arrival."""
        return f"{self.ledger}class:{number}"

    def count(self, backlog: str) -> str:
        return f"{self.ledger}count:{backlog}"

    def causes(self, backlog: str) -> str:
        """Cause → how many died of it themselves and are dead."""
        return f"{self.ledger}causes:{backlog}"

    def prefetched(self, worker: str) -> str:
        """The list a worker moves an entry to (BLMOVE) when it takes it from its queue."""
        return f"{self.ledger}prefetched:{worker}"

    def successor_feed(self, worker: str) -> str:
        """The list on which a worker hears which successor is preloaded behind the attempt it runs."""
        return f"{self.ledger}successor_feed:{worker}"

    def heard(self, worker: str) -> str:
        """When a worker last said what it holds (ms); it runs out."""
        return f"{self.ledger}heard:{worker}"

    def handed_over(self, node: str) -> str:
        """The channel that rings when something is handed over to a queue of that node."""
        return f"{self.ledger}handed_over:{node}"

    def node(self, name: str) -> str:
        return f"{self.ledger}node:{name}"

    def rq_queue(self, name: str) -> str:
        """RQ's list of entries."""
        return f"{self.rq}queue:{name}"

    def rq_job(self, entry: str) -> str:
        return f"{self.rq}job:{entry}"

    def rq_failed(self, queue: str) -> str:
        return f"{self.rq}failed:{queue}"

    def rq_worker(self, name: str) -> str:
        return f"{self.rq}worker:{name}"

    def rq_workers_of(self, queue: str) -> str:
        return f"{self.rq}workers:{queue}"


#: Of a project that has a database to itself.
PLAIN = Keys()


def entry(job_id: str, attempt: int) -> str:
    """The RQ job id of an attempt."""
    return f"{job_id}-a{attempt}"
