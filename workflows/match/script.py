"""What happens in a match that is drawn: where the ball and both keepers are at each instant, what is heard,
and which events there are. Metres on a pitch of 105 by 68, seconds from the film's beginning; both goals lie
at half its width.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from workers.match.pitch import LENGTH_M, MOUTH_M, WIDTH_M

MIDDLE = (LENGTH_M / 2, WIDTH_M / 2)
#: Metres a second.
PASS, SHOT, CARRY = 13.0, 27.0, 18.0
#: How far before its line a keeper stands.
KEEPER_M = 1.5


class Waypoint(NamedTuple):
    at_s: float
    x: float
    y: float


class Truth(NamedTuple):
    """An event as it really is. `goal`: at which, left or right; empty: at none."""

    kind: str
    at_s: float
    goal: str = ""


class Script:
    """Written from its beginning to its end: each call goes on where the one before has ended."""

    def __init__(self) -> None:
        self.ball = [Waypoint(0.0, *MIDDLE)]
        self.keepers = {"left": [Waypoint(0.0, KEEPER_M, MIDDLE[1])], "right": [self._home("right", 0.0)]}
        self.whistles: list[tuple[float, float]] = []
        #: Beginning, length, how loud (0 to 1).
        self.cheers: list[tuple[float, float, float]] = []
        #: From when to when nobody sees the ball.
        self.hidden: list[tuple[float, float]] = []
        self.truth: list[Truth] = []

    @property
    def now_s(self) -> float:
        return self.ball[-1].at_s

    def rest(self, seconds: float) -> None:
        last = self.ball[-1]
        self.ball.append(Waypoint(last.at_s + seconds, last.x, last.y))

    def move(self, x: float, y: float, speed: float = PASS) -> None:
        last = self.ball[-1]
        far = ((x - last.x) ** 2 + (y - last.y) ** 2) ** 0.5
        self.ball.append(Waypoint(last.at_s + far / speed, x, y))

    def whistle(self, seconds: float = 0.5, before_s: float = 0.0) -> None:
        self.whistles.append((self.now_s - before_s, seconds))

    def kick_off(self) -> None:
        """From the middle, where the ball is brought to."""
        if self.ball[-1][1:] != MIDDLE:
            self.move(*MIDDLE, speed=CARRY)
        self.rest(2.0)
        self.whistle(before_s=0.3)
        self.truth.append(Truth("kick_off", self.now_s))
        self.move(MIDDLE[0] - 9, MIDDLE[1] + 6)

    def save(self, goal: str, y: float, *, hidden_s: float = 0.0, cheer: float = 0.5) -> None:
        """A shot that the keeper holds, `y` metres from the middle of the goal."""
        self._shot(goal)
        x = KEEPER_M if goal == "left" else LENGTH_M - KEEPER_M
        self._keeper(goal, self.now_s, y)
        self.move(x, MIDDLE[1] + y, SHOT)
        self._keeper(goal, self.now_s, y)
        self.truth.append(Truth("save", self.now_s, goal))
        if hidden_s:
            self.hidden.append((self.now_s - hidden_s, self.now_s + hidden_s))
        self._cheer(cheer, 1.0)
        self.rest(1.6)
        self._keeper(goal, self.now_s, y)
        self._keeper(goal, self.now_s + 1.0, 0.0)

    def goal(self, goal: str, y: float, *, cheer: float = 1.0) -> None:
        """A shot into the net; the keeper goes to the other side."""
        self._shot(goal)
        start = self.ball[-1]
        line = 0.0 if goal == "left" else LENGTH_M
        aim = MIDDLE[1] + y
        far = ((line - start.x) ** 2 + (aim - start.y) ** 2) ** 0.5
        self._keeper(goal, self.now_s, 0.0)
        self.move(line, aim, SHOT)
        self.truth.append(Truth("goal", self.now_s, goal))
        self._keeper(goal, self.now_s, -MOUTH_M / 3 if y > 0 else MOUTH_M / 3)
        over = 1.2 / far
        self.move(line + (line - start.x) * over, aim + (aim - start.y) * over, SHOT)
        self._cheer(cheer, 3.0)
        self.rest(2.5)
        self._keeper(goal, self.now_s, 0.0)

    def miss(self, goal: str, y: float) -> None:
        """A shot that goes past."""
        self._shot(goal)
        self.move(-1.0 if goal == "left" else LENGTH_M + 1.0, MIDDLE[1] + y, SHOT)
        self._cheer(0.3, 0.6)
        self.rest(1.5)

    def roll_in(self, goal: str) -> None:
        """No goal: somebody rolls the ball into the net after the whistle."""
        self.whistle()
        self.rest(1.0)
        self.move(-1.2 if goal == "left" else LENGTH_M + 1.2, MIDDLE[1] + 1.0, 7.0)
        self.rest(1.5)

    def _shot(self, goal: str) -> None:
        self.truth.append(Truth("shot", self.now_s, goal))

    def _cheer(self, loud: float, seconds: float) -> None:
        if loud:
            self.cheers.append((self.now_s, seconds, loud))

    def _home(self, goal: str, at_s: float, y: float = 0.0) -> Waypoint:
        return Waypoint(at_s, KEEPER_M if goal == "left" else LENGTH_M - KEEPER_M, MIDDLE[1] + y)

    def _keeper(self, goal: str, at_s: float, y: float) -> None:
        self.keepers[goal].append(self._home(goal, at_s, y))

    def is_hidden(self, at_s: float) -> bool:
        return any(begins <= at_s < ends for begins, ends in self.hidden)


def place_at(places: list[Waypoint], at_s: float) -> tuple[float, float]:
    """Straight from one place to the next; the first and the last stand."""
    after = bisect_right(places, at_s, key=lambda place: place.at_s)
    if after == 0:
        return places[0].x, places[0].y
    if after == len(places):
        return places[-1].x, places[-1].y
    a, b = places[after - 1], places[after]
    share = (at_s - a.at_s) / (b.at_s - a.at_s) if b.at_s > a.at_s else 1.0
    return a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share


def first_half() -> Script:
    s = Script()
    s.kick_off()
    s.move(30, 46)
    s.move(17, 40)
    s.goal("left", -2.5)
    s.kick_off()
    s.move(66, 22)
    s.whistle()
    s.rest(1.2)
    s.move(85, 42)
    s.miss("right", 7.0)
    s.move(88, 30)
    s.save("right", -1.5)
    s.whistle(1.2)
    s.rest(1.3)
    return s


def second_half() -> Script:
    s = Script()
    s.kick_off()
    s.move(92, 34)
    s.roll_in("right")
    s.move(90, 38)
    s.goal("right", 2.0)
    s.kick_off()
    s.move(18, 30)
    # Nobody sees how it ends: a person has to say.
    s.save("left", 1.5, hidden_s=0.35, cheer=0.0)
    s.whistle(1.2)
    s.rest(1.3)
    return s
