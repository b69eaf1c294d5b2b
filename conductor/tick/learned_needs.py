"""Learns needs from receipts as they are written, and puts what was learned into the candidates of a tick.

A thread reads what was added to the receipt files (`conductor/tick/receipt_samples.py`); the tick only looks
things up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType

import msgspec

from conductor.base.code_version import code_version
from conductor.base.files.layout import Layout
from conductor.base.logs.events import emit_event
from conductor.base.settings.sections import LearningSettings
from conductor.core.capacity.cluster import Free
from conductor.core.needs.caps import within
from conductor.core.needs.drift import drifts, sentence
from conductor.core.needs.escalation import instead
from conductor.core.needs.estimates import LearnedNeeds, Policy, Taught
from conductor.core.needs.learned_amounts import LEARNED
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, JobClass, Snapshot
from conductor.model.spec import TaskDecl
from conductor.tick.receipt_samples import Receipts, cache_of

#: New receipts are looked for so often, and the cache is written at most so often.
EVERY_S, WRITE_EVERY_S = 1.0, 30.0
#: While jobs wait of whose kind nothing is known, few of which begin: so often.
SOON_S = 0.2
#: A node whose jobs ended so long ago, and none of whose receipts is here, keeps them elsewhere.
UNSEEN = "No receipt of node {node} comes into {file}: what its jobs take is not learned; share the folder"
UNSEEN_S = 60.0

#: Receipts taken in at one go; so many at once, and there are more to read.
AT_ONCE, BEHIND = 100, 1000
#: Looking for new ones takes at most this share of the time, however many files there are.
LARGEST_SHARE = 0.05
#: A tick spends so much on news of classes that it knows.
TICK_S = 0.005
#: Classes whose estimates are kept.
MOST_KNOWN = 10_000
_JOB_ID, _NODE = attrgetter("job_id"), attrgetter("node")


def policy_of(chosen: LearningSettings) -> Policy:
    return Policy(is_on=chosen.is_on, margin=chosen.margin, lower_after=chosen.lower_after)


class Codes(Mapping[str, str]):
    """Task → the version of the code that a worker started now would run; as of the last `renew`."""

    def __init__(self, decls: Mapping[str, TaskDecl]) -> None:
        self._decls = decls
        self._known: dict[str, str] = {}

    def renew(self) -> None:
        self._known = {task: code_version(self._decls[task].module) for task in self._known}

    def __getitem__(self, task: str) -> str:
        if task not in self._known:
            self._known[task] = code_version(self._decls[task].module)
        return self._known[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decls)

    def __len__(self) -> int:
        return len(self._decls)


class NeedsLearner:
    """Of the leader: `teach` is called by its tick, all else happens in a thread. Use as a context
    manager.
    """

    def __init__(self, layout: Layout, policy: Policy, decls: Mapping[str, TaskDecl], limits: Limits) -> None:
        self._limits = limits
        self._codes = Codes(decls)
        self._receipts = Receipts(layout.receipts_dir, cache_of(layout.state_dir))
        self.learned = LearnedNeeds(self._receipts.memory, decls, policy, self._codes)
        #: Class → version of its kind and its code, and what was worked out from them.
        self._known: dict[str, tuple[tuple[int, str], Taught]] = {}
        #: With whom the next tick begins.
        self._turn = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="learning", daemon=True)
        self._unseen = Unseen(layout.receipts_dir)
        self._has_news = False
        #: At the last tick, of some that wait.
        self._are_untried = False
        #: Kinds with news since drift was looked for, and what was said of it.
        self._changed: set[str] = set()
        self._said: set[tuple[str, str, str]] = set()

    def __enter__(self) -> NeedsLearner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._has_news:
            self._say_drift()
            self._receipts.save()

    def teach(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """The candidates with learned needs and durations, cut to what the nodes have. Reads no file."""
        is_on = self.learned.policy.is_on
        if not is_on and all(candidate.job_class.planned is None for candidate in candidates):
            return tuple(candidates)
        if is_on and self._thread.ident is None and not self._stop.is_set():
            self._thread.start()  # who only stands by reads nothing
        with self._lock:
            taught = self._all_taught([candidate.job_class for candidate in candidates])
            self._unseen.look(snapshot, self.learned.memory.nodes)
        self._are_untried = any(t.job_class.is_untried for t in taught)
        free = Free(snapshot, self._limits) if any(t.is_more for t in taught) else None
        return tuple(
            msgspec.structs.replace(candidate, job_class=_cut(candidate.job_class, t, free))
            for candidate, t in zip(candidates, taught, strict=True)
        )

    def duration_s(self, job_class: JobClass) -> float:
        """What a job of this class is expected to take; 0 where nobody knows."""
        with self._lock:
            return self.learned.duration_s(job_class)

    def _all_taught(self, classes: Sequence[JobClass]) -> list[Taught]:
        """What is new at once; where there is news of what is known, so many as a tick has time for, each
        in turn.
        """
        until = time.monotonic() + TICK_S
        first = self._turn if self._turn < len(classes) else 0
        self._turn, found = 0, dict[int, Taught]()
        states: dict[tuple[str, str], tuple[int, str]] = {}
        for i in (*range(first, len(classes)), *range(first)):
            c = classes[i]
            state = states.get((c.kind, c.task))
            if state is None:
                state = (self.learned.memory.version(c.kind or c.task), self.learned.code_of(c.task))
                states[c.kind, c.task] = state
            known = self._known.get(c.id)
            if known is None or (known[0] != state and time.monotonic() < until):
                if len(self._known) > MOST_KNOWN:
                    self._known.clear()
                known = self._known[c.id] = (state, self._marked(self.learned.taught(c)))
            elif known[0] != state and not self._turn:
                self._turn = i
            found[i] = known[1]
        return [found[i] for i in range(len(classes))]

    def _marked(self, taught: Taught) -> Taught:
        c = taught.job_class
        if not c.needs.vram_mib or self.learned.memory.has_success(c.kind or c.task):
            return taught
        return taught._replace(job_class=msgspec.structs.replace(c, is_untried=True))

    # ── the thread ────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        written_at, is_said = time.monotonic(), False
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                is_behind = self.read() >= BEHIND
                every_s = SOON_S if self._are_untried else EVERY_S
                wait_s = 0.0 if is_behind else max(every_s, (time.monotonic() - began) / LARGEST_SHARE)
                is_said = False
            except OSError as e:
                if not is_said:
                    emit_event("receipts.not_read",
                               "Receipts cannot be read ({error}): nothing is learned until they can",
                               error=str(e))  # fmt: skip
                wait_s, is_said = EVERY_S, True
            if self._has_news and time.monotonic() - written_at >= WRITE_EVERY_S:
                self._say_drift()
                self._receipts.save()
                written_at, self._has_news = time.monotonic(), False
            self._stop.wait(wait_s)

    def _say_drift(self) -> None:
        """Once per kind, amount and code, while this conductor runs."""
        for kind in self._changed:
            rings = list(self.learned.memory.rings(kind))
            for drift in drifts(kind, rings, self.learned.code_of(rings[0].task)) if rings else ():
                if (name := (kind, drift.what, drift.code)) not in self._said:
                    self._said.add(name)
                    emit_event("needs.drifted", "{why}", kind=kind, what=drift.what, why=sentence(drift))
        self._changed.clear()

    def read(self) -> int:
        """Take in what was added to the files; how many receipts it was. Raises `OSError`."""
        with self._lock:
            self._receipts.forget()
        receipts = self._receipts.news()
        self._codes.renew()
        for at in range(0, len(receipts), AT_ONCE):
            with self._lock:  # a tick waits for it
                for receipt in receipts[at : at + AT_ONCE]:
                    self.learned.memory.learn(receipt)
                    self._changed.add((receipt.asked and receipt.asked.kind) or receipt.task)
        self._has_news |= bool(receipts)
        return len(receipts)


def _cut(declared: JobClass, taught: Taught, free: Free | None) -> JobClass:
    """With what the nodes can give at most, and a sentence for every amount that is not the declared one."""
    c = taught.job_class
    if free is not None and taught.is_more:
        c = msgspec.structs.replace(c, needs=within(declared, c.needs, free))
    if c.needs == declared.needs:
        return c
    is_less = any(getattr(c.needs, row.name) < getattr(declared.needs, row.name) for row in LEARNED)
    why = "all that others leave there" if declared.planned is not None and is_less else "as receipts teach"
    words = (f"{change}, {why}: `conductor needs {c.task}`" for change in instead(declared.needs, c.needs))
    return msgspec.structs.replace(c, learned=tuple(words))


class Unseen:
    """Says once of each node that its jobs end and none of its receipts comes into the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Job → node.
        self._going: dict[str, str] = {}
        self._ended_at: dict[str, float] = {}
        self._said: set[str] = set()

    def look(self, snapshot: Snapshot, seen: set[str]) -> None:
        held = snapshot.reservations
        going = dict(zip(map(_JOB_ID, held), map(_NODE, held), strict=True))
        for _, node in self._going.items() - going.items():
            self._ended_at.setdefault(node, snapshot.now)
        self._going = going
        for node, at in self._ended_at.items():
            if node not in seen and node not in self._said and snapshot.now - at > UNSEEN_S:
                self._said.add(node)
                words = (
                    "No receipt of node {node} comes into {file}: what its jobs take is not learned; "
                    "share the folder"
                )
                emit_event("receipts.unseen", words, node=node, file=str(self._folder))
