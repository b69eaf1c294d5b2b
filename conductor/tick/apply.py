"""The tick's only writer: Decision → ports, in an order that a kill between any two calls cannot hurt."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from conductor.model.decision import Admission, Decision
from conductor.ports import Ledger, Rates

#: Into review in one step: a quarter of a million would keep Redis from all else.
AT_ONCE = 2000


class Applied(Struct, frozen=True, kw_only=True):
    fed: tuple[Admission, ...] = ()
    #: What the hand-over's own check turned down, and why: the world moved since it was observed. Harmless.
    refused: tuple[tuple[Admission, str], ...] = ()
    #: Kind → jobs that went into review, those that only come after them left out.
    reviewed: Mapping[str, int] = {}


def apply(
    ledger: Ledger, rates: Rates, epoch: int, decision: Decision, successions: tuple[int, int] | None = None
) -> Applied:
    """Hand over what was admitted, and name the successors. `successions`: as it was before the tick looked;
    None: not asked.

    Raises `Fenced` when another conductor leads, `Unreachable` without Redis.

    The budget is taken first: a kill in between wastes a call's worth of it, the other order would overspend.
    """
    reviewed = {kind: ledger.kinds.review(epoch, kind, AT_ONCE) for kind in decision.review}
    seen, named = (None, 0) if successions is None else successions
    if not (decision.admit or decision.successors or named):
        return Applied(reviewed=reviewed)
    for admission in decision.admit:
        for key, (requests, tokens) in admission.rates.items():
            held = admission.reservation
            rates.take(held.job_id, held.attempt, key, requests, tokens)
    answers = ledger.handover.admit(epoch, decision.admit, decision.successors, seen, decision.now)
    pairs = list(zip(decision.admit, answers, strict=True))
    return Applied(
        fed=tuple(admission for admission, why_not in pairs if why_not is None),
        refused=tuple((admission, why_not) for admission, why_not in pairs if why_not is not None),
        reviewed=reviewed,
    )
