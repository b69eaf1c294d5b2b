"""What a 429 teaches: how many requests a minute an API really allows, and when to try for one more.

Pure. The budget in force is the configured one, or what was learned where that is less or nothing is configured.
"""

from __future__ import annotations

from conductor.model.spec import Value

#: Clean windows before the next probe: doubled when a probe is refused, back to one when it holds.
MOST_PATIENT = 16
#: Below this many a minute a probe doubles: such a figure rather comes from a hiccup than from a budget.
SMALL = 8


class Learned(Value, frozen=True, kw_only=True):
    """What is known of one rate key. Times are epoch seconds."""

    #: Requests per window; None: no 429 has come yet.
    limit: int | None = None
    #: 429s of this key that were taken into account, of all time.
    seen: int = 0
    #: (when, how many) in the trailing window.
    refused: tuple[tuple[float, int], ...] = ()
    #: Start of the present clean stretch: the last 429, the last probe.
    since: float = 0.0
    #: The budget was used up at least once in that stretch; else there is nothing to be learned from it.
    is_used_up: bool = False
    #: The limit was raised and has not yet been refused.
    is_probing: bool = False
    patience: int = 1


def in_force(learned: Learned, configured: int | None) -> int | None:
    """Requests per window to hand out; None: not limited as far as anybody knows."""
    known = [limit for limit in (learned.limit, configured) if limit is not None]
    return min(known, default=None)


def after_refusals(learned: Learned, count: int, granted: int, now: float, window_s: float) -> Learned:
    """429s came (`count` of all time). `granted`: handed out in the trailing window, the refused ones among them.

    What was handed out less what was refused is what the API accepted. While several refusals of one burst trickle
    in, the figure falls with each; a known limit falls by at least one and at most by half per burst.
    """
    recent = tuple((at, n) for at, n in learned.refused if now - at < window_s)
    # A counter that went back means that Redis forgot: all it has now is new.
    new = count - learned.seen if count >= learned.seen else count
    refused = (*recent, (now, new))
    accepted = granted - sum(n for _, n in refused)
    limit = max(1, accepted)
    if learned.limit is not None:
        is_first = not recent
        limit = min(limit, learned.limit - 1 if is_first else learned.limit)
        limit = max(1, limit, learned.limit // 2 if is_first else 1)
    patience = min(MOST_PATIENT, learned.patience * 2) if learned.is_probing else learned.patience
    return Learned(limit=limit, seen=count, refused=refused, since=now, patience=patience)


def after_look(learned: Learned, left: int | None, configured: int | None, now: float, window_s: float) -> Learned:
    """No 429 since the last look. After enough clean windows with the budget used up, try for a little more."""
    if learned.limit is None or (configured is not None and learned.limit >= configured):
        return learned
    is_used_up = learned.is_used_up or (left is not None and left <= 0)
    if is_used_up and now - learned.since >= learned.patience * window_s:
        patience = 1 if learned.is_probing else learned.patience
        limit = learned.limit + step(learned.limit)
        limit = limit if configured is None else min(limit, configured)
        return Learned(limit=limit, seen=learned.seen, since=now, is_probing=True, patience=patience)
    if is_used_up == learned.is_used_up:
        return learned
    return Learned(
        limit=learned.limit,
        seen=learned.seen,
        refused=learned.refused,
        since=learned.since,
        is_used_up=True,
        is_probing=learned.is_probing,
        patience=learned.patience,
    )


def step(limit: int) -> int:
    return limit if limit < SMALL else max(1, limit // 20)
