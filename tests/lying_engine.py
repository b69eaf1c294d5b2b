"""An engine that misbehaves by seed: what each of them was seen to do, or is known for (docs/engines.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from random import Random

from msgspec.structs import replace

from conductor.base.errors import Unreachable
from conductor.model.engine import EngineCapacity, EngineChanges, EngineJob, Submission, SubmitAnswer
from conductor.ports.engine import Engine

#: Each by itself, so that a fault of ours is told by the lie that it falls for.
LIES = (
    "hangs_after_it_took",
    "hangs_before_it_took",
    "empty_lists",
    "stale_lists",
    "ids_used_again",
    "cancel_lost",
    "capacity_lies",
    "clock_skew",
    "refuses",
    "away",
)


class LyingEngine:
    """Between an engine and who asks it. `lie`: one of `LIES`, or "" for an honest one. It never says of what
    has not ended that it has, and never takes an end back: so does no engine that could be worked with."""

    def __init__(self, inner: Engine, lie: str, random: Random, *, share: float = 0.4) -> None:
        self._inner = inner
        self._lie = lie
        self._random = random
        self._share = share
        self._before: dict[str, EngineJob] = {}
        #: Key → how often it was submitted: asked of us.
        self.submitted: Counter[str] = Counter()
        #: It has come to its senses: the end of a round.
        self.is_honest = False

    def _lies(self, lie: str) -> bool:
        return self._lie == lie and not self.is_honest and self._random.random() < self._share

    def _answer(self) -> None:
        if self._lies("away"):
            raise Unreachable("the controller does not answer")

    def submit(self, key: str, submission: Submission) -> SubmitAnswer:
        self.submitted[key] += 1
        if self._lies("away") or self._lies("hangs_before_it_took"):
            return SubmitAnswer(outcome="unknown", words="no answer within 5 s")
        if self._lies("refuses"):
            return SubmitAnswer(outcome="refused", words="no such account")
        answer = self._inner.submit(key, submission)
        if self._lies("hangs_after_it_took"):
            return SubmitAnswer(outcome="unknown", words="no answer within 5 s")
        return replace(answer, id="1") if self._lie == "ids_used_again" else answer

    def find(self, keys: Collection[str]) -> dict[str, EngineJob]:
        self._answer()
        if self._lies("empty_lists"):
            return {}
        if self._lies("stale_lists"):
            return {key: job for key, job in self._before.items() if key in keys}
        found = self._inner.find(keys)
        self._before |= found
        return {key: self._told(job) for key, job in found.items()}

    def watch(self, cursor: str = "") -> EngineChanges:
        self._answer()
        changes = self._inner.watch(cursor)
        return replace(changes, jobs={} if self._lies("empty_lists") else changes.jobs)

    def cancel(self, key: str) -> bool:
        self._answer()
        return True if self._lies("cancel_lost") else self._inner.cancel(key)

    def capacity(self) -> EngineCapacity:
        self._answer()
        if self._lies("capacity_lies"):
            return EngineCapacity(cpus=10**6, free_cpus=10**6, pending=0)
        return self._inner.capacity()

    def feasible(self, submission: Submission) -> str:
        return self._inner.feasible(submission)

    def _told(self, job: EngineJob) -> EngineJob:
        if self._lie == "ids_used_again":
            return replace(job, id="1")
        if self._lie == "clock_skew":
            days = self._random.choice((-3, 5)) * 86_400.0
            moved = {name: at + days for name in ("started_at", "ends_at", "expected_at")
                     if (at := getattr(job, name)) is not None}  # fmt: skip
            return replace(job, **moved)
        return job


class KilledHere(BaseException):
    """The process is gone at this instruction."""


class KilledAt:
    """Counts the calls of a process to the world, and ends it before the one with that number, or right after
    it was carried out and before it is known."""

    def __init__(self, number: int | None, *, is_after: bool) -> None:
        self._left = number
        self._is_after = is_after

    def call(self, do: Callable[[], object]) -> object:
        if self._left is None:
            return do()
        self._left -= 1
        if self._left == 0:
            if self._is_after:
                do()
            raise KilledHere
        return do()


class Mortal:
    """An object of which each call may be the process's last one."""

    def __init__(self, inner: object, death: KilledAt) -> None:
        self._inner, self._death = inner, death

    def __getattr__(self, name: str) -> object:
        method = getattr(self._inner, name)
        return lambda *args, **kwargs: self._death.call(lambda: method(*args, **kwargs))
