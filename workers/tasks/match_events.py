"""match.events: what happened in one film of a match, by rules over what was seen and heard. A person is
shown what the rules are not sure of, and the match goes on without what is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.review import MOST_ITEMS, ReviewItem
from conductor.model.spec import Needs, Value
from workers.match.pitch import Box
from workers.match.rules import Event
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, media_facts, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=1, ram_mib=768)
Share = Annotated[float, Meta(ge=-1, le=2)]
#: Of what is shown: seconds around an event, pictures a second, how wide; and the three of each that the
#: sheet shows, how high.
MOMENT_S, MOMENT_FPS, MOMENT_WIDTH = 5.0, 25, 480
SHEET_AT, SHEET_HEIGHT = (0.4, 0.5, 0.6), 160
WORDS = {"kick_off": "a kick-off", "shot": "a shot", "save": "a save", "goal": "a goal"}


class EventsArgs(Args, frozen=True, kw_only=True):
    #: The film, what match.look found in it, and what match.listen heard.
    source: str
    found: str
    heard: str
    #: Left, top, right and bottom of the pitch, in shares of the picture.
    pitch: tuple[Share, Share, Share, Share] = (0.0, 0.0, 1.0, 1.0)
    #: From here on an event is sure; below `least` it is none.
    sure: Annotated[float, Meta(ge=0, le=1)] = 0.7
    least: Annotated[float, Meta(ge=0, le=1)] = 0.3
    #: What becomes of those between: a person says, they are taken for events, or for none.
    unsure: Literal["ask", "keep", "drop"] = "ask"


class EventsFile(Value, frozen=True, kw_only=True):
    """The file match.events writes and match.choose reads."""

    v: Literal[1]
    source: str
    ends_s: float
    events: tuple[Event, ...] = ()
    #: Those of them that a person is asked about, in the order of the items: place in `events`.
    asked: tuple[int, ...] = ()


@task("match.events", lane="cpu", needs=NEEDS, timeout_s=3600 * 2, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source, found, heard, pitch, sure, least, unsure.

    Writes .json (`EventsFile`), .mp4 (the moments that are shown) and .jpg (three pictures of each).
    Result: {"source", "events", "asked", "has_sound", "left_out"}; `left_out`: unsure ones beyond what a
    person is shown of one job.
    """
    from workers.match import rules
    from workers.match.detector import looks_of
    from workers.match.tracks import tracked
    from workers.tasks.match_listen import heard_in

    given = parse(args, EventsArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = media_facts(ctx, read)
    looks = looks_of(ctx.input(read_of(ctx, given.found, 1, "found")).read_bytes())
    heard = heard_in(ctx.input(read_of(ctx, given.heard, 2, "heard")).read_bytes(), shown(given.heard))
    found = rules.events_of(tracked(looks, Box(*given.pitch)), heard)
    events, asked, left_out = sorted_out(found, given)
    file = EventsFile(v=1, source=name, ends_s=round(facts.ends_s, 3), events=events, asked=asked)
    ctx.output(write_of(ctx, ".json")).write_bytes(msgspec.json.encode(file))
    # Where nobody is asked, one moment for whoever wants a look: the least sure one.
    seen = [events[place] for place in asked] or sorted(events, key=lambda event: event.sure)[:1]
    show(ctx, path, name, facts, [event.at_s for event in seen] or [0.0])
    if asked:
        ctx.needs_review(items_of(ctx, seen, name), rejected="left_out")
    return {
        "source": name,
        "events": [msgspec.to_builtins(event) for event in events],
        "asked": list(asked),
        "has_sound": heard is not None,
        "left_out": left_out,
    }


def sorted_out(found: Sequence[Event], given: EventsArgs) -> tuple[tuple[Event, ...], tuple[int, ...], int]:
    """The events that stay, which of them are asked about, and how many unsure ones were too many to ask."""
    unsure = sorted((e for e in found if given.least <= e.sure < given.sure), key=lambda e: -e.sure)
    most = {"ask": MOST_ITEMS, "keep": len(unsure), "drop": 0}[given.unsure]
    stay = unsure[:most]
    events = tuple(event for event in found if event.sure >= given.sure or event in stay)
    asked = tuple(n for n, event in enumerate(events) if given.unsure == "ask" and event.sure < given.sure)
    return events, asked, len(unsure) - len(stay) if given.unsure == "ask" else 0


def items_of(ctx: JobContext, asked: Sequence[Event], name: str) -> list[ReviewItem]:
    picture, clip = write_of(ctx, ".jpg"), write_of(ctx, ".mp4")
    items: list[ReviewItem] = []
    for row, event in enumerate(asked):
        where = f" at the {event.goal} goal" if event.goal else ""
        weak = ", ".join(what for what, value in event.evidence.items() if value < 0.5)
        items.append(
            ReviewItem(
                words=f"{WORDS[event.kind]}{where}, {clock(event.at_s)} into {name}? Row {row + 1} of the "
                f"picture. Little speaks for it by: {weak or 'nothing in particular'}",
                picture=picture,
                clip=clip,
                at_s=row * MOMENT_S,
                ends_s=(row + 1) * MOMENT_S,
                sure=event.sure,
            )
        )
    return items


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def show(ctx: JobContext, path: Path, name: str, facts: MediaFacts, times: Sequence[float]) -> None:
    """The film of the moments, and the sheet of their pictures; a row each, in that order."""
    from workers.media import ffmpeg, reel
    from workers.media.common_form import FrameFormat

    wide, high = facts.shown_size
    height = max(32, round(MOMENT_WIDTH * high / wide / 2) * 2)
    frame = FrameFormat(width=MOMENT_WIDTH, height=height, fps=MOMENT_FPS)
    cores, frames = threads(ctx, NEEDS), round(MOMENT_S * MOMENT_FPS)
    windows = [reel.ReelWindow(path, name, facts, max(0.0, at_s - MOMENT_S / 2), frames) for at_s in times]
    film = ctx.output(write_of(ctx, ".mp4"))
    reel.write(ctx, windows, frame, 26, film, cores)
    chosen = "+".join(f"eq(mod(n,{frames}),{round(share * frames)})" for share in SHEET_AT)
    pictures = ffmpeg.stream(ffmpeg.source(film), 0).filter("select", chosen)
    sheet = pictures.filter("scale", -2, SHEET_HEIGHT).filter("tile", f"{len(SHEET_AT)}x{len(times)}")
    job = ffmpeg.sink(
        [sheet],
        ctx.output(write_of(ctx, ".jpg")),
        "image2",
        **{"frames:v": 1, "update": 1, "c:v": "mjpeg", "q:v": 4},
    )
    ffmpeg.run(job, ctx, seconds=0.0, note="drawing the sheet", name="the moments", threads=cores)


def events_in(data: bytes, name: str) -> EventsFile:
    """Raises `BadInput` where it is no file of this task."""
    try:
        return msgspec.json.decode(data, type=EventsFile)
    except msgspec.DecodeError as e:
        raise BadInput(f"{name} is no list of events: {e}") from None
