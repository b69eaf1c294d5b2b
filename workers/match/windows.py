"""Which pictures of a match are shown: windows around its events. Pure; whole pictures throughout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from conductor.model.spec import Value
from workers.match.rules import Event, Kind

Reel = Literal["goalkeeper", "highlights"]
#: What each reel shows, the most worth seeing first: where it is too long, the last go.
SHOWN: dict[Reel, tuple[Kind, ...]] = {
    "goalkeeper": ("save", "goal", "shot"),
    "highlights": ("goal", "save", "shot"),
}
#: A window that ends so shortly before the next begins goes on into it.
TOGETHER_S = 0.5

Seconds = Annotated[float, Meta(ge=0, le=3600)]


class MatchPart(Value, frozen=True, kw_only=True):
    """One film of a match. `goal`: which the keeper of the reel guards in it: left, right or both."""

    events: tuple[Event, ...]
    ends_s: float
    goal: Literal["left", "right", "both"] = "both"


class ReelPlan(Value, frozen=True, kw_only=True):
    """How long an event is shown, before it and after it; how long a reel may be."""

    fps: Annotated[float, Meta(ge=1, le=240)] = 25.0
    before_s: Seconds = 4.0
    after_s: Seconds = 3.0
    longest_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0


class ShownWindow(Value, frozen=True, kw_only=True):
    """`frames` pictures of a part from its picture `first` on."""

    part: int
    first: int
    frames: int


def windows_of(reel: Reel, parts: Sequence[MatchPart | None], how: ReelPlan) -> list[ShownWindow]:
    """In the order of the match. `parts`: None: of this one nothing is there."""
    worth = [(number, event) for number, part in enumerate(parts) if part for event in shown(reel, part)]
    # What is most worth seeing first, the surer before the less sure, the earlier before the later.
    worth.sort(key=lambda each: (SHOWN[reel].index(each[1].kind), -each[1].sure, each[0], each[1].at_s))
    chosen: list[ShownWindow] = []
    for number, event in worth:
        part = parts[number]
        assert part is not None
        more = _merged([*chosen, window_of(number, event, part, how)], how.fps)
        if sum(window.frames for window in more) <= how.longest_s * how.fps:
            chosen = more
    return chosen


def shown(reel: Reel, part: MatchPart) -> list[Event]:
    """The events of a part that a reel has."""
    return [
        event
        for event in part.events
        if event.kind in SHOWN[reel] and (reel != "goalkeeper" or part.goal in ("both", event.goal))
    ]


def window_of(number: int, event: Event, part: MatchPart, how: ReelPlan) -> ShownWindow:
    last = max(1, math.floor(round(part.ends_s * how.fps, 6)))
    first = min(max(0, math.floor(round((event.at_s - how.before_s) * how.fps, 6))), last - 1)
    end = min(last, math.ceil(round((event.at_s + how.after_s) * how.fps, 6)))
    return ShownWindow(part=number, first=first, frames=max(1, end - first))


def _merged(windows: Iterable[ShownWindow], fps: float) -> list[ShownWindow]:
    out: list[ShownWindow] = []
    for window in sorted(windows, key=lambda w: (w.part, w.first)):
        before = out[-1] if out else None
        if (
            before is not None
            and before.part == window.part
            and window.first - (before.first + before.frames) <= TOGETHER_S * fps
        ):
            end = max(before.first + before.frames, window.first + window.frames)
            out[-1] = ShownWindow(part=before.part, first=before.first, frames=end - before.first)
        else:
            out.append(window)
    return out
