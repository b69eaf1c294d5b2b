"""What a call takes of the budgets of its APIs, as seconds for which it would have all of one to itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conductor.model.snapshot import RateState, cost_of

#: The windows in which budgets come back: of requests and tokens, and of money.
MINUTE_S, DAY_S = 60.0, 86_400.0


def budget_part_s(asked: Mapping[str, tuple[int, int]], rates: Iterable[RateState]) -> float:
    """`asked`: API → (requests, tokens). Of several budgets, that of which it takes most."""
    if not asked:
        return 0.0
    return max([_of_one(state, *asked[state.key]) for state in rates if state.key in asked], default=0.0)


def _of_one(state: RateState, requests: int, tokens: int) -> float:
    usd = cost_of(state.usd_per_token, state.usd_per_call, requests, tokens)
    parts = (
        (requests, state.requests_limit, MINUTE_S),
        (tokens, state.tokens_limit, MINUTE_S),
        (usd, state.usd_limit, DAY_S),
    )
    return max([amount / limit * window_s for amount, limit, window_s in parts if limit], default=0.0)
