"""What a detector found, picture by picture, as the ways of the ball and of the keepers. Pure: numbers in,
numbers out; metres on the pitch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import hypot
from typing import NamedTuple

from workers.match.pitch import LENGTH_M, WIDTH_M, Box

#: A ball is not faster than this, in metres a second.
FASTEST = 45.0
#: Where a ball may have gone meanwhile, whatever its speed: places are known to so much only.
SLACK_M = 1.0
#: A ball that was not seen for longer is looked for everywhere.
LOST_S = 1.0
#: In gaps that are no longer the ball is thought to have gone straight.
GAP_S = 0.45
#: A keeper who is not seen is thought to stand still for so long.
HOLD_S = 2.0
#: A keeper is who stands nearest to the middle of the goal, within this distance.
AREA_M = 16.5

GOALS = ("left", "right")
MIDDLE_Y = WIDTH_M / 2


class Sighting(NamedTuple):
    """One box of one picture. `kind`: ball, keeper or player; `x`, `y`: shares of the picture."""

    kind: str
    x: float
    y: float
    score: float


class BallSpot(NamedTuple):
    """Where the ball is. `is_seen`: not only thought to be there."""

    x: float
    y: float
    is_seen: bool = True


class Look(NamedTuple):
    """One picture, and when it is shown. Two looks never see the same one."""

    at_s: float
    found: list[Sighting]


class Tracks(NamedTuple):
    """Each list has one entry a look."""

    times: list[float]
    ball: list[BallSpot | None]
    #: By goal.
    keepers: dict[str, list[tuple[float, float] | None]]

    @property
    def ends_s(self) -> float:
        return self.times[-1] if self.times else 0.0

    def within(self, seconds: float, number: int) -> range:
        """The looks from that one on, for so long."""
        return range(number, bisect_right(self.times, self.times[number] + seconds))

    def around(self, seconds: float, at_s: float) -> range:
        return range(bisect_left(self.times, at_s - seconds), bisect_right(self.times, at_s + seconds))


def tracked(looks: Sequence[Look], pitch: Box) -> Tracks:
    # A detector that knows keepers is believed; of one that does not anybody may be one.
    kinds = ("keeper",) if any(f.kind == "keeper" for look in looks for f in look.found) else ("player",)
    times = [look.at_s for look in looks]
    balls: list[list[tuple[float, float, float]]] = []
    keepers: dict[str, list[tuple[float, float] | None]] = {goal: [] for goal in GOALS}
    for look in looks:
        balls.append([(*pitch.metres(f.x, f.y), f.score) for f in look.found if f.kind == "ball"])
        people = [pitch.metres(f.x, f.y) for f in look.found if f.kind in kinds]
        for goal in GOALS:
            keepers[goal].append(keeper_of(goal, people))
    held = {goal: _held(places, times) for goal, places in keepers.items()}
    return Tracks(times, filled(followed(balls, times), times), held)


def keeper_of(goal: str, people: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    line = line_of(goal)
    near = [
        (far, place) for place in people if (far := hypot(place[0] - line, place[1] - MIDDLE_Y)) <= AREA_M
    ]
    return min(near)[1] if near else None


def _held(
    places: Sequence[tuple[float, float] | None], times: Sequence[float]
) -> list[tuple[float, float] | None]:
    """Who is hidden for a moment, behind the ball in his arms, has not gone."""
    out: list[tuple[float, float] | None] = []
    last, seen_s = None, 0.0
    for at_s, place in zip(times, places, strict=True):
        if place is not None:
            last, seen_s = place, at_s
        out.append(last if at_s - seen_s <= HOLD_S else None)
    return out


def line_of(goal: str) -> float:
    return 0.0 if goal == "left" else LENGTH_M


def followed(
    balls: Sequence[Sequence[tuple[float, float, float]]], times: Sequence[float]
) -> list[BallSpot | None]:
    """One ball: the likeliest of each look that it can have gone to since it was seen last."""
    way: list[BallSpot | None] = []
    last, seen_s = None, 0.0
    for at_s, spots in zip(times, balls, strict=True):
        near, lost_s = spots, at_s - seen_s
        if last is not None and lost_s <= LOST_S:
            reach = FASTEST * lost_s + SLACK_M
            near = [spot for spot in spots if hypot(spot[0] - last.x, spot[1] - last.y) <= reach]
        best = max(near, key=lambda spot: spot[2], default=None)
        if best is not None:
            last, seen_s = BallSpot(best[0], best[1]), at_s
        way.append(None if best is None else last)
    return way


def filled(way: Sequence[BallSpot | None], times: Sequence[float]) -> list[BallSpot | None]:
    """Short gaps closed by a straight line."""
    out = list(way)
    before: int | None = None
    for number, spot in enumerate(way):
        if spot is None:
            continue
        if before is not None and times[number] - times[before] <= GAP_S:
            a = way[before]
            assert a is not None
            for k in range(before + 1, number):
                share = (times[k] - times[before]) / (times[number] - times[before])
                out[k] = BallSpot(a.x + (spot.x - a.x) * share, a.y + (spot.y - a.y) * share, is_seen=False)
        before = number
    return out
