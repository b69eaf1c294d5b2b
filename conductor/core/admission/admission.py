"""decide(snapshot, candidates, limits) → Decision: who starts where, and for every class that stays, why.

Pure: the time is inside the snapshot. Free amounts are reduced after each admission, so that the next one is
judged by what is really left. Looks at the heads of classes only: the cost follows classes and nodes, not the
backlog.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from itertools import islice
from typing import Literal

from msgspec.structs import replace

from conductor.core.admission.closings import Closings
from conductor.core.admission.competitors import Competitors
from conductor.core.admission.decision_state import DecisionState
from conductor.core.admission.file_moves import not_there
from conductor.core.admission.holds import Holds
from conductor.core.admission.jobs_ahead import HeldClass
from conductor.core.admission.make_reservation import Taken, reservation_of, takes
from conductor.core.admission.node_bounds import NodeBounds
from conductor.core.admission.offers import offers
from conductor.core.admission.rate_gate import is_rate_open
from conductor.core.admission.refusals import Reasons
from conductor.core.admission.roomless import Roomless
from conductor.core.admission.successors import MOST_LOOKED_AT, Waiter, successors
from conductor.core.admission.unmeasured_tasks import Untried
from conductor.core.capacity.request import Demand
from conductor.core.capacity.resources import fits
from conductor.core.chains.bankers_check import Safety
from conductor.core.chains.live_chain import Member
from conductor.core.failures.breaker import Permit, TickBreakers
from conductor.core.ordering.backfill import BackfillReservation, reserve_for, reserved_budget
from conductor.core.ordering.orders import Orders, blocks
from conductor.core.ordering.starvation import Starvation, short_rates
from conductor.core.ordering.turns import ClassTurn, Turns
from conductor.core.placement.placement import Place
from conductor.model.decision import Admission, Decision, Successor, Verdict
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.snapshot import Candidate, Head, JobClass, Snapshot

#: What a request lacks that others could take before it: a place with room, the budget of an API.
Lack = Literal["", "room", "rate", "counter"]

#: There is room, and it is another one's.
RESERVED = (Reason.PLACE_RESERVED, Reason.BUDGET_RESERVED)

#: A tick admits no more than so many: the rest comes with the next one, at once, and nobody waits for a long
#: tick.
MOST_ADMITTED = 256


def decide(
    snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits, state: DecisionState | None = None
) -> Decision:
    """One tick's decision. Each class ends as admitted (as many heads as fit now), or held with every gate's
    answer.

    `state`: what the snapshot's nodes, reservations and chains amount to, from a caller that was told of
    every change since (`simulate`). Without it that is worked out here, from the snapshot alone.
    """
    if state is None:
        state = DecisionState(snapshot, limits)
        state.look_at(candidates)
    else:
        state.renew(snapshot)
    deciding = Deciding(snapshot, candidates, limits, state)
    return deciding.whole(deciding.first())


class Deciding:
    """One tick's decision in two steps, so that who goes need not wait until all who stay have been told
    why.
    """

    def __init__(
        self, snapshot: Snapshot, candidates: Sequence[Candidate], limits: Limits, state: DecisionState
    ) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.state = state
        self.free = state.free
        self.placement = state.placement
        self.kinds = TickBreakers(snapshot, limits, self.free.nodes)
        candidates = self.kinds.fresh_first(candidates)
        self.untried = Untried(snapshot, candidates)
        self.bounds = NodeBounds(self.free.nodes.values(), snapshot)
        self.orders = Orders(limits.order, candidates, self.free, state.life, limits.overdue_s)
        self.turns = Turns(candidates, self.free, self.orders, limits)
        slack_s = partial(self.orders.slack_s, limits.keep_after_s)
        self.starvation = Starvation(snapshot.passed_over, snapshot.now, slack_s)
        self.candidates = candidates
        self.admissions: list[Admission] = []
        #: By class.
        self.held: dict[str, HeldClass] = {}
        self.has_more_heads = False
        self.backfill: BackfillReservation | None = None
        #: Budgets kept for one that was passed over: key → its id.
        self.reserved_rates: dict[str, str] = {}
        #: The same of counters of the whole cluster.
        self.reserved_counts: dict[str, str] = {}
        #: Requests that were refused, and what they lack: equal ones need not be tried again.
        self._refused: dict[Hashable, Lack] = {}
        self._roomless = Roomless()
        #: The last one is due, and no node could ever take it: no budget and no counter is kept for it.
        self._is_hopeless = False
        #: What the last one lacked; empty: it was refused for another reason.
        self._lack: Lack = ""
        #: What said no to a place that fits, in the last question.
        self._denied: Verdict | None = None
        self._blocked_by: Verdict | None = None
        self.competitors = Competitors(self.turns, candidates, state.demand, self.starvation.bits)
        self.safety = Safety(state.life)
        self.closings = Closings(self.free, self.kinds, self.untried, self.bounds)

    def first(self) -> Decision:
        """Who goes now, and who next where running attempts end. Nothing of those that stay."""
        controls = self.snapshot.controls
        self.is_stopped = controls.is_draining or controls.hold != ""
        # One in a tick: the others that are due take their turn, and wait for it to be served. Who can run
        # nowhere is never served, and keeps nobody waiting.
        while (turn := self.turns.next_due()) is not None:
            if self._try(turn, is_due=True) or self._is_kept_for_one:
                break
        while len(self.admissions) < MOST_ADMITTED and (turn := self.turns.next()) is not None:
            self._try(turn)
        waiting = {one.turn.job_class.kind for one in self.held.values()}
        return Decision(
            now=self.snapshot.now,
            admit=tuple(self.admissions),
            successors=self._successors() if self.limits.has_successors else (),
            review=() if self.is_stopped else self.kinds.used_up(waiting),
            used=self.turns.shares.left(self.competitors.competing),
            order=self.state.life.order(),
        )

    @property
    def _is_kept_for_one(self) -> bool:
        """After one that is due was tried: something is kept free for it."""
        return self.backfill is not None or (self._lack in ("rate", "counter") and not self._is_hopeless)

    def whole(self, first: Decision) -> Decision:
        """With all that stay, and how soon to look again."""
        holds = Holds(
            self.state,
            self.limits,
            self.turns,
            self.safety,
            self.starvation,
            self.backfill,
            self.closings.of,
            self.kinds.is_counted,
        )
        held = list(self.held.values())
        asked = self.orders, self.state.demand, self._place, self._as_successor
        is_cut_short = self.has_more_heads or len(self.admissions) >= MOST_ADMITTED
        return replace(
            first,
            hold=holds.of(held, self.candidates),
            wanted={} if self.is_stopped else holds.wanted(held),
            moves=() if self.is_stopped else tuple(holds.file_moves.moves),
            offers=() if is_cut_short or self.is_stopped else offers(self.snapshot, self.held, *asked),
            next_tick_s=0.0 if is_cut_short else holds.wait_s,
        )

    def _try(self, turn: ClassTurn, is_due: bool = False) -> bool:
        head = turn.head
        assert head is not None, "a turn has a head"
        member = self.state.life.member(head.job_id)
        demand = self.state.demand(turn.job_class, None if member is None else member.chain.node)
        self._lack, self._is_hopeless = "", False
        place = None if self.is_stopped else self._place(turn, head, demand, member)
        if place is None:
            self._hold(turn, head, demand, member, is_due)
        else:
            self._admit(turn, demand, place)
        return place is not None

    def _place(self, turn: ClassTurn, head: Head, demand: Demand, member: Member | None) -> Place | None:
        if self._is_closed_to(turn, demand, member) or not self._may_fit(demand):
            return None
        duration_s = turn.job_class.duration_s

        def lets(place: Place) -> bool:
            backfill = self.backfill
            if backfill is not None and not backfill.lets(place, demand, duration_s, self.free.now):
                self._denied = backfill.verdict()
            elif self.limits.is_safe and (unsafe := self.safety.denies(place.node, demand, member)):
                self._denied = unsafe
            elif isinstance(answer := self.kinds.ask(turn.job_class, place.node.name), Verdict):
                self._denied = answer
            elif self.untried and (untold := self.untried.denies(turn.job_class, place)):
                self._denied = untold
            elif self.bounds and (beyond := self.bounds.denies(place.node.name, turn.job_class)):
                self._denied = beyond
            else:
                return True
            return False

        place = self.placement.find(demand, lets, head.job_id)
        if place is None and self._denied is None:
            self._lack = "room"
            self._roomless.add(demand)
        elif place is not None and self.backfill is not None:
            self.backfill.took(place, demand, duration_s, self.free.now)
        return place

    def _is_closed_to(self, turn: ClassTurn, demand: Demand, member: Member | None) -> bool:
        """Is it denied whatever is free: by what blocks all, its backlog or its kind, or since files that it
        reads are not where it would run."""
        self._denied = self._blocked_by
        if self._denied is None and member is not None:
            self._denied = not_there(member, demand.node or "" if demand.is_pinned else "")
        if self._denied is None and self.closings.has_any:
            self._denied = self.closings.first_of(turn.job_class)
        return self._denied is not None

    def _may_fit(self, demand: Demand) -> bool:
        """What rules a request out before any place is looked at. False: it lacks something, or is denied."""
        if (lack := self._refused.get(demand.key)) is not None:
            self._lack = lack
            return False
        if demand.lane in self.snapshot.controls.paused_lanes:
            return False
        if demand.rates and not is_rate_open(demand, self.free):
            self._lack = "rate"
            return False
        if self.reserved_rates and (
            key := next((key for key, _ in demand.rates if key in self.reserved_rates), None)
        ):
            self._denied = reserved_budget(key, self.reserved_rates[key])
            return False
        if demand.of_cluster and not self._is_counted_in(demand):
            return False
        if self._roomless.has_none_for(demand):
            self._lack = "room"
            return False
        return True

    def _is_counted_in(self, demand: Demand) -> bool:
        """Is there enough of what is counted over the whole cluster, and is it kept for nobody else."""
        if not fits(self.free.amounts, demand.of_cluster):
            self._lack = "counter"
            return False
        if name := next((name for name, _ in demand.of_cluster if name in self.reserved_counts), None):
            self._denied = reserved_budget(name, self.reserved_counts[name])
            return False
        return True

    def _hold(self, turn: ClassTurn, head: Head, demand: Demand, member: Member | None, is_due: bool) -> None:
        denied, lack = self._denied, self._lack
        if denied is None:
            # What is free only shrinks within a tick.
            self._refused[demand.key] = lack
        if lack:
            self.starvation.lacked(demand, turn, head)
        elif denied is not None and denied.reason in RESERVED:
            self.starvation.came_after(head.job_id)
        if (
            turn.job_class.backlog not in self.competitors.competing
            and (lack or (denied is not None and denied.reason in RESERVED))
            and any(queue.is_open for queue in self.free.queues[demand.lane])
        ):
            self.competitors.competing.add(turn.job_class.backlog)
        if lack and (is_due or self._is_first_in_line(turn, head, demand)):
            self._keep_for(head, demand)
        if blocks(self.limits.order) and self._blocked_by is None:
            self._blocked_by = Verdict(
                gate="hold", passed=False, reason=Reason.NOT_ITS_TURN, holders=(head.job_id,)
            )
        is_in_vain = is_due and not self._is_kept_for_one
        held = HeldClass(
            turn, head, demand, turn.level, turn.key, member, denied, was_tried_in_vain=is_in_vain
        )
        self.held.setdefault(turn.job_class.id, held)
        life = self.state.life
        if member is not None:
            self.turns.passed_over(turn)
        elif denied is not None and demand.disk and life:
            # What it leaves would lock out the chains that were begun; one of theirs may wait behind it.
            self.turns.passed_over(turn, lambda other: life.member(other.job_id) is not None)

    def _is_first_in_line(self, turn: ClassTurn, head: Head, demand: Demand) -> bool:
        """Is a place kept for it though nobody passed it over for too long: by the order of its backlog, or
        since its backlog is behind its share."""
        if self._lack == "room" and self.backfill is not None:
            return False  # One place is kept at a time.
        is_first = self._lack == "room" and self.orders.is_overdue(turn.job_class, head)
        return is_first or self.competitors.owe(turn, demand)

    def _keep_for(self, head: Head, demand: Demand) -> None:
        """A place, or what is left of the budgets or counters that it lacks; nothing where no node could ever
        take it."""
        if self._lack == "room" and self.backfill is not None:
            return
        state = self.state
        reasons = Reasons(self.free, state.kinds, state.never, state.questions)
        self._is_hopeless = reasons.is_infeasible(demand)
        if self._is_hopeless:
            return
        if self._lack == "room":
            self.backfill = reserve_for(head.job_id, demand, self.free)
        elif self._lack == "counter":
            self.reserved_counts = {name: head.job_id for name, _ in demand.of_cluster}
        else:
            self.reserved_rates = dict.fromkeys(short_rates(demand, self.free), head.job_id)

    def _admit(self, turn: ClassTurn, demand: Demand, place: Place) -> None:
        head = turn.head
        assert head is not None, "a turn has a head"
        permit = self.kinds.ask(turn.job_class, place.node.name)
        assert isinstance(permit, Permit), "its kind was asked before it was placed"
        pools = takes(demand, place, self.free.amounts)
        admission = self._admission(turn.job_class, head, demand, place, permit, pools)
        reservation = admission.reservation
        self.kinds.took(reservation)
        self.untried.took(reservation)
        self.bounds.took(reservation)
        self.admissions.append(admission)
        self.free.add(reservation)
        self.starvation.admitted(demand, turn, head)
        for _, pool, amount in pools:
            pool.take(amount)
        for key, need in demand.rates:
            if key in self.free.rates:
                self.free.rates[key].take(need.requests, need.tokens)
        place.queue.queued += 1
        place.queue.active += 1
        self.placement.took(place)
        self.state.life.began(head.job_id, place.node.name)
        self.competitors.started(turn.job_class.backlog)
        self.turns.admitted(turn, admission)
        if turn.admitted == len(turn.candidate.heads) < turn.candidate.waiting:
            self.has_more_heads = True

    def _admission(
        self,
        job_class: JobClass,
        head: Head,
        demand: Demand,
        place: Place,
        permit: Permit,
        pools: Sequence[Taken],
    ) -> Admission:
        return Admission(
            reservation=reservation_of(
                job_class, head, demand, place, self.snapshot.now, permit, self.limits
            ),
            backlog=job_class.backlog,
            ceilings={key: pool.ceiling for key, pool, _ in pools},
            rates={key: (need.requests, need.tokens) for key, need in demand.rates},
        )

    def _successors(self) -> tuple[Successor, ...]:
        """None in a tick that was cut short: a job that the tick did not reach may come before those that it
        held."""
        if self.is_stopped or len(self.admissions) >= MOST_ADMITTED or self.has_more_heads:
            return ()
        paused, life = self.snapshot.controls.paused_lanes, self.state.life
        waiters = (
            # Budgets are set aside before a hand-over, and what a chain may do is asked of the chains of that
            # moment.
            Waiter(
                one.turn.job_class,
                one.head,
                one.demand,
                not (one.demand.rates or one.member or (one.demand.disk and life)),
            )
            for one in self.held.values()
            if one.denied is None
            and one.demand.lane not in paused
            and (not one.demand.rates or is_rate_open(one.demand, self.free))
        )
        return successors(self.free, list(islice(waiters, MOST_LOOKED_AT)), self._as_successor)

    def _as_successor(self, waiter: Waiter, place: Place) -> Admission | None:
        """Canaries, tries and kinds of which nothing is known are counted by ticks; where a place is kept for
        somebody else, ticks say who may pass."""
        permit, kept = self.kinds.ask(waiter.job_class, place.node.name), self.backfill
        if isinstance(permit, Verdict) or permit.role:
            return None
        if kept is not None and kept.node is place.node and kept.job_id != waiter.head.job_id:
            return None
        if self.untried and self.untried.has(waiter.job_class):
            return None
        if self.bounds and self.bounds.denies(place.node.name, waiter.job_class):
            return None
        pools = takes(waiter.demand, place, self.free.amounts)
        return self._admission(waiter.job_class, waiter.head, waiter.demand, place, permit, pools)
