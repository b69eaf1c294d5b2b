"""The operator's word on many jobs at once: cancel, retry, requeue, drop, priority.

Who calls (command line, API, page) has chosen the jobs by a filter and shown how many there are. Each is one
atomic step in the ledger, which looks at the job as it is by then; what was done is noted in the journal
piece by piece, so that a rebuilt ledger knows it, and once as a whole for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, get_args

from conductor.base.errors import UsageError
from conductor.model.causes import Cause
from conductor.model.job_filter import JobFilter, filter_words
from conductor.model.ledger_entries import JobState, JobView
from conductor.model.spec import Value
from conductor.ports import Ledger
from conductor.record.journal import Journal

#: cancel: out of the backlog, and stopped where it runs. drop: the same of what does not run. retry: what is
#: over waits again, its failures forgotten. requeue: back from its worker, or out of its back-off.
JobVerb = Literal["cancel", "retry", "requeue", "drop", "priority"]
VERBS: tuple[JobVerb, ...] = get_args(JobVerb)
#: States in which a verb finds something to do.
TAKES: dict[JobVerb, tuple[JobState, ...]] = {
    "cancel": ("waiting", "admitted", "running", "review", "dead"),
    "drop": ("waiting", "review", "dead"),
    "retry": ("dead", "cancelled", "review"),
    "requeue": ("waiting", "admitted", "running"),
    "priority": ("waiting", "dead", "cancelled", "review"),
}
PRIORITIES = range(-1000, 1001)
#: So many are noted together.
BATCH = 500
SHOWN_IDS = 20


class ActionResult(Value, frozen=True, kw_only=True, omit_defaults=False):
    """`taken`: to how many it was done; `left`: state → those in which there was nothing to do."""

    verb: JobVerb
    filter: str
    taken: int = 0
    left: dict[str, int] = {}
    #: The first few of those it was done to.
    ids: tuple[str, ...] = ()


class ActedJob(NamedTuple):
    """One to which it was done, as it was before; `cause`: of its death."""

    job_id: str
    was: JobState
    cause: Cause | None


#: Those of one batch.
OnActed = Callable[[Sequence[ActedJob]], None]


def refuse_unmeant(verb: JobVerb, wanted: JobFilter, priority: int | None) -> None:
    """Raises `UsageError` for what is never meant: all jobs, or a priority that is none."""
    if wanted.is_empty:
        raise UsageError(f"{verb} wants a filter: an empty one would mean every job there is")
    if (verb == "priority") != (priority is not None):
        raise UsageError("a priority is a number from -1000 to 1000, and goes with the verb priority")
    if priority is not None and priority not in PRIORITIES:
        raise UsageError(f"{priority} is no priority: they go from -1000 to 1000")


def act_on(
    ledger: Ledger,
    journal: Journal,
    verb: JobVerb,
    ids: Iterable[str],
    wanted: JobFilter,
    *,
    who: str,
    priority: int | None = None,
    on_acted: OnActed = lambda acted: None,
) -> ActionResult:
    """`ids`: those that the filter meant when they were counted; one that is in another state by now than the
    filter says is left. `who`: for the journal. Raises `UsageError`, `Unreachable`, `ConfigError`; what was
    done by then is noted."""
    refuse_unmeant(verb, wanted, priority)
    acting = _Acting(ledger, journal, verb, wanted.states, priority)
    rest = iter(ids)
    try:
        while batch := list(islice(rest, BATCH)):
            try:
                acting.take(batch)
            finally:
                on_acted(acting.batch)
    finally:
        words = filter_words(wanted)
        journal.acted(verb if priority is None else f"{verb} {priority}", who, words, acting.taken)
        ledger.bell.ring()
    return ActionResult(
        verb=verb, filter=words, taken=acting.taken, left=dict(acting.left), ids=tuple(acting.first)
    )


class _Acting:
    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        verb: JobVerb,
        states: Sequence[JobState],
        priority: int | None,
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._verb: JobVerb = verb
        self._states = set(states or TAKES[verb]) & set(TAKES[verb])
        self._priority = priority or 0
        self._resumed: set[str] = set()
        self.taken = 0
        self.left: Counter[str] = Counter()
        self.first: list[str] = []
        #: Of the batch that was taken last.
        self.batch: list[ActedJob] = []

    def take(self, ids: Sequence[str]) -> None:
        """One batch, noted behind it also where Redis goes away in its middle."""
        done: dict[JobState, dict[str, int]] = {}
        self.batch = []
        try:
            for view in self._views(ids):
                if (was := self._one(view)) is None:
                    self.left[view.state] += 1
                    continue
                done.setdefault(was, {})[view.job_id] = view.attempts
                self.batch.append(ActedJob(view.job_id, was, view.cause))
                self.taken += 1
                if len(self.first) < SHOWN_IDS:
                    self.first.append(view.job_id)
        finally:
            self._note(done)

    def _views(self, ids: Sequence[str]) -> Iterator[JobView]:
        states = self._ledger.jobs.states(ids)
        for job_id in ids:
            state = states.get(job_id)
            if state is None or state not in self._states:
                self.left[state or "unknown"] += 1
            elif (view := self._ledger.jobs.job(job_id)) is not None:
                yield view

    def _one(self, view: JobView) -> JobState | None:
        """The state it had; None: there was nothing to do."""
        commands, job_id = self._ledger.commands, view.job_id
        if view.state not in self._states:
            return None
        match self._verb:
            case "cancel" | "drop":
                was = commands.cancel(job_id)
            case "requeue":
                was = commands.requeue(job_id)
            case "priority":
                was = self._ledger.priorities.prioritise(job_id, self._priority)
            case "retry" if view.is_shown:
                was = None  # Only a verdict leads out of there.
            case "retry":
                kind = view.job_class.kind
                if view.state == "review" and kind not in self._resumed:
                    # First, or what comes back is set aside again at once.
                    self._ledger.kinds.resume(kind)
                    self._resumed.add(kind)
                was = view.state if commands.retry(job_id) else None
        return was if was in TAKES[self._verb] else None

    def _note(self, done: dict[JobState, dict[str, int]]) -> None:
        all_ids = {job_id: attempts for ids in done.values() for job_id, attempts in ids.items()}
        match self._verb:
            case "cancel" | "drop":
                self._journal.operator("cancelled", all_ids)
            case "retry":
                self._journal.operator("retried", all_ids)
            case "priority":
                self._journal.prioritised(all_ids, self._priority)
            case "requeue":
                for was, ids in done.items():
                    self._journal.requeued(ids, was)
