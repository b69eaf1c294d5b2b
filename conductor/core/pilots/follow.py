"""What became of a pilot: what its engine and its own node tell, put together. Pure.

The node's word counts for more than the engine's: whoever reports is there, whatever a list says. A key that
an engine leaves out says nothing by itself, for lists come back empty and stale; only a key that stays away
while the engine answers, and of which no node reports, is lost in the end. Lost is not ended: the pilot may
run, and its node is turned away when it comes up late.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from conductor.model.engine import EngineJob
from conductor.model.pilot import Pilot
from conductor.model.report import NodeReport

#: An engine that answers has left it out for so long.
LOST_AFTER_S = 120.0
#: It runs by the engine's word, and no node of it reports: whatever runs there does not come up.
UP_WITHIN_S = 300.0
#: It ended so soon after its node was up.
YOUNG_S = 60.0


def follow(
    pilot: Pilot,
    now: float,
    *,
    has_answered: bool,
    told: EngineJob | None,
    node: NodeReport | None,
    left_at: float | None = None,
    is_busy: bool = False,
    is_wanted: bool = True,
) -> Pilot:
    """`has_answered`: the engine was asked just now, and `told` is what it said of the key (None: nothing).
    `node`: the report of the pilot's own node; `left_at`: when that node took its report back. `is_wanted`:
    something waits for what such a pilot brings."""
    if pilot.state == "ended":
        return pilot
    seen = _seen(pilot, now, told, node)
    if node is None:
        if told is not None and told.state == "ended":
            return _over(seen, now, told.reason or f"the engine says: {told.end}")
        if seen.up_at is not None and left_at is not None and left_at >= seen.up_at:
            return _over(seen, now, "its node has ended")
    seen = _missing(seen, now, has_answered=has_answered, is_told=told is not None or node is not None)
    return _idle(seen, now, node, is_busy=is_busy, is_wanted=is_wanted)


def is_young(pilot: Pilot) -> bool:
    """Of one that ended: it was of no use, and nobody had told it to end."""
    if pilot.cancelled_at is not None or pilot.over_at is None:
        return False
    return pilot.up_at is None or pilot.over_at - pilot.up_at < YOUNG_S


def is_grown(pilot: Pilot, now: float) -> bool:
    """It lives: what was wrong with those before it is over."""
    return pilot.state == "placed" and pilot.up_at is not None and now - pilot.up_at >= YOUNG_S


def is_stillborn(pilot: Pilot, now: float) -> bool:
    """It runs, and nothing comes of it."""
    return pilot.up_at is None and pilot.began_at is not None and now - pilot.began_at > UP_WITHIN_S


def _seen(pilot: Pilot, now: float, told: EngineJob | None, node: NodeReport | None) -> Pilot:
    changes: dict[str, Any] = {}
    if told is not None:
        changes |= {"job": told, "told_at": now}
        if told.state == "running" and pilot.began_at is None:
            changes["began_at"] = now
    if node is not None:
        changes |= {"up_at": pilot.up_at or now, "ends_at": node.ends_at}
    is_there = node is not None or (told is not None and told.state != "lost" and pilot.state == "asking")
    if is_there and pilot.state in ("asking", "lost"):
        changes |= {"state": "placed", "words": "", "over_at": None}
    return replace(pilot, **changes) if changes else pilot


def _over(pilot: Pilot, now: float, words: str) -> Pilot:
    return replace(pilot, state="ended", over_at=now, words=words, missing_since=None, idle_since=None)


def _missing(pilot: Pilot, now: float, *, has_answered: bool, is_told: bool) -> Pilot:
    if is_told:
        return replace(pilot, missing_since=None) if pilot.missing_since is not None else pilot
    if not has_answered or pilot.state == "lost":
        return pilot
    since = now if pilot.missing_since is None else pilot.missing_since
    if now - since < LOST_AFTER_S:
        return replace(pilot, missing_since=since)
    words = f"the engine has not told of it for {now - since:.0f} s, and its node does not report"
    return replace(pilot, state="lost", over_at=now, missing_since=since, words=words)


def _idle(pilot: Pilot, now: float, node: NodeReport | None, *, is_busy: bool, is_wanted: bool) -> Pilot:
    is_idle = pilot.state == "placed" and not is_wanted and not is_busy
    if node is not None and node.is_draining:
        is_idle = False  # it ends by itself
    if is_idle == (pilot.idle_since is not None):
        return pilot
    return replace(pilot, idle_since=now if is_idle else None)
