"""What a tick says of the classes that stay: every gate's answer about the first job of each, who goes
before it, what is kept for it, and how soon to look again. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from conductor.core.admission.contenders import contenders
from conductor.core.admission.decision_state import DecisionState
from conductor.core.admission.file_moves import FileMoves
from conductor.core.admission.jobs_ahead import Fronts, HeldClass, closer_of, of_next_tick
from conductor.core.admission.refusals import GateAnswers, Reasons, could_ever
from conductor.core.chains.bankers_check import Safety
from conductor.core.chains.live_chain import Member
from conductor.core.ordering.backfill import BackfillReservation
from conductor.core.ordering.starvation import Bound, Starvation, bounds, longest_s
from conductor.core.ordering.turns import Ages, Turns
from conductor.model.decision import Front, Hold, Verdict
from conductor.model.limits import Limits
from conductor.model.reason import OF_KINDS, Reason
from conductor.model.snapshot import Candidate, JobClass
from conductor.model.spec import Lane

#: Workers that will still be idle once their queue is taken: look again so soon, instead of deepening the
#: queue.
RAMP_S = 0.05


class Holds:
    """Ask it after the last admission of the tick."""

    def __init__(
        self,
        state: DecisionState,
        limits: Limits,
        turns: Turns,
        safety: Safety,
        starvation: Starvation,
        kept: BackfillReservation | None,
        closings: Callable[[JobClass], Sequence[Verdict]],
        is_counted: Callable[[JobClass], bool],
    ) -> None:
        self.state = state
        self.free = state.free
        self.limits = limits
        self.now = state.free.now
        self.turns = turns
        self.safety = safety
        self.kept = kept
        self.closings = closings
        #: May only so many of its kind start.
        self.is_counted = is_counted
        self.starvation = starvation
        self.passed_over = starvation.since()
        #: How soon to look again.
        self.wait_s = limits.tick_s
        self._reasons = Reasons(self.free, state.kinds, state.never, state.questions)
        self.file_moves = FileMoves(state)
        self._denials: dict[tuple[int, int], GateAnswers] = {}
        self._idle: dict[Lane, bool] = {}
        #: Class → all that closes it, whatever is free; and with it what closes some places to it.
        self._closed: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def of(self, held: Sequence[HeldClass], candidates: Sequence[Candidate]) -> tuple[Hold, ...]:
        """In the order of this tick's turns."""
        waiting = [self._with_closings(one) for one in held if one.waiting > 0]
        staying = self._at_next_levels(waiting, candidates)
        never = {one.head.job_id: self._never(one.member) for one in staying if one.member is not None}
        hopeless = {one.head.job_id for one in staying if self._reasons.is_infeasible(one.demand)}
        hopeless.update([job_id for job_id, verdict in never.items() if verdict is not None])
        if self.state.explains:
            self.file_moves.look(staying)
        # What cannot go on where its files lie can where they go.
        hopeless -= {one.head.job_id for one in staying if self._is_moving(one)}
        fronts, bound_of = self._fronts(staying, hopeless), self._bounds(candidates)
        return tuple(
            [
                self._hold(one, never.get(job_id), hopeless, fronts[job_id], bound_of.get(job_id), staying)
                for one in staying
                for job_id in (one.head.job_id,)
            ]
        )

    def _hold(
        self,
        one: HeldClass,
        never: Verdict | None,
        hopeless: Set[str],
        front: Front | None,
        bound: Bound | None,
        others: Sequence[HeldClass],
    ) -> Hold:
        job_class, head, demand = one.turn.job_class, one.head, one.demand
        moved = None if one.member is None else self.file_moves.said.get(one.member.chain.id)
        verdicts = self._verdicts(one, never or one.denied, self._also(one), moved)
        is_crowded = self.state.explains and self._reasons.is_crowded_out(demand)
        return Hold(
            class_id=job_class.id,
            backlog=job_class.backlog,
            task=job_class.task,
            lane=job_class.lane,
            waiting=one.waiting,
            verdicts=verdicts,
            is_infeasible=head.job_id in hopeless,
            crowded_since=self.now if is_crowded else None,
            learned=job_class.learned,
            since=self.now,
            head=head.job_id,
            front=front,
            contenders=self._contenders(one, verdicts, others, hopeless) if front is None else None,
            first_from=self.turns.first_from(job_class, head),
            passed_over_since=self.passed_over.get(head.job_id),
            reserved_from=bound.reserved_from if bound else None,
            reserved_at=self.kept.where if self.kept and self.kept.job_id == head.job_id else "",
            starts_by=bound.starts_by if bound else None,
        )

    def _at_next_levels(
        self, staying: Sequence[HeldClass], candidates: Sequence[Candidate]
    ) -> Sequence[HeldClass]:
        """Levels count the priorities that wait: where the last of one was admitted, others stand closer in
        the next tick."""
        waiting = {one.turn.job_class.priority for one in staying}
        if len(waiting) == len({c.job_class.priority for c in candidates}):
            return staying
        ages = Ages([one.turn.candidate for one in staying], self.now, self.limits.aging_s)
        return [one._replace(level=ages.level(one.turn.job_class.priority, one.head)) for one in staying]

    # ── who goes before it ────────────────────────────────────────────────────────────────────────────────

    def _fronts(self, staying: Sequence[HeldClass], hopeless: Set[str]) -> dict[str, Front | None]:
        """Job → the job that goes before it in the next tick, which is the first moment at which it may
        start. A job that can never run is before nobody."""
        fronts, found = Fronts(), dict[str, Front | None]()
        for one in of_next_tick(staying, self.turns, self.passed_over, self.limits.keep_after_s, self.now):
            job_id, bits = one.head.job_id, self.starvation.bits(one.demand)
            found[job_id] = fronts.before(bits, one.level, one.opens)
            if job_id not in hopeless:
                fronts.add(bits, one.level, job_id, one.waiting, one.closed)
        return found

    def _with_closings(self, one: HeldClass) -> HeldClass:
        job_class = one.turn.job_class
        known = self._closed.get(job_class.id)
        if known is None:
            said = [(closer_of(v, job_class), v) for v in self.closings(job_class)]
            paused = {job_class.lane} & {*self.free.snapshot.controls.paused_lanes}
            opens = {name for name, _ in said if name} | paused
            closed = {name for name, v in said if name and not (v.reason in OF_KINDS and v.where)} | paused
            known = self._closed[job_class.id] = (frozenset(closed), frozenset(opens))
        return one._replace(closed=known[0], opens=known[1]) if known[0] or known[1] else one

    def _contenders(
        self, one: HeldClass, verdicts: Sequence[Verdict], others: Sequence[HeldClass], hopeless: Set[str]
    ) -> Front | None:
        """Who has its promise goes before all others, whatever ends. Few are asked: those that nobody goes
        before."""
        since, keep_after_s = self.passed_over.get(one.head.job_id), self.limits.keep_after_s
        if since is not None and keep_after_s is not None and self.now - since >= keep_after_s:
            return None
        over = self.free.reservations.of({job_id for v in verdicts if not v.passed for job_id in v.holders})
        return contenders(one, others, over, self.turns, self._bits, hopeless)

    def _bits(self, one: HeldClass) -> int:
        """The kinds of resources that the job takes a part of. Where few jobs of its kind may start, a start
        of the kind is one of them."""
        bits, job_class = self.starvation.bits(one.demand), one.turn.job_class
        return bits | self.starvation.bit_of_kind(job_class.kind) if self.is_counted(job_class) else bits

    def _bounds(self, candidates: Sequence[Candidate]) -> dict[str, Bound]:
        if not self.passed_over or self.limits.keep_after_s is None:
            return {}
        longest = longest_s(candidates, self.free)
        return bounds(self.passed_over, self.kept, self.limits.keep_after_s, longest, self.now)

    # ── what its gates say ────────────────────────────────────────────────────────────────────────────────

    def _never(self, member: Member) -> Verdict | None:
        return self.safety.never(self.free.nodes.values(), member) if self.limits.is_safe else None

    def _is_moving(self, one: HeldClass) -> bool:
        if one.member is None:
            return False
        said = self.file_moves.said.get(one.member.chain.id)
        return bool(one.member.chain.movers) or (said is not None and said.reason is Reason.FILES_TO_GO)

    def _also(self, one: HeldClass) -> Verdict | None:
        """What begun chains say to it on nodes that lack room besides."""
        if not (one.demand.disk or one.member) or not self.limits.is_safe or not self.state.explains:
            return None
        if one.denied is not None and one.denied.gate == "scratch":
            return None
        home = None if one.member is None else one.member.chain.node
        able = [
            n for n in self.free.nodes.values() if home in (None, n.name) and n.queues.get(one.demand.lane)
        ]
        # Where none is large enough: what its nodes lack besides, for that is what a larger one would meet.
        nodes = [n for n in able if could_ever(n, one.demand)] or able
        return self.safety.also_denies(nodes, one.demand, one.member)

    def _verdicts(self, one: HeldClass, *said: Verdict | None) -> tuple[Verdict, ...]:
        if not self.state.explains:
            return ()
        answer = self._reasons.answer(one.demand)
        told = [verdict for verdict in said if verdict is not None]
        if closings := self.closings(one.turn.job_class):
            known_of = {(v.reason, _place_of(v)) for v in told}
            told += [v for v in closings if (v.reason, _place_of(v)) not in known_of]
        for verdict in told:
            # One keeps many back: they share its word, and all that comes with it.
            known = self._denials.get((id(answer), id(verdict)))
            if known is None:
                known = self._denials[id(answer), id(verdict)] = answer.but(verdict)
            answer = known
        self._look_again(one.turn.job_class.lane, answer)
        return answer.verdicts

    # ── what comes next ───────────────────────────────────────────────────────────────────────────────────

    def wanted(self, held: Sequence[HeldClass]) -> dict[str, int]:
        """Room that will be wanted on the disks; asked only where somebody reads it."""
        if not self.state.life or not self.state.explains:
            return {}
        upcoming = (
            one.member for one in held if not self._with_closings(one).closed and _is_of_new_chain(one)
        )
        able = (node for node in self.free.nodes.values() if node.is_open)
        return self.safety.wanted(able, next(upcoming, None))

    def _look_again(self, lane: Lane, answer: GateAnswers) -> None:
        """How soon, by what is closed to one class; classes that share an answer are of one lane."""
        if answer.is_looked_at:
            return
        answer.is_looked_at = True
        if not answer.closed - {"lane"} and self._has_idle_worker(lane):
            self.wait_s = min(self.wait_s, RAMP_S)
        for at in answer.reopens_at:
            self.wait_s = min(self.wait_s, max(0.0, at - self.now))

    def _has_idle_worker(self, lane: Lane) -> bool:
        known = self._idle.get(lane)
        if known is None:
            known = self._idle[lane] = any(queue.has_idle_worker for queue in self.free.queues[lane])
        return known


def _place_of(verdict: Verdict) -> str:
    """What holds a kind back is said once, wherever it is."""
    return "" if verdict.reason in OF_KINDS else verdict.where


def _is_of_new_chain(one: HeldClass) -> bool:
    return one.member is not None and one.member.chain.node is None
