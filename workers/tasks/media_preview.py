"""media.preview: a poster and a small silent clip, for pages and for people in a hurry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from conductor.errors import BadInput
from conductor.model.spec import Needs
from workers.context import JobContext
from workers.registry import task
from workers.toolkit import Args, parse, read_of, shown, threads, write_of

NEEDS = Needs(cpu=1, ram_mib=512)
POSTER = (".jpg", ".jpeg")
CLIP = (".webm", ".mp4")


class PreviewArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    width: Annotated[int, Meta(ge=32, le=1920, multiple_of=2)] = 320
    #: Where the poster is taken and the clip begins, as a share of the whole.
    at: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    seconds: Annotated[float, Meta(gt=0, le=60)] = 6.0
    fps: Annotated[float, Meta(ge=1, le=60)] = 12.0


@task("media.preview", lane="cpu", needs=NEEDS, timeout_s=1800, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), width, at (0 to 1), seconds, fps.

    Makes what the line declares: a write ending in .jpg, one in .webm or .mp4, or both.
    Result: {"at_s", "made", "outputs"}.
    """
    from workers.media import probing

    given = parse(args, PreviewArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    at_s = round(given.at * probing.probe(path, name, check="header").duration_s, 3)
    made = [output.path for output in ctx.spec.writes if output.path.lower().endswith((*POSTER, *CLIP))]
    if not made:
        write_of(ctx, *POSTER, *CLIP)
    if any(write.lower().endswith(POSTER) for write in made):
        poster(ctx, path, name, given, at_s)
    frames = clip(ctx, path, name, given, at_s) if any(write.lower().endswith(CLIP) for write in made) else 0
    return {"at_s": at_s, "made": made, "outputs": said(ctx, made, given, frames)}


def said(ctx: JobContext, made: list[str], given: PreviewArgs, frames: int) -> dict[str, dict[str, int]]:
    """What is in each of the files that it wrote."""
    written = {write_of(ctx, *kinds) for kinds in (POSTER, CLIP) if any(m.lower().endswith(kinds) for m in made)}
    clips = {path: {"frames": frames} for path in written if path.lower().endswith(CLIP)}
    return {path: {"width": given.width, **clips.get(path, {})} for path in sorted(written)}


def poster(ctx: JobContext, path: Path, name: str, given: PreviewArgs, at_s: float) -> None:
    from workers.media import ffmpeg

    target = ctx.output(write_of(ctx, *POSTER))
    video = ffmpeg.source(path, ss=at_s, threads=1).video.filter("scale", given.width, -2)
    # The mjpeg muxer writes one picture as a .jpg; image2 would obey a %03d in the name.
    job = ffmpeg.sink([video], target, "mjpeg", **{"frames:v": 1, "c:v": "mjpeg", "pix_fmt": "yuvj420p", "q:v": 4})
    ffmpeg.run(job, ctx, seconds=1, note=f"poster of {name}", name=name, threads=1, part=(0.0, 0.2))
    if not target.exists() or target.stat().st_size == 0:
        raise BadInput(f"{name} cannot be decoded: no picture at {at_s:.1f} s")


def clip(ctx: JobContext, path: Path, name: str, given: PreviewArgs, at_s: float) -> int:
    from workers.media import codecs, ffmpeg

    write, cores = write_of(ctx, *CLIP), threads(ctx, NEEDS)
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    encoder = codecs.choose(ctx, "vp9" if muxer == "webm" else "h264", "cpu")
    options = codecs.options(encoder, None, cores)
    if muxer == "webm":
        options |= {"deadline": "realtime", "cpu-used": 8}
    video = ffmpeg.source(path, ss=at_s, t=given.seconds, threads=cores).video
    small = video.filter("fps", fps=given.fps).filter("scale", given.width, -2).filter("format", "yuv420p")
    job = ffmpeg.sink([small], ctx.output(write), muxer, **options)
    made = ffmpeg.run(
        job, ctx, seconds=given.seconds, note=f"preview of {name}", name=name, threads=cores, part=(0.2, 1.0)
    )
    return made.frames
