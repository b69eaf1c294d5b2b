"""What happened, by the ways of ball and keepers and by what is heard. Pure, so that a rule can be tried on
any match; nothing here knows pictures.

Each event has its evidence: what speaks for it, from 0 to 1, each with its weight. How sure it is, is the
mean of what could be looked at: a match without sound is judged by what is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import hypot
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from conductor.model.spec import Value
from workers.match.pitch import LENGTH_M, MOUTH_M
from workers.match.sound import LOUD_S, HeardSound
from workers.match.tracks import GOALS, MIDDLE_Y, BallSpot, Tracks, line_of

Kind = Literal["kick_off", "shot", "save", "goal"]

#: A ball that goes towards a goal at this speed, from within this distance, no more than this beside it, is
#: shot (metres a second, metres, metres).
SHOT_MS, SHOT_M, BESIDE_M = 17.0, 40.0, 4.0
#: A shot that is certainly one is so fast.
FAST_MS = 25.0
#: Slower than this it has been stopped.
STOPPED_MS = 4.0
#: A keeper who stopped it is so near, and it is so near to the line.
HANDS_M, BEFORE_LINE_M = 2.5, 8.0
#: A ball is in the goal when it is so far behind the line: places are known to so much only.
BEHIND_M = 0.4
#: What belongs to one shot follows within this time; looks that are closer than this are one flight.
FLIGHT_S, ONE_FLIGHT_S = 2.0, 0.5
#: So long before and after a save its ball has to be seen.
SEEN_S = 0.3
#: Looks behind the line that make it certain.
IN_NET = 3
#: A kick-off: so near to the spot, at rest for at least so long, surely for so long.
SPOT_M, REST_MS, REST_S, LONG_REST_S = 1.5, 2.0, 0.8, 1.5
#: A whistle belongs to a kick-off within this time before and after it.
WHISTLE_S = (1.5, 0.7)
#: A goal is followed by a kick-off within this time.
AGAIN_S = 90.0
#: A cheer: so much louder than usual (decibels) is none, so much is one; heard within this time.
MURMUR_DB, ROAR_DB, CHEER_S = 3.0, 10.0, 2.5

Evidence = Mapping[str, tuple[float, float | None]]


class Event(Value, frozen=True, kw_only=True):
    """Of a film, seconds from its beginning. `goal`: at which; empty: at none."""

    kind: Kind
    at_s: float
    sure: Annotated[float, Meta(ge=0, le=1)]
    goal: str = ""
    #: What speaks for it, 0 to 1; what could not be looked at is left out.
    evidence: dict[str, float] = {}


class Flight(NamedTuple):
    """A shot: between which looks, towards which goal, how fast, where it would cross the line (metres from
    the middle of the goal)."""

    goal: str
    first: int
    last: int
    speed: float
    aim: float


def events_of(tracks: Tracks, heard: HeardSound | None) -> list[Event]:
    """In the order of time. `heard`: None: the film has no sound."""
    sound = Sound(heard)
    kick_offs = list(_kick_offs(tracks, sound))
    flights = flights_of(tracks)
    goals = list(_goals(tracks, flights, sound, kick_offs))
    saves = [save for flight in flights if (save := _save(tracks, flight, sound, goals)) is not None]
    shots = [_shot(tracks, flight) for flight in flights]
    return sorted((*kick_offs, *shots, *saves, *goals), key=lambda event: (event.at_s, event.kind))


def sure(evidence: Evidence) -> float:
    """The weighted mean of what could be looked at. `evidence`: name → (weight, how much it speaks for
    it)."""
    known = [(weight, value) for weight, value in evidence.values() if value is not None]
    total = sum(weight for weight, _ in known)
    return round(sum(weight * _share(value) for weight, value in known) / total, 3) if total else 0.0


def _event(kind: Kind, at_s: float, evidence: Evidence, goal: str = "") -> Event:
    known = {name: round(_share(value), 3) for name, (_, value) in evidence.items() if value is not None}
    return Event(kind=kind, at_s=round(max(0.0, at_s), 3), sure=sure(evidence), goal=goal, evidence=known)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


# ── what is heard ─────────────────────────────────────────────────────────────────────────────────────────


class Sound:
    def __init__(self, heard: HeardSound | None) -> None:
        self._heard = heard
        loud = sorted(heard.loud) if heard is not None else []
        self._usual = loud[len(loud) // 2] if loud else None

    def cheer(self, at_s: float) -> float | None:
        """How much the crowd is louder then than usual, 0 to 1; None: nobody could hear it."""
        if self._heard is None or self._usual is None:
            return None
        first = max(0, int(at_s / LOUD_S))
        loud = self._heard.loud[first : first + max(1, round(CHEER_S / LOUD_S))]
        return _share((max(loud) - self._usual - MURMUR_DB) / (ROAR_DB - MURMUR_DB)) if loud else 0.0

    def whistle(self, at_s: float) -> float | None:
        if self._heard is None or self._usual is None:
            return None
        before, after = WHISTLE_S
        return float(any(-before <= w.at_s - at_s <= after for w in self._heard.whistles))


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────


def speed(tracks: Tracks, number: int) -> tuple[float, float] | None:
    """Metres a second along and across the pitch, by the looks around."""
    ball = tracks.ball
    first, last = max(0, number - 1), min(len(ball) - 1, number + 1)
    a, b = ball[first], ball[last]
    if a is None or b is None or first == last:
        return None
    seconds = tracks.times[last] - tracks.times[first]
    return (b.x - a.x) / seconds, (b.y - a.y) / seconds


def flights_of(tracks: Tracks) -> list[Flight]:
    found: list[Flight] = []
    for number, spot in enumerate(tracks.ball):
        moves = speed(tracks, number)
        if spot is None or moves is None:
            continue
        for goal in GOALS:
            if (flight := _towards(goal, number, spot, moves)) is None:
                continue
            before = next((f for f in reversed(found) if f.goal == goal), None)
            if before is not None and tracks.times[number] - tracks.times[before.last] <= ONE_FLIGHT_S:
                # The fastest look says best where it goes: at both ends it is mixed with what was before.
                best = max(before, flight, key=lambda f: f.speed)
                found[found.index(before)] = best._replace(first=before.first, last=number)
            else:
                found.append(flight)
    return found


def _towards(goal: str, number: int, spot: BallSpot, moves: tuple[float, float]) -> Flight | None:
    sign = -1.0 if goal == "left" else 1.0
    to_line = (line_of(goal) - spot.x) * sign
    along = moves[0] * sign
    if along < SHOT_MS or not 0 < to_line <= SHOT_M:
        return None
    aim = spot.y + moves[1] * to_line / along - MIDDLE_Y
    if abs(aim) > MOUTH_M / 2 + BESIDE_M:
        return None
    return Flight(goal, number, number, hypot(*moves), aim)


def _shot(tracks: Tracks, flight: Flight) -> Event:
    looks = tracks.ball[flight.first : flight.last + 1]
    evidence: Evidence = {
        "speed": (0.4, (flight.speed - SHOT_MS / 2) / (FAST_MS - SHOT_MS / 2)),
        "aim": (0.3, 1 - max(0.0, abs(flight.aim) - MOUTH_M / 2) / BESIDE_M),
        "seen": (0.3, sum(spot is not None and spot.is_seen for spot in looks) / len(looks)),
    }
    return _event("shot", tracks.times[flight.first], evidence, flight.goal)


def _save(tracks: Tracks, flight: Flight, sound: Sound, goals: Sequence[Event]) -> Event | None:
    begins_s = tracks.times[flight.first]
    if any(g.goal == flight.goal and 0 <= g.at_s - begins_s <= FLIGHT_S for g in goals):
        return None
    stopped = _stopped(tracks, flight)
    if stopped is None:
        return None
    number, away = stopped
    at_s = _held_at(tracks, flight, number)
    around = [tracks.ball[k] for k in tracks.around(SEEN_S, at_s)]
    evidence: Evidence = {
        "hands": (0.3, 1 - away / HANDS_M),
        "seen": (0.4, sum(spot is not None and spot.is_seen for spot in around) / max(1, len(around))),
        "speed": (0.15, flight.speed / FAST_MS),
        "cheer": (0.15, sound.cheer(at_s)),
    }
    return _event("save", at_s, evidence, flight.goal)


def _stopped(tracks: Tracks, flight: Flight) -> tuple[int, float] | None:
    """The look at which the ball of a shot no longer goes on, before the line and at the keeper, and how far
    that keeper is from it."""
    line = line_of(flight.goal)
    sign = -1.0 if flight.goal == "left" else 1.0
    for number in tracks.within(FLIGHT_S, flight.last):
        spot, moves, keeper = tracks.ball[number], speed(tracks, number), tracks.keepers[flight.goal][number]
        if spot is None or moves is None:
            continue
        to_line = (line - spot.x) * sign
        if to_line < -BEHIND_M:
            return None
        if moves[0] * sign > STOPPED_MS or to_line > BEFORE_LINE_M or keeper is None:
            continue
        away = hypot(spot.x - keeper[0], spot.y - keeper[1])
        return (number, away) if away <= HANDS_M else None
    return None


def _held_at(tracks: Tracks, flight: Flight, number: int) -> float:
    """When it was stopped: at that look, or earlier where nobody saw the rest of its way, at the speed it
    had."""
    spot = tracks.ball[number]
    last = next(k for k in range(number, flight.first - 1, -1) if _is_flying(tracks, flight, k))
    was = tracks.ball[last]
    assert spot is not None and was is not None
    needs_s = hypot(spot.x - was.x, spot.y - was.y) / max(flight.speed, 1.0)
    return min(tracks.times[number], tracks.times[last] + needs_s)


def _is_flying(tracks: Tracks, flight: Flight, number: int) -> bool:
    return number <= flight.last and tracks.ball[number] is not None


def _goals(
    tracks: Tracks, flights: Sequence[Flight], sound: Sound, kick_offs: Sequence[Event]
) -> Iterator[Event]:
    crossings = [(number, goal) for number, goal in _crossings(tracks)]
    for place, (number, goal) in enumerate(crossings):
        at_s = tracks.times[number]
        until_s = tracks.times[crossings[place + 1][0]] if place + 1 < len(crossings) else float("inf")
        again = [k for k in kick_offs if at_s < k.at_s <= min(at_s + AGAIN_S, until_s)]
        is_over = tracks.ends_s - at_s < AGAIN_S and not again and until_s == float("inf")
        is_shot = any(
            f.goal == goal and tracks.times[f.first] <= at_s <= tracks.times[f.last] + FLIGHT_S
            for f in flights
        )
        evidence: Evidence = {
            "in_net": (0.4, _behind(tracks, number, goal) / IN_NET),
            "shot": (0.25, float(is_shot)),
            "cheer": (0.2, sound.cheer(at_s)),
            # A film may end before it.
            "kick_off": (0.15, None if is_over else float(bool(again))),
        }
        yield _event("goal", at_s, evidence, goal)


def _crossings(tracks: Tracks) -> Iterator[tuple[int, str]]:
    """The looks at which the ball is behind a line for the first time, between the posts."""
    was_in: dict[str, bool] = dict.fromkeys(GOALS, False)
    for number, spot in enumerate(tracks.ball):
        if spot is None:
            continue
        for goal in GOALS:
            is_in = _is_behind(spot, goal)
            if is_in and not was_in[goal]:
                yield number, goal
            was_in[goal] = is_in


def _is_behind(spot: BallSpot, goal: str) -> bool:
    far = -spot.x if goal == "left" else spot.x - LENGTH_M
    return BEHIND_M < far < 4.0 and abs(spot.y - MIDDLE_Y) < MOUTH_M / 2


def _behind(tracks: Tracks, number: int, goal: str) -> int:
    """In how many of the next looks the ball is seen there."""
    looks = tracks.ball[number : number + IN_NET]
    return sum(spot is not None and spot.is_seen and _is_behind(spot, goal) for spot in looks)


def _kick_offs(tracks: Tracks, sound: Sound) -> Iterator[Event]:
    begins_s: float | None = None
    for number, (at_s, spot) in enumerate(zip(tracks.times, tracks.ball, strict=True)):
        is_there = spot is not None and hypot(spot.x - LENGTH_M / 2, spot.y - MIDDLE_Y) <= SPOT_M
        moves = speed(tracks, number)
        if is_there and moves is not None and hypot(*moves) <= REST_MS:
            begins_s = at_s if begins_s is None else begins_s
            continue
        rest_s, begins_s = 0.0 if begins_s is None else at_s - begins_s, None
        if rest_s < REST_S or spot is None or moves is None:
            continue
        evidence: Evidence = {
            "rest": (0.5, rest_s / LONG_REST_S),
            "whistle": (0.5, sound.whistle(at_s)),
        }
        yield _event("kick_off", at_s, evidence)
