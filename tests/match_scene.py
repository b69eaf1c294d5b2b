"""A match without pictures: the ways of ball and keepers, and what is heard, straight from a script."""

from __future__ import annotations

from workers.match.pitch import LENGTH_M
from workers.match.rules import Event
from workers.match.sound import LOUD_S, HeardSound, Whistle
from workers.match.tracks import GOALS, BallSpot, Tracks, filled, followed
from workflows.match.script import Script, place_at

FPS = 10.0


def tracks_of(script: Script, noise: float = 0.0) -> Tracks:
    """`noise`: metres by which each place is off, to either side."""
    looks = int(script.now_s * FPS)
    balls: list[list[tuple[float, float, float]]] = []
    for number in range(looks):
        x, y = place_at(script.ball, number / FPS)
        off = noise * (1 if number % 3 == 0 else -0.5)
        balls.append([] if script.is_hidden(number / FPS) else [(x + off, y - off, 0.9)])
    keepers = {
        goal: [place_at(script.keepers[goal], number / FPS) for number in range(looks)] for goal in GOALS
    }
    times = [number / FPS for number in range(looks)]
    return Tracks(times, filled(followed(balls, times), times), dict(keepers))


def heard_of(script: Script) -> HeardSound:
    """A crowd of 20 dB below the loudest, and 15 more where it cheers."""
    loud = [-20.0] * (int(script.now_s / LOUD_S) + 1)
    for begins, seconds, how in script.cheers:
        for number in range(int(begins / LOUD_S), min(len(loud), int((begins + seconds) / LOUD_S) + 1)):
            loud[number] += 15.0 * how
    return HeardSound([Whistle(round(at_s, 2), seconds) for at_s, seconds in script.whistles], loud)


def mirrored(tracks: Tracks) -> Tracks:
    """The same match, seen from the other side."""

    def turned(x: float) -> float:
        return LENGTH_M - x

    other = {"left": "right", "right": "left"}
    return Tracks(
        tracks.times,
        [None if spot is None else BallSpot(turned(spot.x), spot.y, spot.is_seen) for spot in tracks.ball],
        {
            goal: [
                None if place is None else (turned(place[0]), place[1])
                for place in tracks.keepers[other[goal]]
            ]
            for goal in GOALS
        },
    )


def plain(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.goal) for event in events]
