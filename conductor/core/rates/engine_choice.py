"""Which of its engines a job is to use, where the engine that it waits for is away. Pure.

An attempt uses one engine, and only the budget of that engine is set aside for it; no other budget is spent
without a reservation. So the choice is made while the job waits, and it is part of the job's class: a job
that waits at the gate of an engine that is away goes into the class of the first open engine of its list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from conductor.core.rates.endpoint_breaker import asks_one_first
from conductor.model.job_class import JobClass, with_engine
from conductor.model.reason import Reason
from conductor.model.snapshot import Candidate, RateState, cost_of
from conductor.model.spec import EngineNeed, Needs

#: Asked so often in vain, an engine is away: a server that is started anew moves nobody.
TIMES = 2
#: So many wait for another engine at once: the rest is there when the preferred one is back.
MOST_AHEAD = 16


class AwayReason(NamedTuple):
    reason: Reason
    #: In the server's words.
    words: str


class Move(NamedTuple):
    """One job into another class, for another one of its engines."""

    job_id: str
    job_class: JobClass
    left: str
    why: AwayReason

    @property
    def engine(self) -> str:
        return self.job_class.needs.engine

    @property
    def is_fallback(self) -> bool:
        """To one that is less preferred, not back."""
        names = [engine.name for engine in self.job_class.needs.engines]
        return names.index(self.engine) > names.index(self.left)


def away(engine: EngineNeed, rates: Mapping[str, RateState], now: float) -> AwayReason | None:
    """Why nobody has to wait for this engine; None: it is there, or will be soon."""
    for key, need in engine.rates.items():
        state = rates.get(key)
        if state is None:
            continue
        fault = state.endpoint_fault
        if fault is not None and fault.trouble != "limited":
            is_closed = (state.closed_until or 0.0) > now or (state.going > 0 and asks_one_first(fault))
            if is_closed and fault.trouble == "refuses":
                return AwayReason(Reason.ENDPOINT_REFUSES, fault.words)
            if is_closed and fault.times >= TIMES:
                return AwayReason(Reason.ENDPOINT_UNAVAILABLE, fault.words)
        left, limit = state.usd_left, state.usd_limit
        cost = cost_of(state.usd_per_token, state.usd_per_call, need.requests, need.tokens)
        if left is not None and limit is not None and (left <= 0 or left < cost):
            return AwayReason(
                Reason.MONEY_SPENT, f"{max(0.0, left):.2f} of {limit:.2f} USD are left for {key}"
            )
    return None


def is_open(engine: EngineNeed, rates: Mapping[str, RateState], now: float) -> bool:
    """Nothing that lasts is known against it: its job may wait there."""
    closed = (rates[key].closed_until or 0.0 for key in engine.rates if key in rates)
    return all(until <= now for until in closed) and away(engine, rates, now) is None


def other_engine(
    needs: Needs, rates: Mapping[str, RateState], now: float, *, is_given_up: bool = False
) -> EngineNeed | None:
    """The first engine of its list that is open and is not the present one. `is_given_up`: the present engine
    could not make the job, so only engines behind it in the list count."""
    names = [engine.name for engine in needs.engines]
    first = names.index(needs.engine) + 1 if is_given_up else 0
    others = (engine for engine in needs.engines[first:] if engine.name != needs.engine)
    return next((engine for engine in others if is_open(engine, rates, now)), None)


def moves(candidates: Sequence[Candidate], rates: Iterable[RateState], now: float) -> list[Move]:
    """Of the first of each class that waits for an engine that is away."""
    found: list[Move] = []
    if not any(candidate.job_class.needs.engines for candidate in candidates):
        return found
    known = {state.key: state for state in rates}
    ahead = {candidate.job_class.id: candidate.waiting for candidate in candidates}
    for candidate in candidates:
        needs = candidate.job_class.needs
        own = next((engine for engine in needs.engines if engine.name == needs.engine), None)
        why = None if own is None else away(own, known, now)
        if why is None or (engine := other_engine(needs, known, now)) is None:
            continue
        job_class = with_engine(candidate.job_class, engine)
        going = candidate.heads[: max(0, MOST_AHEAD - ahead.get(job_class.id, 0))]
        ahead[job_class.id] = ahead.get(job_class.id, 0) + len(going)
        found += [Move(head.job_id, job_class, needs.engine, why) for head in going]
    return found


def without(candidates: Sequence[Candidate], moved: Iterable[str]) -> tuple[Candidate, ...]:
    """What is left of the candidates when these jobs have gone into other classes."""
    gone = frozenset(moved)
    left = [
        replace(c, heads=heads, waiting=c.waiting - len(c.heads) + len(heads))
        if len(heads := tuple(head for head in c.heads if head.job_id not in gone)) < len(c.heads)
        else c
        for c in candidates
    ]
    return tuple(candidate for candidate in left if candidate.heads)
