"""media.preview: a poster and a small silent clip, for pages and for people in a hurry."""

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
#: A preview is for a look: a picture less at its end is held, not complained about.
HOLD_S = 1.0
#: A poster is the picture of this fine a grid.
POSTER_FPS = 50.0


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

    Makes what the line declares: a write ending in .jpg, one in .webm or .mp4, or both.
    Result: {"at_s", "made", "changed", "outputs"}.
    """
    from workers.media import common_form, probing

    given = parse(args, PreviewArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = probing.film(path, name, is_reading(ctx, f"reading {name}"))
    at_s = round(given.at * (facts.picture_s or 0.0), 3)
    made = [output.path for output in ctx.spec.writes if output.path.lower().endswith((*POSTER, *CLIP))]
    if not made:
        write_of(ctx, *POSTER, *CLIP)
    if any(write.lower().endswith(POSTER) for write in made):
        poster(ctx, path, name, facts, given, at_s)
    frames = (
        clip(ctx, path, name, facts, given, at_s)
        if any(write.lower().endswith(CLIP) for write in made)
        else 0
    )
    if given.review:
        ctx.needs_review([{"words": f"preview of {name}, at {at_s:.1f} s", **of_kinds(made)}])
    changed = common_form.changes(facts)
    return {"at_s": at_s, "made": made, "changed": changed, "outputs": said(ctx, made, given, frames)}


def of_kinds(made: list[str]) -> dict[str, str]:
    """What of it a person sees: a poster, a clip, or both."""
    kinds = {"picture": POSTER, "clip": CLIP}
    found = {kind: next((m for m in made if m.lower().endswith(ends)), "") for kind, ends in kinds.items()}
    return {kind: path for kind, path in found.items() if path}


def said(ctx: JobContext, made: list[str], given: PreviewArgs, frames: int) -> dict[str, dict[str, int]]:
    """What is in each of the files that it wrote."""
    written = {
        write_of(ctx, *kinds) for kinds in (POSTER, CLIP) if any(m.lower().endswith(kinds) for m in made)
    }
    clips = {path: {"frames": frames} for path in written if path.lower().endswith(CLIP)}
    return {path: {"width": given.width, **clips.get(path, {})} for path in sorted(written)}


def pictures(
    path: Path, name: str, facts: MediaFacts, fps: float, width: int, at_s: float, cores: int
) -> Any:
    """From the one that is shown at that instant on, small."""
    from workers.media import common_form, ffmpeg, seeking

    read_s = seeking.start_before(path, name, facts, at_s - 1 / fps)
    video = ffmpeg.stream(ffmpeg.begun_at(path, read_s, threads=cores), facts.film)
    video = common_form.timed(common_form.progressive(video, facts), fps, at_s - read_s, HOLD_S)
    return common_form.small(video, facts, width)


def poster(
    ctx: JobContext, path: Path, name: str, facts: MediaFacts, given: PreviewArgs, at_s: float
) -> None:
    from workers.media import ffmpeg

    target = ctx.output(write_of(ctx, *POSTER))
    video = pictures(path, name, facts, POSTER_FPS, given.width, at_s, 1)
    # A JPEG says nothing of its colours: they are those of BT.601, and of full range.
    video = video.filter("scale", out_color_matrix="bt601", out_range="pc")
    # The mjpeg muxer writes one picture as a .jpg; image2 would obey a %03d in the name.
    job = ffmpeg.sink(
        [video], target, "mjpeg", **{"frames:v": 1, "c:v": "mjpeg", "pix_fmt": "yuvj420p", "q:v": 4}
    )
    ffmpeg.run(job, ctx, seconds=1, note=f"poster of {name}", name=name, threads=1, part=(0.0, 0.2))
    if not target.exists() or target.stat().st_size == 0:
        raise BadInput(f"{name} cannot be decoded: no picture at {at_s:.1f} s")


def clip(ctx: JobContext, path: Path, name: str, facts: MediaFacts, given: PreviewArgs, at_s: float) -> int:
    """How many pictures it holds."""
    from workers.media import codecs, ffmpeg

    write, cores = write_of(ctx, *CLIP), threads(ctx, NEEDS)
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    encoder = codecs.choose(ctx, "vp9" if muxer == "webm" else "h264", "cpu")
    frames = max(1, round(min(given.seconds, (facts.picture_s or 0.0) - at_s) * given.fps))
    options = {"frames:v": frames, **codecs.options(encoder, None, cores)}
    if muxer == "webm":
        options |= {"deadline": "realtime", "cpu-used": 8}
    job = ffmpeg.sink(
        [pictures(path, name, facts, given.fps, given.width, at_s, cores)],
        ctx.output(write),
        muxer,
        **options,
    )
    seconds, note = frames / given.fps, f"preview of {name}"
    made = ffmpeg.run(job, ctx, seconds=seconds, note=note, name=name, threads=cores, part=(0.2, 1.0))
    if made.frames < frames:
        raise BadInput(
            f"{name} breaks off: {made.frames} of {frames} frames could be decoded from {at_s:.1f} s on"
        )
    return made.frames
