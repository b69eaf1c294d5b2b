"""The gate of an API's budgets: calls, tokens, money, and how its endpoint fares."""

from __future__ import annotations

from conductor.core.capacity.cluster import Free, RateFree
from conductor.core.capacity.request import Demand
from conductor.core.rates.endpoint_breaker import asks_one_first
from conductor.model.calls import EndpointFault
from conductor.model.decision import Verdict
from conductor.model.reason import OPEN, Detail, Reason
from conductor.model.snapshot import RateState


def rate(demand: Demand, free: Free) -> list[Verdict]:
    """The budget of every API the class calls; a 429 closes it at once."""
    verdicts: list[Verdict] = []
    for key, need in demand.rates:
        budget = free.rates.get(key)
        if budget is None:
            verdicts.append(
                Verdict(gate="rate", passed=True, reason=OPEN, where=key, need=need.requests, unit="requests")
            )
            continue
        state = budget.state
        verdicts.append(_closing(budget, free.now))
        verdicts.append(
            _budget(
                state, need.requests, budget.requests_left, state.requests_limit, "requests", state.resets_at
            )
        )
        verdicts.append(
            _budget(
                state, need.tokens, budget.tokens_left, state.tokens_limit, "tokens", state.tokens_reset_at
            )
        )
        if state.usd_limit is not None:
            verdicts.append(_spend(budget, budget.usd_of(need.requests, need.tokens)))
    return verdicts


def is_rate_open(demand: Demand, free: Free) -> bool:
    return all(verdict.passed for verdict in rate(demand, free)) if demand.rates else True


def _closing(budget: RateFree, now: float) -> Verdict:
    """Closed for all until a time; then, where its endpoint was not well, one asks before the others."""
    key, until, endpoint_fault = budget.state.key, budget.state.closed_until, budget.state.endpoint_fault
    if until is not None and until > now:
        if endpoint_fault is None or endpoint_fault.trouble == "limited":
            return Verdict(gate="rate", passed=False, reason=Reason.RATE_LIMITED, where=key, reopens_at=until)
        reason = (
            Reason.ENDPOINT_REFUSES if endpoint_fault.trouble == "refuses" else Reason.ENDPOINT_UNAVAILABLE
        )
        return Verdict(
            gate="rate", passed=False, reason=reason, where=key, reopens_at=until, detail=_of(endpoint_fault)
        )
    if endpoint_fault is not None and budget.going and asks_one_first(endpoint_fault):
        return Verdict(
            gate="rate", passed=False, reason=Reason.ONE_ASKS_FIRST, where=key, detail=_of(endpoint_fault)
        )
    return Verdict(gate="rate", passed=True, reason=OPEN, where=key)


def _of(endpoint_fault: EndpointFault) -> Detail:
    return Detail(trouble=endpoint_fault.trouble, words=endpoint_fault.words)


def _budget(
    state: RateState, need: int, left: int | None, limit: int | None, unit: str, resets_at: float | None
) -> Verdict:
    if left is None or limit is None:
        return Verdict(
            gate="rate", passed=True, reason=Reason.NO_KNOWN_LIMIT, where=state.key, need=need, unit=unit
        )
    # A limit that was learned from 429s must not make a job unschedulable: such a job waits for the whole
    # budget.
    asked = min(need, limit) if state.is_learned else need
    passed = left >= asked
    reason = OPEN if passed else Reason.CALL_TOO_LARGE if asked > limit else Reason.BUDGET_SHORT
    reopens_at = resets_at if reason is Reason.BUDGET_SHORT else None
    return Verdict(gate="rate", passed=passed, reason=reason, where=state.key, need=need, have=max(0, left),
                   limit=limit, unit=unit, reopens_at=reopens_at)  # fmt: skip


def _spend(budget: RateFree, need: float) -> Verdict:
    """Money of the last 24 hours. Where a call's price is not known yet, it goes while anything is left."""
    state, left, limit = budget.state, budget.usd_left or 0.0, budget.state.usd_limit or 0.0
    passed = left > 0 and left >= need
    reason = OPEN if passed else Reason.CALL_TOO_DEAR if need > limit else Reason.MONEY_SPENT
    reopens_at = state.usd_reset_at if reason is Reason.MONEY_SPENT else None
    return Verdict(gate="rate", passed=passed, reason=reason, where=state.key, need=need, have=max(0.0, left),
                   limit=limit, unit="USD", reopens_at=reopens_at)  # fmt: skip
