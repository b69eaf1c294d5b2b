"""One look at the budgets of the APIs: what workers told is settled, what runs followed, each key's state
made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from conductor.adapters.rates.budget_log import BudgetLog
from conductor.adapters.rates.rate_store import BudgetShare, Changes, KeyMemory, RateRecords, taken_field
from conductor.core.rates import quota, spending
from conductor.core.rates.headers import per_window
from conductor.core.rates.learned_limits import KeyReading, after_look, in_force, refused_within
from conductor.core.rates.pacing import room
from conductor.model.calls import Call, EndpointFault
from conductor.model.snapshot import RateState, Reservation


class RateLook:
    """One look: what was told is settled, what runs is followed, and each key's state made of it."""

    def __init__(
        self,
        rates: BudgetLog,
        records: RateRecords,
        closings: Mapping[str, float],
        endpoint_faults: Mapping[str, EndpointFault],
        now: float,
    ) -> None:
        self._rates = rates
        self._records = records
        self._closings = closings
        self._endpoint_faults = endpoint_faults
        self._now = now
        self._told: dict[str, list[Call]] = {}
        #: Of those, and of what ended without a word: what was sent.
        self._sent: dict[str, list[Call]] = {}
        self.changes = Changes()

    @property
    def memories(self) -> Mapping[str, KeyMemory]:
        return {**self._records.memories, **self.changes.memories}

    def recover(self) -> None:
        """A Redis that was emptied does not know what was spent: receipts do."""
        if self._records.is_spend_known or (recovered := self._rates.recovered()) is None:
            return
        spending.add(self.changes.spent, recovered)
        self.changes.makes_spend_known = True

    def settle(self, calls: Sequence[Call]) -> None:
        by_attempt: dict[str, list[Call]] = {}
        for call in calls:
            self._told.setdefault(call.key, []).append(call)
            self._sent.setdefault(call.key, []).append(call)
            by_attempt.setdefault(taken_field(call.job_id, call.attempt, call.key), []).append(call)
        for name, answers in by_attempt.items():
            self._close(name, self._records.taken.pop(name, None), answers)

    def follow(self, active: Sequence[Reservation]) -> None:
        """Who runs has called; who is gone without a word (killed, or no task that tells) cost what was
        thought.
        """
        if not self._records.taken:
            return
        states = {(r.job_id, r.attempt): r.state for r in active}
        for name, one in list(self._records.taken.items()):
            state = states.get((one.job_id, one.attempt))
            if state == "running" and not one.is_called:
                self._rates.log_called(one.key, one.requests)
                self._records.taken[name] = self.changes.taken[name] = replace(
                    one, is_called=True, called_at=self._now
                )
            elif state is None:
                made = [Call(key=one.key, outcome="ok")] * one.requests
                self._told.setdefault(one.key, []).extend(made)
                self._sent.setdefault(one.key, []).extend(made)
                self._close(name, self._records.taken.pop(name), [])

    def _close(self, name: str, one: BudgetShare | None, answers: Sequence[Call]) -> None:
        """`answers`: all that one attempt got of one key. What it used is logged instead of what it was
        thought to.
        """
        key = one.key if one else answers[0].key
        sent = sum(call.outcome != "uncalled" for call in answers)
        if one is None or not one.is_called:
            # So fast that it was never seen to run, or not handed over by this ledger.
            self._rates.log_called(key, sent if answers else one.requests if one else 0)
        elif answers and sent == 0 and self._now - one.called_at < refused_within(self._rates.window_s):
            # Later it counts although nothing was sent: its entry may be out of the window before this one
            # is.
            self._rates.log_refused(key, one.requests)
        self._rates.log_refused(key, sum(call.outcome == "refused" for call in answers))
        tokens, usd = spending.used(answers, one.tokens if one else 0, one.usd if one else 0.0)
        self._rates.log_tokens(key, tokens)
        spending.charge(self.changes.spent, key, self._now, usd)
        self.changes.taken.pop(name, None)
        if one is not None:
            self.changes.ended.append(name)

    def states(self) -> tuple[RateState, ...]:
        records, rates = self._records, self._rates
        spending.add(records.spent, self.changes.spent)
        self.changes.stale = spending.stale(records.spent, self._now)
        taken = {one.key for one in records.taken.values()}
        keys = sorted(
            {*rates.keys(), *records.memories, *self._closings, *self._endpoint_faults, *self._told, *taken}
        )
        return tuple(self._state(key) for key in keys)

    def _state(self, key: str) -> RateState:
        rates, now = self._rates, self._now
        budget, memory = rates.budget(key), self._records.memories.get(key, KeyMemory())
        mine = [one for one in self._records.taken.values() if one.key == key]
        known = self._learn(key, memory, mine)
        if known != memory:
            self.changes.memories[key] = known
        limit = in_force(known.learned, budget.requests_per_min)
        windows = rates.windows(key, known.learned, mine, now)
        left, opens_at = room(limit, known.learned, windows, foreign(known, now), now)
        if left is not None and (configured := budget.requests_per_min) is not None:
            ours = (
                configured
                if known.learned.is_announced
                else known.quota.limit(configured, now, rates.window_s)
            )
            out = sum(one.requests for one in mine)
            most, at = known.quota.left(ours, out, now, rates.window_s)
            limit = min(limit or ours, ours)
            if most <= left:
                left, opens_at = most, at
        tokens_limit = _least(budget.tokens_per_min, known.tokens_limit)
        tokens_left, tokens_at = self._tokens(key, tokens_limit, known, mine)
        thought = sum(one.usd for one in mine)
        usd_left, usd_at = spending.left(budget.usd_per_day, self._records.spent, key, thought, now)
        per_token, per_call = rates.costs(key, known)
        return RateState(
            key=key,
            requests_left=left,
            requests_limit=limit,
            tokens_left=tokens_left,
            tokens_limit=tokens_limit,
            resets_at=opens_at,
            tokens_reset_at=tokens_at,
            closed_until=self._closings.get(key),
            endpoint_fault=self._endpoint_faults.get(key),
            going=len(mine),
            is_learned=limit is not None and limit != budget.requests_per_min,
            usd_left=usd_left,
            usd_limit=budget.usd_per_day,
            usd_reset_at=usd_at,
            usd_per_token=per_token,
            usd_per_call=per_call,
        )

    def _learn(self, key: str, memory: KeyMemory, mine: Sequence[BudgetShare]) -> KeyMemory:
        rates, now, calls = self._rates, self._now, self._told.get(key, [])
        configured = rates.budget(key).requests_per_min
        windows = rates.windows(key, memory.learned, mine, now)
        limit = in_force(memory.learned, configured)
        left, _ = room(limit, memory.learned, windows, foreign(memory, now), now)
        closed_until = self._closings.get(key)
        look = KeyReading(
            now=now,
            window_s=rates.window_s,
            accepted=sum(call.outcome == "ok" for call in calls),
            refused=sum(call.outcome == "refused" for call in calls),
            held=windows.called,
            unsure=windows.unsure,
            is_wanted=left is not None and left <= 0,
            closed_until=closed_until,
            announced=per_window((call.requests for call in calls), rates.window_s),
        )
        used, tokens_used = windows.called, rates.tokens(key, now)[0] if calls else 0
        learned = after_look(memory.learned, look, configured)
        memory = replace(memory, learned=learned, quota=self._quota(key, memory.quota, configured, look))
        return memory.after(calls, used, tokens_used, rates.window_s, now)

    def _quota(self, key: str, known: quota.Quota, configured: int | None, look: KeyReading) -> quota.Quota:
        """Of a limit that nobody configured nothing is kept."""
        if configured is None:
            return known
        sent, window_s = self._sent.get(key, []), self._rates.window_s
        if sent:
            known = quota.told(known, sent, self._now, window_s)
        return quota.refused(known, configured, self._now, window_s) if look.refused else known

    def _tokens(
        self, key: str, limit: int | None, memory: KeyMemory, mine: Sequence[BudgetShare]
    ) -> tuple[int | None, float | None]:
        if limit is None:
            return None, None
        used, opens_at = self._rates.tokens(key, self._now)
        others = memory.tokens_elsewhere if self._now < memory.tokens_elsewhere_until else 0
        return limit - used - sum(one.tokens for one in mine) - others, opens_at


def foreign(memory: KeyMemory, now: float) -> int:
    """Requests that others use of the same budget."""
    return memory.elsewhere if now < memory.elsewhere_until else 0


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
