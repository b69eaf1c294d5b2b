"""What a person writes down of a film: scenes, transitions, what lies over them, sound; and its stretches.

All lengths on the timeline are whole pictures. A scene of n pictures begins where the one before it ends,
less the pictures of the transition between them; each stretch shows one scene, or the seam between two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

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


class StoryMusic(StoryPart, frozen=True, kw_only=True):
    """Under the whole film, again from its start where it is shorter."""

    file: str
    from_s: Seconds = 0.0
    #: As loud as it is: 0.
    level_db: Annotated[float, Meta(ge=-60, le=20)] = -18.0
    #: At the film's beginning, and at its end.
    fade_s: Annotated[float, Meta(ge=0, le=60)] = 2.0


class Storyboard(StoryPart, frozen=True, kw_only=True):
    scenes: Annotated[list[StoryScene], Meta(min_length=1, max_length=10_000)]
    #: Between scenes that do not say their own.
    transition: Transition = Transition()
    overlays: list[StoryOverlay] = []
    subtitles: StorySubtitles | None = None
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    fps: Annotated[float, Meta(ge=1, le=240)] = 25.0
    #: The encoder's own scale, lower is better. Default: what is hardly told from the source.
    crf: Annotated[int, Meta(ge=0, le=63)] | None = None
    #: «nvenc»: each stretch holds a device, and its encoder writes it.
    encoder: Literal["cpu", "nvenc"] = "cpu"
    music: StoryMusic | None = None
    #: LUFS of the whole; null leaves it as it is.
    loudness: Annotated[float, Meta(ge=-40, le=-5)] | None = -14.0
    font: str | None = None
    container: Literal["mp4", "mov", "mkv", "webm"] = "mp4"

    @property
    def codec(self) -> str:
        """Of the picture: what everything plays that plays the container."""
        return "vp9" if self.container == "webm" else "h264"


def read_storyboard(file: Path) -> Storyboard:
    """Raises `UsageError` where it is not there, `ConfigError` that names the field."""
    try:
        content = file.read_bytes()
    except OSError as e:
        raise UsageError(f"the storyboard {file} cannot be read: {e.strerror}") from None
    try:
        board = msgspec.json.decode(content, type=Storyboard)
    except msgspec.DecodeError as e:
        raise ConfigError(f"{file} is no storyboard: {e}") from None
    used = [board.transition, *(scene.transition for scene in board.scenes if scene.transition)]
    for each in used:
        if each.name not in TRANSITIONS:
            near = did_you_mean(each.name, TRANSITIONS)
            raise ConfigError(f"{file}: no transition is named {each.name!r}{near or ' (`fade` is one)'}")
    for number, overlay in enumerate(board.overlays, start=1):
        if (overlay.file is None) == (overlay.text is None):
            raise ConfigError(f"{file}: overlay {number} is a `file` or a `text`, one of them")
    if board.encoder == "nvenc" and board.codec != "h264":
        raise ConfigError(f"{file}: no card encodes for .{board.container}: take mp4, mov or mkv, or the cpu")
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


def stretches(
    lengths: Sequence[int],
    seams: Sequence[int],
    longest: int,
    shortest: int = 1,
    edges: Collection[int] = (),
) -> Iterator[Stretch]:
    """`lengths`: pictures of each scene; `seams`: of each transition, one less; `longest`: of a stretch that
    shows one scene, and `shortest`: of one that is ended early, by one of the `edges` on the timeline.

    Raises `UsageError` for a scene that is shorter than its transitions."""
    begin = 0
    for number, length in enumerate(lengths):
        before = seams[number - 1] if number else 0
        after = seams[number] if number < len(seams) else 0
        if length < max(1, before + after):
            raise UsageError(
                f"scene {number + 1} has {length} pictures, its transitions take {before} and {after}: "
                "make it longer or them shorter"
            )
        own = sorted(edge - begin for edge in edges)
        for first, end in pieces(before, length - after, longest, shortest, own):
            yield Stretch(begin + first, begin + end, (ScenePart(number, first),))
        begin += length - after
        if after:
            yield Stretch(begin, begin + after, (ScenePart(number, length - after), ScenePart(number + 1, 0)))


def pieces(
    first: int, end: int, longest: int, shortest: int, edges: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """From `first` to `end`: a new one at each edge that leaves enough on both sides, and after `longest`."""
    while first < end:
        following = next((edge for edge in edges if first + shortest <= edge <= end - shortest), end)
        yield first, min(first + longest, following)
        first = min(first + longest, following)


def samples_of(stretch: Stretch, fps: float) -> int:
    """Rounded at both ends of the whole film's clock: no drift, however many stretches there are."""
    return round(stretch.end * SAMPLE_RATE / fps) - round(stretch.first * SAMPLE_RATE / fps)
