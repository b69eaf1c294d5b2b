"""What an analysis says, and which part of a clip is worth showing. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from conductor.model.spec import Value

ANALYSIS_VERSION = 1
#: A scene changes where this much of the colours is replaced from one frame to the next (0 to 1)…
SCENE_CHANGE = 0.3
#: …and it is at least so many times what is usual around it: flicker and fast pans are no cuts.
SCENE_CONTRAST = 3.0
#: Two changes closer than this are one (a flash, a cross-fade).
SCENE_GAP_S = 0.5
#: A window with a scene change inside loses this share of its score.
CUT_PENALTY = 0.5
#: A change this near to a window's edge does not count as inside.
EDGE_S = 0.25


class Score(NamedTuple):
    """One frame's answer. `motion` and `change` are None where the model does not measure them."""

    score: float
    motion: float | None = None
    change: float | None = None


class Second(Value, frozen=True, kw_only=True):
    """One second of the clip: the mean of its motion, the peak of its change; `score` is what windows go
    by.
    """

    t: int
    score: float
    motion: float | None = None
    change: float | None = None


class Scene(Value, frozen=True, kw_only=True):
    """A new scene begins at `t`."""

    t: float
    change: float


class Window(Value, frozen=True, kw_only=True):
    start_s: float
    duration_s: float
    score: float


class Analysis(Value, frozen=True, kw_only=True):
    """The file vision.analyse writes and media.cut reads."""

    v: Literal[1]
    source: str
    duration_s: float
    sample_fps: float
    model: str
    provider: str
    seconds: tuple[Second, ...] = ()
    scenes: tuple[Scene, ...] = ()
    windows: tuple[Window, ...] = ()


def by_second(scores: Sequence[Score], fps: float) -> tuple[Second, ...]:
    """Samples, `fps` of them a second, gathered second by second; seconds without a sample are left out."""
    gathered: dict[int, list[Score]] = {}
    for index, score in enumerate(scores):
        gathered.setdefault(int(index / fps), []).append(score)
    return tuple(
        Second(
            t=t,
            score=round(sum(s.score for s in group) / len(group), 5),
            motion=mean([s.motion for s in group if s.motion is not None]),
            change=peak([s.change for s in group if s.change is not None]),
        )
        for t, group in sorted(gathered.items())
    )


def mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 5) if values else None


def peak(values: Sequence[float]) -> float | None:
    return round(max(values), 5) if values else None


def scenes_of(scores: Sequence[Score], fps: float) -> tuple[Scene, ...]:
    """Where new scenes begin."""
    changes = [s.change or 0.0 for s in scores]
    reach = max(1, round(fps))
    found: list[Scene] = []
    for i, change in enumerate(changes):
        around = changes[max(0, i - reach) : i] + changes[i + 1 : i + 1 + reach]
        usual = sorted(around)[len(around) // 2] if around else 0.0
        if change < SCENE_CHANGE or change < SCENE_CONTRAST * usual:
            continue
        t = round(i / fps, 3)
        if found and t - found[-1].t < SCENE_GAP_S:
            if change > found[-1].change:
                found[-1] = Scene(t=found[-1].t, change=round(change, 5))
            continue
        found.append(Scene(t=t, change=round(change, 5)))
    return tuple(found)


def best_windows(
    seconds: Sequence[Second], scenes: Sequence[Scene], duration_s: float, wanted_s: float, count: int = 3
) -> tuple[Window, ...]:
    """The best windows of `wanted_s` that do not overlap, best first; a shorter clip is one window as a
    whole.
    """
    length = min(wanted_s, duration_s)
    starts = sorted(
        {0.0, max(0.0, duration_s - length), *(float(s.t) for s in seconds), *(s.t for s in scenes)}
    )
    fitting = [
        Window(
            start_s=round(t, 3),
            duration_s=round(length, 3),
            score=round(worth(seconds, scenes, t, length), 5),
        )
        for t in starts
        if t + length <= duration_s + 1e-6
    ]
    chosen: list[Window] = []
    for window in sorted(fitting, key=lambda w: (-w.score, w.start_s)):
        if all(abs(window.start_s - other.start_s) >= length for other in chosen):
            chosen.append(window)
    return tuple(chosen[:count])


def worth(seconds: Sequence[Second], scenes: Sequence[Scene], start_s: float, length: float) -> float:
    """The mean score of the seconds a window covers, each by how much of it is covered, less when the
    scene changes.
    """
    end_s = start_s + length
    total = sum(s.score * max(0.0, min(end_s, s.t + 1) - max(start_s, s.t)) for s in seconds)
    is_broken = any(start_s + EDGE_S < scene.t < end_s - EDGE_S for scene in scenes)
    return (total / length if length else 0.0) * (1 - CUT_PENALTY if is_broken else 1.0)
