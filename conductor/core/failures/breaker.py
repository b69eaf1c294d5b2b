"""What a kind may start now: its first few before the rest, and nothing while it is closed, but for a try.
Pure.

A kind is a task with those of its arguments that matter; all is counted apart for each version of its code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from conductor.core.capacity.node import NodeFree
from conductor.model.decision import Verdict
from conductor.model.limits import BreakerRule, Limits
from conductor.model.reason import NO_DETAIL, Detail, Reason
from conductor.model.snapshot import Candidate, JobClass, KindState, Reservation, Role, Snapshot


class Permit(NamedTuple):
    """It may start, as what, and with which code."""

    role: Role
    code: str


class TickBreakers:
    """For one tick; told of every admission."""

    def __init__(self, snapshot: Snapshot, limits: Limits, nodes: Mapping[str, NodeFree]) -> None:
        self._snapshot = snapshot
        #: By name: which code they have is read from their reports.
        self._nodes = nodes
        self._limits = limits
        self._states: dict[str, list[KindState]] = {}
        for state in snapshot.kinds:
            self._states.setdefault(state.kind, []).append(state)
        self._going: dict[str, list[Reservation]] = {}
        #: Nothing holds any kind back.
        self.is_free = not (
            snapshot.kinds or limits.canary or limits.canary_by_eye or limits.review_debt is not None
        )
        if not self.is_free:
            for reservation in snapshot.reservations:
                self.took(reservation)
        self._by_code: dict[str, list[str]] = {}
        #: Nodes, or the conductor, say which tasks they have.
        self.are_told = limits.tasks is not None or any(node.report.code for node in nodes.values())
        self._unknown: dict[str, Verdict | None] = {}
        self._read = None if limits.tasks is None else frozenset(limits.tasks)

    def took(self, reservation: Reservation) -> None:
        if reservation.kind:
            self._going.setdefault(reservation.kind, []).append(reservation)

    def ask(self, job_class: JobClass, node: str) -> Permit | Verdict:
        """May one more of its kind start on that node; as what, or why not."""
        code = self._code_on(job_class, node)
        if self.is_free or not job_class.kind:
            return Permit("", code)
        return (
            self._owed(job_class)
            or self._by_breaker(job_class, code)
            or self._by_canary(job_class, code)
            or Permit("", code)
        )

    def closed(self, job_class: JobClass) -> Verdict | None:
        """Why it may start nowhere; None where it may somewhere."""
        if self.are_told and (unknown := self._is_unknown(job_class.task)) is not None:
            return unknown
        if self._read is not None and job_class.task not in self._read:
            return _not_read(job_class.task)
        if self.is_free or not job_class.kind:
            return None
        answers = [self.ask(job_class, node) for node in self._nodes_by_code(job_class)]
        verdicts = [answer for answer in answers if isinstance(answer, Verdict)]
        return verdicts[0] if len(verdicts) == len(answers) else None

    def closings(self, job_class: JobClass) -> list[Verdict]:
        """All that keeps the class from every node, what stands behind the first as well: where one is over,
        the next one would be asked."""
        found: list[Verdict] = []
        if self.are_told and (unknown := self._is_unknown(job_class.task)) is not None:
            found.append(unknown)
        if self._read is not None and job_class.task not in self._read:
            found.append(_not_read(job_class.task))
        if self.is_free or not job_class.kind:
            return found
        by_node = {node: self._denials(job_class, node) for node in self._able_by_code(job_class)}
        if all(by_node.values()):
            known: set[Reason] = set()
            for denials in by_node.values():
                found += [v for v in denials if v.reason not in known]
                known |= {v.reason for v in denials}
        else:
            # Other code may go elsewhere; there it has to wait all the same.
            found += [msgspec.structs.replace(v, where=node) for node, no in by_node.items() for v in no]
        return found

    def _able_by_code(self, job_class: JobClass) -> list[str]:
        """A node for each version that its workers have; where there are none, for each that is there."""
        able = [name for name, node in self._nodes.items() if node.queues.get(job_class.lane)]
        by_code = {self._code_on(job_class, name): name for name in able}
        return list(by_code.values()) or self._nodes_by_code(job_class)

    def _denials(self, job_class: JobClass, node: str) -> list[Verdict]:
        code, found = self._code_on(job_class, node), list[Verdict]()
        if (owed := self._owed(job_class)) is not None:
            found.append(owed)
        by_breaker = self._by_breaker(job_class, code)
        if isinstance(by_breaker, Verdict):
            found.append(by_breaker)
        if not isinstance(by_breaker, Permit):
            by_canary = self._by_canary(job_class, code)
            found += [by_canary] if isinstance(by_canary, Verdict) else []
        return found

    def _owed(self, job_class: JobClass) -> Verdict | None:
        owed, lie = self._limits.review_debt, self._snapshot.in_review.get(job_class.backlog, 0)
        return None if owed is None or lie <= owed else _no(Reason.REVIEW_DEBT, have=lie, limit=owed)

    def _is_unknown(self, task: str) -> Verdict | None:
        """No node that reports has it (yet): it may be written, or its host may come."""
        if task not in self._unknown:
            fresh = [node for node in self._nodes.values() if not node.is_stale]
            is_known = not fresh or any(not node.report.code or task in node.report.code for node in fresh)
            self._unknown[task] = None if is_known else _no_task(task, fresh)
        return self._unknown[task]

    def is_counted(self, job_class: JobClass) -> bool:
        """May only so many of its kind start: the rest of those that may fail alike, a try, canaries."""
        if self.is_free or not job_class.kind:
            return False
        wanted = max(
            rule.get(job_class.task, 0) for rule in (self._limits.canary_by_eye, self._limits.canary)
        )
        states = self._states.get(job_class.kind, ())
        return any(s.failed or s.opened_at is not None for s in states) or any(
            state is None or state.verified < wanted
            for node in self._able_by_code(job_class)
            for state in (self._state(job_class.kind, self._code_on(job_class, node)),)
            if wanted
        )

    def fresh_first(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Of a kind that fails: who has not failed yet goes before who has. A retry is no evidence against
        the others, and what is wrong with a few would otherwise close the kind by their retries alone."""
        failing = {kind for kind, states in self._states.items() if any(s.failed for s in states)}
        if not failing:
            return candidates
        return [_fresh_first(c) if c.job_class.kind in failing else c for c in candidates]

    def used_up(self, waiting: Collection[str]) -> tuple[str, ...]:
        """Closed kinds whose tries were all in vain, whatever code is there: what waits of them goes to
        review.

        `waiting`: kinds of which something may go now; of the others what waits out a back-off is moved,
        once."""
        return tuple(sorted(kind for kind in self._states if self._is_used_up(kind, kind in waiting)))

    def _is_used_up(self, kind: str, is_waiting: bool) -> bool:
        now, rule = self._snapshot.now, self._limits.breaker
        closed = [self._closed_by(kind, code) for code in self._codes(kind)]
        over = all(c is not None and c.is_over(now, rule) for c in closed)
        return over and (is_waiting or not all(c is not None and c.state.is_reviewed for c in closed))

    # ── the breaker ───────────────────────────────────────────────────────────────────────────────────────

    def _by_breaker(self, job_class: JobClass, code: str) -> Permit | Verdict | None:
        rule, kind, now = self._limits.breaker, job_class.kind, self._snapshot.now
        if not rule.failures or kind not in self._states:
            return None
        closed = self._closed_by(kind, code)
        if closed is None:
            return self._by_failures(job_class, code)
        trying = [r for r in self._going.get(kind, ()) if r.role == "probe"]
        if trying:
            return _no(Reason.BREAKER_TRIES, trying, of=closed.state)
        if closed.is_over(now, rule):
            return _no(Reason.BREAKER_SPENT, of=closed.state, tries=closed.state.probes)
        if now < (next_at := closed.next_at(rule)):
            return _no(Reason.BREAKER_WAITS, reopens_at=next_at, of=closed.state)
        return Permit("probe", code)

    def _by_failures(self, job_class: JobClass, code: str) -> Verdict | None:
        """Some failed alike and none has made it since: no more of it at once than may still fail."""
        state = self._state(job_class.kind, code)
        if state is None or not state.failed:
            return None
        # What this very tick admits bears its time, which may be a moment before the last failure.
        first_at = min(state.since, self._snapshot.now)
        since = [r for r in self._of(job_class.kind, code) if r.admitted_at >= first_at]
        if len(since) < self._limits.breaker.failures - state.failed:
            return None
        return _no(Reason.FAILING_ALIKE, since, of=state)

    def _closed_by(self, kind: str, code: str) -> _Closed | None:
        """Its own open breaker; of a kind with new code: that of the code before, which one job may try at
        once.
        """
        state = self._state(kind, code)
        if state is not None:
            return _Closed(state, is_new_code=False) if state.opened_at is not None else None
        others = [s for s in self._states.get(kind, ()) if s.opened_at is not None]
        last = max(others, key=lambda s: s.last_at, default=None)
        return None if last is None else _Closed(last, is_new_code=True)

    # ── canaries ──────────────────────────────────────────────────────────────────────────────────────────

    def _by_canary(self, job_class: JobClass, code: str) -> Permit | Verdict | None:
        by_eye = self._limits.canary_by_eye.get(job_class.task, 0)
        wanted = by_eye or self._limits.canary.get(job_class.task, 0)
        state = self._state(job_class.kind, code)
        verified, shown = (0, 0) if state is None else (state.verified, state.shown)
        if verified >= wanted:
            return None
        going = self._of(job_class.kind, code)
        if len(going) + shown < wanted - verified:
            return Permit("canary_by_eye" if by_eye else "canary", code)
        if shown:
            return _no(Reason.CANARY_SHOWN, going, need=shown, have=verified, limit=wanted)
        return _no(Reason.CANARY, going, have=verified, limit=wanted)

    # ── which code ────────────────────────────────────────────────────────────────────────────────────────

    def _state(self, kind: str, code: str) -> KindState | None:
        return next((s for s in self._states.get(kind, ()) if s.version == code), None)

    def _of(self, kind: str, code: str) -> list[Reservation]:
        return [r for r in self._going.get(kind, ()) if r.code in (code, "")]

    def _code_on(self, job_class: JobClass, node: str) -> str:
        said = self._nodes[node].report.code.get(job_class.task) if node in self._nodes else None
        return self._last_code(job_class.kind) if said is None else said

    def _last_code(self, kind: str) -> str:
        """Of a node that does not say: what was used last."""
        states = self._states.get(kind)
        return max(states, key=lambda s: s.last_at).version if states else ""

    def _nodes_by_code(self, job_class: JobClass) -> list[str]:
        """A node for each version that is there."""
        known = self._by_code.get(job_class.kind)
        if known is None:
            by_code = {self._code_on(job_class, name): name for name in self._nodes}
            known = self._by_code[job_class.kind] = list(by_code.values()) or [""]
        return known

    def _codes(self, kind: str) -> set[str]:
        task = kind.partition(":")[0]
        said = {node.report.code[task] for node in self._nodes.values() if task in node.report.code}
        return said or {self._last_code(kind)}


