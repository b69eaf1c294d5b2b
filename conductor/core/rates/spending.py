"""Money: what calls cost, in hours' sums, and what is left of a day's budget. Pure.

A day is the last 24 hours, in whole hours (so between 24 and 25 are counted): no moment of the day allows two
days' budgets at once, as a calendar day does at midnight, and no time zone has to be agreed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence

from conductor.model.calls import Call

HOUR_S = 3600
#: The hour that has begun, and the 24 before it.
HOURS = 25
MICRO = 1_000_000

#: (rate key, hour since the epoch) → micro-dollars.
Spent = Mapping[tuple[str, int], int]


def hour_of(now: float) -> int:
    return int(now // HOUR_S)


def charge(spent: MutableMapping[tuple[str, int], int], key: str, at: float, usd: float) -> None:
    if usd > 0:
        where = (key, hour_of(at))
        spent[where] = spent.get(where, 0) + round(usd * MICRO)


def add(spent: MutableMapping[tuple[str, int], int], more: Spent) -> None:
    for where, micro in more.items():
        spent[where] = spent.get(where, 0) + micro


def stale(spent: Spent, now: float) -> list[tuple[str, int]]:
    """Hours that no budget counts any more."""
    return [where for where in spent if where[1] <= hour_of(now) - HOURS]


def left(
    budget: float | None, spent: Spent, key: str, thought: float, now: float
) -> tuple[float | None, float | None]:
    """(USD left of the day, when the oldest hour of it is forgotten). `thought`: what is under way may
    cost.
    """
    if budget is None:
        return None, None
    hours = {hour: micro for (of, hour), micro in spent.items() if of == key and hour > hour_of(now) - HOURS}
    opens_at = None if not hours else float((min(hours) + HOURS) * HOUR_S)
    return budget - sum(hours.values()) / MICRO - thought, opens_at


def used(answers: Sequence[Call], tokens: int, usd: float) -> tuple[int, float]:
    """What the calls of one attempt used. `tokens`, `usd`: what they were thought to, where an answer does
    not say.
    """
    if not answers:
        return tokens, usd
    sent = [call for call in answers if call.outcome in ("ok", "failed")]
    is_unsaid = any(call.outcome == "ok" and call.tokens is None for call in sent)
    all_tokens = sum(call.tokens or 0 for call in sent)
    is_unpriced = any(call.outcome == "ok" and call.usd is None for call in sent)
    all_usd = sum(call.usd or 0.0 for call in sent)
    return (max(all_tokens, tokens) if is_unsaid else all_tokens), (
        max(all_usd, usd) if is_unpriced else all_usd
    )


def averages(per_token: float, per_call: float, calls: Iterable[Call]) -> tuple[float, float]:
    """What a token and a call cost lately; the first answer sets them, each further one moves them by a
    tenth.
    """
    for call in calls:
        if call.outcome != "ok" or call.usd is None:
            continue
        per_call = call.usd if not per_call else per_call + (call.usd - per_call) / 10
        if call.tokens:
            price = call.usd / call.tokens
            per_token = price if not per_token else per_token + (price - per_token) / 10
    return per_token, per_call
