"""Several orders played to the end on what is free, with the estimated durations: the best mean wins, as long
as nobody waits longer than the oldest-first order would make somebody wait (or than somebody has waited
before).

So shortest-first is followed where it harms nobody, and given up job by job where it would. Nothing is tuned
to a workload: the limit is the wait that the plain order itself would bring, from this very moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from conductor.core.ordering.trial_play import NEVER, WITHOUT_END, Outcome, TrialJob, TrialStage

#: So much waiting is played through; more would cost too much of a tick.
MOST_ITEMS = 192
MOST_NODES = 8
#: Seconds of duration that one second of waiting makes up for: orders between shortest and oldest.
AGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
#: One of so many of the oldest gets a place kept free.
KEPT = 8
#: Waits are as long as each other up to this.
AS_LONG_S = 1e-6

#: Numbers of jobs, the first to be tried in front.
Numbers = tuple[int, ...]


class Plan(NamedTuple):
    """The jobs in the order to try them, and the one that gets a place kept free if it does not fit."""

    order: tuple[TrialJob, ...]
    reserved: TrialJob | None = None


def best(stage: TrialStage, longest_s: float) -> Plan:
    """The order to follow from that moment on. `longest_s`: the longest that anybody has waited so far."""
    return _Rehearsal(stage).best(longest_s)


class _Rehearsal:
    def __init__(self, stage: TrialStage) -> None:
        self._stage, jobs = stage, stage.jobs
        self._oldest: Numbers = tuple(stage.oldest)
        self._shortest: Numbers = tuple(
            sorted(range(len(jobs)), key=lambda i: (jobs[i].duration_s, jobs[i].since, jobs[i].id))
        )

    def best(self, longest_s: float) -> Plan:
        """Of two orders with the same mean the one that is tried first: oldest, shortest, then the others.

        Nothing has a better mean than the shortest first. Where it lets nobody wait longer than somebody has
        waited, the oldest first is played only until it is certain that its mean is worse.
        """
        within = longest_s + AS_LONG_S
        if (shortest := self._play(self._shortest, longest=within)) is not None:
            plain = self._play(self._oldest, total=shortest.total)
            is_plain = plain is not None and plain.total <= shortest.total
            return self._plan(self._oldest if is_plain else self._shortest)
        plain = self._play(self._oldest) or WITHOUT_END
        within = max(plain.longest, longest_s) + AS_LONG_S
        chosen, chosen_total = self._plan(self._oldest), plain.total
        for order, keeps_first in self._orders():
            is_shortest = order == self._shortest
            total = NEVER if is_shortest else chosen_total
            found = self._play(order, keeps_first, longest=within, total=total)
            if found is not None and found.total < chosen_total:
                chosen, chosen_total = self._plan(order, keeps_first), found.total
            if found is not None and is_shortest:
                break
        return chosen

    def _play(
        self, order: Numbers, keeps_first: bool = False, longest: float = NEVER, total: float = NEVER
    ) -> Outcome | None:
        found = self._stage.play(order, keeps_first, Outcome(total, longest))
        return found if found is not None and found.longest <= longest else None

    def _plan(self, order: Numbers, keeps_first: bool = False) -> Plan:
        jobs = self._stage.jobs
        return Plan(tuple([jobs[i] for i in order]), jobs[order[0]] if keeps_first else None)

    def _orders(self) -> Iterator[tuple[Numbers, bool]]:
        """Each once, and whether a place is kept for its first job: many are the same where few wait."""
        return iter(dict.fromkeys(self._all_orders()))

    def _all_orders(self) -> Iterator[tuple[Numbers, bool]]:
        jobs, now = self._stage.jobs, self._stage.now
        yield self._shortest, False
        for age in AGES:
            order = tuple(
                sorted(self._shortest, key=lambda i: jobs[i].duration_s - age * (now - jobs[i].since))
            )
            yield order, False
            yield _first(self._oldest[0], order), True
        for job in self._oldest[:KEPT]:
            yield _first(job, self._shortest), True


def _first(job: int, order: Numbers) -> Numbers:
    return (job, *[other for other in order if other != job])