def _fresh_first(candidate: Candidate) -> Candidate:
    return msgspec.structs.replace(
        candidate, heads=tuple(sorted(candidate.heads, key=lambda head: head.attempts > 0))
    )


class _Closed(NamedTuple):
    """An open breaker, and whether it was other code that opened it."""

    state: KindState
    is_new_code: bool

    def next_at(self, rule: BreakerRule) -> float:
        wait_s = min(rule.longest_s, rule.first_s * 2 ** min(self.state.probes, 32))
        return 0.0 if self.is_new_code else self.state.last_at + wait_s

    def is_over(self, now: float, rule: BreakerRule) -> bool:
        """What comes much later, when the fault may lie long behind, gets a try of its own."""
        is_spent = self.state.probes >= rule.probes and not self.is_new_code
        return is_spent and now < self.state.last_at + rule.longest_s


def _no(
    reason: Reason,
    going: Sequence[Reservation] = (),
    reopens_at: float | None = None,
    need: float = 0.0,
    have: float = 0.0,
    limit: float = 0.0,
    of: KindState | None = None,
    tries: int = 0,
) -> Verdict:
    """`of`: the failures that are behind it."""
    detail = NO_DETAIL
    if of is not None:
        detail = Detail(kind=of.kind, failed=of.failed, cause=of.cause, words=of.message, tries=tries)
    return Verdict(
        gate="hold",
        passed=False,
        reason=reason,
        holders=tuple(r.job_id for r in going),
        reopens_at=reopens_at,
        need=need,
        have=have,
        limit=limit,
        detail=detail,
    )


def _not_read(task: str) -> Verdict:
    """A node may have read its file first: what is admitted now would be counted by rules that are not its
    own."""
    return Verdict(gate="hold", passed=False, reason=Reason.UNREAD_TASK, need=1, unit="tasks",
                   detail=Detail(task=task))  # fmt: skip


def _no_task(task: str, nodes: Sequence[NodeFree]) -> Verdict:
    where = nodes[0].name if len(nodes) == 1 else ""
    detail = Detail(task=task)
    return Verdict(gate="report", passed=False, reason=Reason.UNKNOWN_TASK, where=where, need=1, unit="tasks",
                   detail=detail)  # fmt: skip
