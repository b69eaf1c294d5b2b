"""What a play decided by, named beside its figures: worth something where the user's conductor follows it."""

from __future__ import annotations

from conductor.base.text import duration
from conductor.model.limits import Limits, Order, PlaceRule
from conductor.model.spec import Value

#: Of a host that is only described all is for jobs, a worker of it is always free, and it has no clock on its
#: wall. A manifest says what its jobs ask and not what they will take, so none is seen to take more, or shown
#: to begin slowly.
NOT_PLAYED = (
    "headrooms",
    "lane depths",
    "hours",
    "canaries and breakers",
    "what jobs take beyond their word",
)


class Rule(Value, frozen=True, kw_only=True):
    """The rule in force. None: that part of it never acts."""

    policy: str
    order: Order
    place: PlaceRule
    #: Is a chain begun only where all that was begun can still finish on its disk.
    keeps_way_out: bool
    #: As `[waiting]` of conductor.toml; a policy changes the three above and leaves these on.
    aging_s: float | None
    overdue_s: float | None
    keep_after_s: float | None
    #: Backlog → its weight, as in conductor.toml; others count 1.
    weights: dict[str, float] = {}
    half_life_s: float | None = None
    #: What the live conductor asks besides, and this play does not.
    not_played: tuple[str, ...] = NOT_PLAYED


def rule_of(policy: str, limits: Limits, not_played: tuple[str, ...] = NOT_PLAYED) -> Rule:
    return Rule(
        policy=policy,
        order=limits.order,
        place=limits.place,
        keeps_way_out=limits.is_safe,
        aging_s=limits.aging_s,
        overdue_s=limits.overdue_s,
        keep_after_s=limits.keep_after_s,
        weights=limits.weights,
        half_life_s=limits.half_life_s,
        not_played=not_played,
    )


def words(rule: Rule) -> str:
    """«auto (order auto, place least_loss), [waiting] on: …; not played: …»."""
    way_out = "" if rule.keeps_way_out else ", no way out kept"
    times = (("aging", rule.aging_s), ("overdue", rule.overdue_s), ("a place kept after", rule.keep_after_s))
    acts = [f"{name} {duration(seconds)}" for name, seconds in times if seconds is not None]
    waiting = f"[waiting] on ({', '.join(acts)})" if acts else "[waiting] off"
    weights = (
        ", weights " + ", ".join(f"{k} {w:g}" for k, w in sorted(rule.weights.items()))
        if rule.weights
        else ""
    )
    if rule.half_life_s is not None:
        weights += f", past use halves in {duration(rule.half_life_s)}"
    left_out = f"; not played: {', '.join(rule.not_played)}" if rule.not_played else ""
    return f"{rule.policy} (order {rule.order}, place {rule.place}{way_out}), {waiting}{weights}{left_out}"
