"""What a person writes down of a film: scenes, transitions, what lies over them, sound; and its stretches.

All lengths on the timeline are whole pictures. A scene of n pictures begins where the one before it ends,
less the pictures of the transition between them; each stretch shows one scene, or the seam between two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from conductor.base.errors import ConfigError, UsageError
from conductor.base.settings.unknown_keys import did_you_mean

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
SAMPLE_RATE = 48_000
#: ffmpeg's xfade; `none` is a hard cut.
TRANSITIONS = frozenset(
    (
        *("none", "fade", "wipeleft", "wiperight", "wipeup", "wipedown", "slideleft", "slideright"),
        *("slideup", "slidedown", "circlecrop", "rectcrop", "distance", "fadeblack", "fadewhite"),
        *("radial", "smoothleft", "smoothright", "smoothup", "smoothdown", "circleopen"),
        *("circleclose", "vertopen", "vertclose", "horzopen", "horzclose", "dissolve", "pixelize"),
        *("diagtl", "diagtr", "diagbl", "diagbr", "hlslice", "hrslice", "vuslice", "vdslice"),
        *("hblur", "fadegrays", "wipetl", "wipetr", "wipebl", "wipebr", "squeezeh", "squeezev"),
        *("zoomin", "fadefast", "fadeslow", "hlwind", "hrwind", "vuwind", "vdwind", "coverleft"),
        *("coverright", "coverup", "coverdown", "revealleft", "revealright", "revealup"),
        *("revealdown"),
    )
)


class StoryPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all that a storyboard holds: what nobody knows is refused."""


class Transition(StoryPart, frozen=True, kw_only=True):
    name: str = "fade"
    seconds: Annotated[float, Meta(ge=0, le=60)] = 1.0


class StoryScene(StoryPart, frozen=True, kw_only=True):
    file: str
    in_s: Seconds = 0.0
    #: Default: the end of the film.
    out_s: Seconds | None = None
    #: To the scene after it.
    transition: Transition | None = None


class StoryOverlay(StoryPart, frozen=True, kw_only=True):
    """A picture or a text, from `at_s` of the whole film on."""

    file: str | None = None
    text: str | None = None
    at_s: Seconds = 0.0
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = 3.0
    x: Share = 0.5
    y: Share = 0.9
    opacity: Share = 1.0
    height: Annotated[float, Meta(gt=0, le=1)] = 0.08
    color: str = "white"


class StorySubtitles(StoryPart, frozen=True, kw_only=True):
    file: str
    burnt_in: bool = False
    language: str = "und"


class Storyboard(StoryPart, frozen=True, kw_only=True):
    scenes: Annotated[list[StoryScene], Meta(min_length=1, max_length=10_000)]
    #: Between scenes that do not say their own.
    transition: Transition = Transition()
    overlays: list[StoryOverlay] = []
    subtitles: StorySubtitles | None = None
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    fps: Annotated[float, Meta(ge=1, le=240)] = 25.0
    crf: Annotated[int, Meta(ge=0, le=51)] = 18
    #: LUFS of the whole; null leaves it as it is.
    loudness: Annotated[float, Meta(ge=-40, le=-5)] | None = -14.0
    font: str | None = None
    container: Annotated[str, Meta(pattern="^(?:mp4|mov|mkv)$")] = "mp4"


def read_storyboard(file: Path) -> Storyboard:
    """Raises `UsageError` where it is not there, `ConfigError` that names the field."""
    try:
        content = file.read_bytes()
    except OSError as e:
        raise UsageError(f"the storyboard {file} cannot be read: {e.strerror}") from None
    try:
        board = msgspec.json.decode(content, type=Storyboard)
    except msgspec.DecodeError as e:
        raise ConfigError(f"{file}: {e}") from None
    used = [board.transition, *(scene.transition for scene in board.scenes if scene.transition)]
    for each in used:
        if each.name not in TRANSITIONS:
            near = did_you_mean(each.name, TRANSITIONS)
            raise ConfigError(f"{file}: no transition is named {each.name!r}{near or ' (`fade` is one)'}")
    return board


class ScenePart(NamedTuple):
    """A scene within a stretch: which, and how many pictures of it have been shown before."""

    scene: int
    skipped: int


class Stretch(NamedTuple):
    #: In pictures of the whole film; `end` is the first after it.
    first: int
    end: int
    parts: tuple[ScenePart, ...]

    @property
    def frames(self) -> int:
        return self.end - self.first


def stretches(lengths: Sequence[int], seams: Sequence[int], longest: int) -> Iterator[Stretch]:
    """`lengths`: pictures of each scene; `seams`: of each transition, one less; `longest`: of a stretch that
    shows one scene. Raises `UsageError` for a scene that is shorter than its transitions."""
    begin = 0
    for number, length in enumerate(lengths):
        before = seams[number - 1] if number else 0
        after = seams[number] if number < len(seams) else 0
        if length < max(1, before + after):
            raise UsageError(
                f"scene {number + 1} has {length} pictures, its transitions take {before} and {after}: "
                "make it longer or them shorter"
            )
        for first in range(before, length - after, longest):
            end = min(first + longest, length - after)
            yield Stretch(begin + first, begin + end, (ScenePart(number, first),))
        begin += length - after
        if after:
            yield Stretch(begin, begin + after, (ScenePart(number, length - after), ScenePart(number + 1, 0)))


def samples_of(stretch: Stretch, fps: float) -> int:
    """Rounded at both ends of the whole film's clock: no drift, however many stretches there are."""
    return round(stretch.end * SAMPLE_RATE / fps) - round(stretch.first * SAMPLE_RATE / fps)
