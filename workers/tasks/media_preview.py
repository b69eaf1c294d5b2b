"""media.preview: a poster, a small silent clip, a picture that moves: for pages and for people in a hurry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=1, ram_mib=512)
POSTER = (".jpg", ".jpeg")
CLIP = (".webm", ".mp4")
MOVING = (".gif", ".webp")


class PreviewArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    width: Annotated[int, Meta(ge=32, le=1920, multiple_of=2)] = 320
    #: Where the poster is taken and the clip begins, as a share of the whole.
    at: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    seconds: Annotated[float, Meta(gt=0, le=60)] = 6.0
    fps: Annotated[float, Meta(ge=1, le=60)] = 12.0
    #: A person has to accept it before it counts as done, and before what comes after it goes on.
    review: bool = False


@task("media.preview", lane="cpu", needs=NEEDS, timeout_s=1800, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), width, at (0 to 1), seconds, fps, review.

    Makes what the line declares: a write ending in .jpg, one in .webm or .mp4, one in .gif, one in .webp.
    Result: {"at_s", "made", "changed", "outputs"}.
    """
    from workers.media import common_form, probing, small_pictures

    given = parse(args, PreviewArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = probing.film(path, name, is_reading(ctx, f"reading {name}"))
    at_s = round(given.at * (facts.picture_s or 0.0), 3)
    made = [o.path for o in ctx.spec.writes if o.path.lower().endswith((*POSTER, *CLIP, *MOVING))]
    if not made:
        write_of(ctx, *POSTER, *CLIP, *MOVING)
    frames = max(1, round(min(given.seconds, (facts.picture_s or 0.0) - at_s) * given.fps))
    for number, write in enumerate(made):
        target, part = ctx.output(write), (number / len(made), (number + 1) / len(made))
        if write.lower().endswith(POSTER):
            small_pictures.still(ctx, path, name, facts, given.width, at_s, target, part)
        else:
            clip(ctx, path, name, facts, given, at_s, frames, write, part)
    if given.review:
        ctx.needs_review([{"words": f"preview of {name}, at {at_s:.1f} s", **of_kinds(made)}])
    changed = common_form.changes(facts)
    return {"at_s": at_s, "made": made, "changed": changed, "outputs": said(made, given.width, frames)}


def of_kinds(made: list[str]) -> dict[str, str]:
    """What of it a person sees: a picture, a clip, or both."""
    kinds = {"picture": (*POSTER, *MOVING), "clip": CLIP}
    found = {kind: next((m for m in made if m.lower().endswith(ends)), "") for kind, ends in kinds.items()}
    return {kind: path for kind, path in found.items() if path}


def said(made: list[str], width: int, frames: int) -> dict[str, dict[str, int]]:
    """What is in each of the files that it wrote."""
    return {
        path: {"width": width, **({"frames": frames} if path.lower().endswith(CLIP) else {})} for path in made
    }


def clip(
    ctx: JobContext,
    path: Path,
    name: str,
    facts: MediaFacts,
    given: PreviewArgs,
    at_s: float,
    frames: int,
    write: str,
    part: tuple[float, float],
) -> None:
    """So many pictures, as a film or as a picture that moves."""
    from workers.media import ffmpeg, small_pictures

    cores, target = threads(ctx, NEEDS), ctx.output(write)
    video = small_pictures.begun_at(path, name, facts, given.fps, given.width, at_s, cores)
    video = video.filter("trim", end_frame=frames)
    if write.lower().endswith(CLIP):
        job = film(ctx, video, write, cores)
    else:
        job = (small_pictures.gif if write.lower().endswith(".gif") else small_pictures.webp)(video, target)
    seconds, note = frames / given.fps, f"preview of {name}"
    made = ffmpeg.run(job, ctx, seconds=seconds, note=note, name=name, threads=cores, part=part)
    # A WebP is one packet, whatever moves in it.
    if made.frames < (1 if write.lower().endswith(".webp") else frames):
        raise BadInput(
            f"{name} breaks off: {made.frames} of {frames} frames could be decoded from {at_s:.1f} s on"
        )


def film(ctx: JobContext, video: Any, write: str, cores: int) -> Any:
    from workers.media import codecs, ffmpeg

    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    encoder = codecs.choose(ctx, "vp9" if muxer == "webm" else "h264", "cpu")
    options = codecs.options(encoder, None, cores)
    if muxer == "webm":
        options |= {"deadline": "realtime", "cpu-used": 8}
    return ffmpeg.sink([video], ctx.output(write), muxer, **options)
