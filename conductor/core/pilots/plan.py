"""How many pilots an engine is asked for now, and which are given back. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from conductor.core.pilots.follow import is_stillborn
from conductor.core.pilots.waiting_work import WaitingWork
from conductor.model.pilot import EngineState, Pilot, PilotRules
from conductor.model.spec import Value

#: A pilot is worth its start where so much work waits for it, or as much as its start takes, if that is more.
WORTH_S = 300.0
#: Until it is known how long pilots of an engine take to come up.
USUAL_START_S = 60.0
#: At most so many in one look: what they bring is seen before more are asked for.
MOST_AT_ONCE = 4
#: A cancel may be lost: it is said again.
CANCEL_AGAIN_S = 30.0
#: After the first pilot that dies young, and at most.
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 30.0, 3600.0


class PilotPlan(Value, frozen=True, kw_only=True):
    ask: int = 0
    #: Keys to cancel, each with the clause why.
    cancel: dict[str, str] = {}
    #: Why no more are asked for, as a clause; "": nothing more is wanted.
    why_not: str = ""


def plan(
    engine: EngineState,
    rules: PilotRules,
    pilots: Sequence[Pilot],
    work: WaitingWork,
    now: float,
    empty_at: float | None = None,
) -> PilotPlan:
    """`empty_at`: when nothing will wait any more without further pilots, by the forecast; None: nobody can
    say."""
    live = [pilot for pilot in pilots if pilot.is_live]
    wanted = max(rules.min, min(rules.max, _wanted(engine, live, work, now, empty_at)))
    cancel = _given_back(rules, pilots, live, now)
    short = wanted - len(live)
    why_not = _why_not(engine, live, now) if short > 0 else ""
    if not why_not and len(live) >= rules.max and work.jobs:
        why_not = f"{len(live)} of at most {rules.max} are asked for"
    ask = 0 if why_not or short <= 0 else min(short, MOST_AT_ONCE)
    return PilotPlan(ask=ask, cancel=cancel, why_not=why_not)


def backoff_s(young: int) -> float:
    """After so many in a row that were refused or died young."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(young - 1, 10)) if young else 0.0


def _wanted(
    engine: EngineState, live: Sequence[Pilot], work: WaitingWork, now: float, empty_at: float | None
) -> int:
    start_s = USUAL_START_S if engine.up_after_s is None else engine.up_after_s
    if not work.jobs:
        return 0
    if empty_at is not None and not work.is_stranded and empty_at - now <= start_s:
        return len(live)  # all is done before another one is up
    return math.ceil(work.pilot_s / max(WORTH_S, start_s))


def _why_not(engine: EngineState, live: Sequence[Pilot], now: float) -> str:
    if engine.away_since is not None:
        return f"{engine.name} does not answer ({engine.words})"
    if engine.backoff_until > now:
        left = engine.backoff_until - now
        last = "last one was" if engine.young == 1 else f"last {engine.young} were"
        return f"the {last} refused or ended at once; the next one in {left:.0f} s"
    if unknown := next((pilot for pilot in live if pilot.state == "asking"), None):
        return f"nobody knows yet whether {engine.name} has {unknown.name}"
    return ""


def _given_back(
    rules: PilotRules, pilots: Sequence[Pilot], live: Sequence[Pilot], now: float
) -> dict[str, str]:
    """Those that are to end, and those that were told to and have not: a cancel may be lost."""
    found: dict[str, str] = {}
    spare = len(live) - rules.min
    # What has not begun goes first, then who has been idle for the longest.
    for pilot in sorted(live, key=lambda each: (each.up_at is not None, each.idle_since or now)):
        if pilot.state == "placed" and is_stillborn(pilot, now):
            found[pilot.key] = "it runs, and its node never reported"
        elif pilot.state == "ending":
            if now - (pilot.cancelled_at or 0.0) > CANCEL_AGAIN_S:
                found[pilot.key] = pilot.words
        elif spare > 0 and pilot.idle_since is not None and now - pilot.idle_since >= rules.idle_s:
            found[pilot.key] = f"nothing has waited for it for {now - pilot.idle_since:.0f} s"
        else:
            continue
        spare -= 1
    for pilot in pilots:
        # It may run after all: the engine is told that nobody waits for it.
        is_due = pilot.state == "lost" and now - (pilot.cancelled_at or 0.0) > CANCEL_AGAIN_S
        if is_due and (pilot.cancelled_at is None or (pilot.job and pilot.told_at == now)):
            found[pilot.key] = pilot.words
    return found
