"""match.render: one reel of a match, exact to the picture. What it makes in between lies in its own folder on
scratch and is gone when the attempt ends, however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.base.text import many
from conductor.model.spec import Needs
from workers.match.windows import Reel
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads, write_of
from workers.tasks.match_choose import MatchFile, match_in

if TYPE_CHECKING:
    from pathlib import Path

    from workers.media.probing import MediaFacts
    from workers.media.reel import ReelWindow

NEEDS = Needs(cpu=1, ram_mib=768)


class RenderArgs(Args, frozen=True, kw_only=True):
    #: The file of match.choose.
    match: str
    reel: Reel
    #: The match's films, in the order of its parts.
    films: Annotated[list[str], Meta(min_length=1, max_length=100)]
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    crf: Annotated[int, Meta(ge=0, le=51)] = 20


@task("match.render", lane="cpu", needs=NEEDS, timeout_s=3600 * 4, stall_s=300, parameters=("reel",))
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: match, reel, films, width, height, crf. Writes .mp4.

    Result: {"windows", "outputs"}. Raises `BadInput` where there is nothing to show.
    """
    from workers.media import reel
    from workers.media.common_form import FrameFormat

    given = parse(args, RenderArgs)
    match = match_in(ctx.input(read_of(ctx, given.match, 0, "match")).read_bytes(), shown(given.match))
    windows = windows_in(ctx, given, match)
    write = write_of(ctx, ".mp4")
    frame = FrameFormat(width=given.width, height=given.height, fps=match.reels.fps)
    frames = reel.write(ctx, windows, frame, given.crf, ctx.output(write), threads(ctx, NEEDS))
    said = {"frames": frames, "duration_s": round(frames / frame.fps, 3)}
    return {"windows": msgspec.to_builtins(match.windows[given.reel]), "outputs": {write: said}}


def windows_in(ctx: JobContext, given: RenderArgs, match: MatchFile) -> list[ReelWindow]:
    from workers.media import probing
    from workers.media.reel import ReelWindow

    shown_in = match.windows.get(given.reel, ())
    if not shown_in:
        said = (
            f", a person rejected {match.rejected} of {match.asked} (`conductor redo --with-dependents` of "
            "its match.events asks again)"
            if match.rejected
            else ""
        )
        found = sum(len(part.events) for part in match.parts if part)
        raise BadInput(
            f"there is nothing to show in the {given.reel} reel: {many(found, 'event')} in all{said}"
        )
    films: dict[int, tuple[Path, str, MediaFacts]] = {}
    for number in sorted({window.part for window in shown_in}):
        read = read_of(ctx, given.films[number], 0, "films")
        path, name = ctx.input(read), shown(read)
        films[number] = path, name, probing.film(path, name, is_reading(ctx, f"reading {name}"))
    return [
        ReelWindow(*films[window.part], start_s=window.first / match.reels.fps, frames=window.frames)
        for window in shown_in
    ]
