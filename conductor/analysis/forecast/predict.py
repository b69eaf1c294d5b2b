"""Works out when all will be done, from the ledger and the receipts as they are now. It only reads."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from redis import Redis

from conductor.adapters.open_ledger import redis_ledger
from conductor.adapters.redis.scans.pending import Pending, read_pending
from conductor.adapters.redis.scripts import Scripts
from conductor.analysis.forecast.between_jobs import gap_s
from conductor.analysis.forecast.live_world import Known, by_area, played
from conductor.base.redis_keys import Keys
from conductor.base.settings.limits import limits_of, live
from conductor.base.settings.settings import Settings
from conductor.core.capacity.cluster import Free
from conductor.core.capacity.counters import answered
from conductor.core.needs.caps import within
from conductor.core.needs.declared_pace import pace, with_declared
from conductor.core.needs.estimates import LearnedEstimate, LearnedNeeds
from conductor.core.needs.running_usage import asking, holdings
from conductor.core.needs.samples import usual
from conductor.dispatch.catalogue import catalogue_of
from conductor.model.forecast import PredictionReply
from conductor.model.snapshot import (
    Candidate,
    JobClass,
    Lookahead,
    RateState,
    Reservation,
    Snapshot,
)
from conductor.ports import Ledger
from conductor.tick.breakers import canaries_of
from conductor.tick.learned_needs import Codes, policy_of
from conductor.tick.observe import observe
from conductor.tick.receipt_samples import Receipts, cache_of

#: More jobs than this are not played through: the work that each resource has to carry is added up.
MOST = 50_000
#: A duration goes by so many of the last receipts.
LAST = 20


class NoBudgets:
    """Whoever reads a budget's state consumes what workers told: that is for the leader alone."""

    def states(self, now: float, active: Sequence[Reservation]) -> tuple[RateState, ...]:
        return ()


class Predictor:
    """Keeps what it read of the receipts from one question to the next."""

    def __init__(self, settings: Settings, client: Redis, backlogs: Sequence[str]) -> None:
        self._settings = settings
        self._scripts = Scripts(client, Keys(settings.redis.prefix))
        self._backlogs = tuple(backlogs)
        self.ledger: Ledger = redis_ledger(client, keys=self._scripts.keys)
        self.limits = limits_of(settings)
        decls = catalogue_of(settings.for_code)
        self._canary = canaries_of(settings.canary, decls)
        self._receipts = Receipts(settings.receipts_dir, cache_of(settings.state_dir))
        self._codes = Codes(decls)
        self._learned = LearnedNeeds(self._receipts.memory, decls, policy_of(settings.learning), self._codes)

    def observed(self) -> tuple[Snapshot, tuple[Candidate, ...]]:
        """As the leader sees it, with its memory of who was passed over."""
        look = Lookahead(backlogs=self._backlogs)
        snapshot, candidates = observe(self.ledger, NoBudgets(), look)  # pyright: ignore[reportArgumentType]
        gates = self.ledger.gate_record.gates()
        counters = {name: reading for name, reading in gates.counters.items() if "/" not in name}
        return msgspec.structs.replace(
            snapshot, passed_over=gates.passed_over, used=gates.used, counters=counters
        ), candidates

    def answer(self) -> PredictionReply:
        began = time.monotonic()
        counts = self.counts()
        known = sum(counts.values())
        snapshot, candidates = self.observed()
        past = self.known(snapshot)
        pending = self.pending()
        counters = answered(self.limits.counters, snapshot.counters, snapshot.nodes)
        limits = msgspec.structs.replace(self.limits, counters=counters)
        if pending is None:
            found = by_area(snapshot, limits, candidates, counts.get("waiting", 0), past)
        else:
            found = played(snapshot, live(limits, len(snapshot.nodes)), pending, past, self._settings.rates)
        return PredictionReply(prediction=found, known=known, wall_s=time.monotonic() - began)

    def pending(self) -> list[Pending] | None:
        """None: more than are played through."""
        return read_pending(self._scripts, self._backlogs, MOST)

    def unknown_backlogs(self) -> list[str]:
        """Of those that were asked for."""
        there = self.ledger.tallies.backlogs()
        return [name for name in self._backlogs if name not in there]

    def recorded_lost_s(self) -> dict[str, float]:
        """Gate → seconds, of the backlogs together, by the gate ledger."""
        gates = self.ledger.gate_record.gates()
        total: dict[str, float] = {}
        for name in self._backlogs or gates.lost_s:
            for gate, seconds in gates.lost_s.get(name, {}).items():
                total[gate] = total.get(gate, 0.0) + seconds
        return total

    def counts(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for name in self._backlogs or self.ledger.tallies.backlogs():
            for state, count in self.ledger.tallies.counts(name).items():
                total[state] = total.get(state, 0) + count
        return total

    def known(self, snapshot: Snapshot) -> Known:
        """What receipts teach, up to this moment, and what is seen of those that run."""
        self._receipts.forget()
        while receipts := self._receipts.news():
            for receipt in receipts:
                self._learned.memory.learn(receipt)
        self._codes.renew()
        free = Free(snapshot, self.limits)
        held = holdings(snapshot, {r.kind or r.task for r in snapshot.reservations})
        memory = self._learned.memory
        pace_now = pace(memory)

        def teach(c: JobClass) -> JobClass:
            taught = self._learned.taught(c)
            seen = sum(len(ring.samples) for ring in memory.rings(c.kind or c.task))
            duration_s = with_declared(lately(self._learned.duration(c)), c.duration_s, seen, pace_now)
            needs = within(c, taught.job_class.needs, free) if taught.is_more else taught.job_class.needs
            return asking(
                msgspec.structs.replace(taught.job_class, needs=needs, duration_s=duration_s), held, free
            )

        return Known(teach=teach, overhead_s=gap_s(self._settings.receipts_dir), canary=self._canary)


def lately(found: LearnedEstimate) -> float:
    """Seconds: the usual of the last ones. How busy a host is besides changes from night to night."""
    if found.p50 is None or len(found.samples) <= LAST:
        return found.uses
    return usual(s.seconds for s in sorted(found.samples, key=lambda s: s.at)[-LAST:])
