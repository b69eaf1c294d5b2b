"""decide(snapshot, candidates, limits) → Decision: who starts where, and for every class that stays, why.

Pure: the time is inside the snapshot. Free amounts are reduced after each admission, so that the next one is judged
by what is really left. Looks at the heads of classes only: the cost follows classes and nodes, not the backlog.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from conductor.core.ask import Ask
from conductor.core.charges import cpu_key, disk_key, ram_key, vram_key
from conductor.core.free import Free, Pool
from conductor.core.gates import is_rate_open
from conductor.core.ordering import Turn, Turns
from conductor.core.placement import Place, Placement
from conductor.core.reasons import Reasons
from conductor.model.decision import Admission, Decision, Hold
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Reservation, Snapshot

#: Workers that will still be idle once their queue is taken: look again so soon, instead of deepening the queue.
RAMP_S = 0.05


def decide(snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> Decision:
    """One tick's decision. Each class ends as admitted (as many heads as fit now), or held with every gate's answer."""
    return _Tick(snapshot, candidates, limits).decision()


class _Tick:
    def __init__(self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.free = Free(snapshot, limits)
        self.placement = Placement(self.free)
        self.turns = Turns(candidates, snapshot.reservations)
        self.admissions: list[Admission] = []
        self.held: list[tuple[Turn, Ask]] = []
        self.has_more_heads = False
        self._refused: set[Hashable] = set()

    def decision(self) -> Decision:
        controls = self.snapshot.controls
        is_stopped = controls.is_draining or controls.hold != ""
        while (turn := self.turns.next()) is not None:
            ask = Ask(turn.job_class)
            place = None if is_stopped or ask.key in self._refused else self._place(ask)
            if place is None:
                # What is free only shrinks within a tick: an equal request need not be tried again.
                self._refused.add(ask.key)
                self.held.append((turn, ask))
            else:
                self._admit(turn, ask, place)
        holds = self._holds()
        return Decision(
            now=self.snapshot.now, admit=tuple(self.admissions), hold=holds, next_tick_s=self._next_tick_s(holds)
        )

    def _place(self, ask: Ask) -> Place | None:
        if ask.lane in self.snapshot.controls.paused_lanes or not is_rate_open(ask, self.free):
            return None
        return self.placement.find(ask)

    def _admit(self, turn: Turn, ask: Ask, place: Place) -> None:
        head = turn.head
        assert head is not None, "a turn has a head"
        reservation = _reservation(turn, ask, place, self.snapshot.now)
        self.admissions.append(
            Admission(
                reservation=reservation,
                backlog=turn.job_class.backlog,
                ceilings={key: pool.ceiling for key, pool, _ in _pools(ask, place)},
                rates={key: (need.requests, need.tokens) for key, need in ask.rates},
            )
        )
        self.free.add(reservation)
        for _, pool, amount in _pools(ask, place):
            pool.take(amount)
        for key, need in ask.rates:
            if key in self.free.rates:
                self.free.rates[key].take(need.requests, need.tokens)
        place.queue.queued += 1
        place.queue.active += 1
        self.placement.took(place)
        self.turns.admitted(turn)
        if turn.head is None and turn.candidate.waiting > turn.admitted:
            self.has_more_heads = True

    def _holds(self) -> tuple[Hold, ...]:
        reasons = Reasons(self.free)
        return tuple(
            Hold(
                class_id=turn.job_class.id,
                backlog=turn.job_class.backlog,
                task=turn.job_class.task,
                lane=turn.job_class.lane,
                waiting=turn.candidate.waiting - turn.admitted,
                verdicts=reasons.verdicts(ask),
                is_infeasible=reasons.is_infeasible(ask),
                since=self.snapshot.now,
            )
            for turn, ask in self.held
        )

    def _next_tick_s(self, holds: Sequence[Hold]) -> float:
        if self.has_more_heads:
            return 0.0
        wait = self.limits.tick_s
        for hold, (_, ask) in zip(holds, self.held, strict=True):
            closed = hold.closed
            if all(v.gate == "lane" for v in closed) and any(q.has_idle_worker for q in self.free.queues[ask.lane]):
                wait = min(wait, RAMP_S)
            for verdict in closed:
                if verdict.gate == "rate" and verdict.reopens_at is not None:
                    wait = min(wait, max(0.0, verdict.reopens_at - self.snapshot.now))
        return wait


def _pools(ask: Ask, place: Place) -> list[tuple[str, Pool, int]]:
    """(charge key, pool, amount) of everything that one attempt takes there."""
    node, name = place.node, place.node.name
    pools = [(vram_key(name, device.key), device.vram, ask.vram_mib) for device in place.devices]
    if ask.ram_mib and node.ram is not None:
        pools.append((ram_key(name), node.ram, ask.ram_mib))
    if ask.cpu_milli:
        pools.append((cpu_key(name), node.cpu, ask.cpu_milli))
    for root, size in ask.disk:
        pool = node.disks[root].pool
        if size and pool is not None:
            pools.append((disk_key(name, root), pool, size))
    return pools


def _reservation(turn: Turn, ask: Ask, place: Place, now: float) -> Reservation:
    head, job_class = turn.head, turn.job_class
    assert head is not None, "a turn has a head"
    return Reservation(
        job_id=head.job_id,
        attempt=head.attempts + 1,
        class_id=job_class.id,
        task=job_class.task,
        node=place.node.name,
        queue=place.queue.name,
        lane=job_class.lane,
        devices=tuple(device.key for device in place.devices),
        vram_mib=ask.vram_mib if place.devices else 0,
        ram_mib=ask.ram_mib,
        cpu=job_class.needs.cpu,
        disk=dict(ask.disk),
        admitted_at=now,
        expected_s=job_class.duration_s,
    )
