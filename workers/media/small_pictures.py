"""Small pictures of a film: for pages, and for people in a hurry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor.base.errors import BadInput
from workers.media import common_form, ffmpeg, seeking
from workers.task_api.context import JobContext

if TYPE_CHECKING:
    from workers.media.probing import MediaFacts

#: A preview is for a look: a picture less at its end is held, not complained about.
HOLD_S = 1.0
#: A single picture is one of this fine a grid.
GRID_FPS = 50.0
#: A JPEG says nothing of its colours: they are those of BT.601, and of full range.
_JPEG_COLOURS = {"out_color_matrix": "bt601", "out_range": "pc"}


def begun_at(
    path: Path, name: str, facts: MediaFacts, fps: float, width: int, at_s: float, threads: int
) -> Any:
    """From the one that is shown at that instant on."""
    read_s = seeking.start_before(path, name, facts, at_s - 1 / fps)
    video = ffmpeg.stream(ffmpeg.begun_at(path, read_s, threads=threads), facts.film)
    video = common_form.timed(common_form.progressive(video, facts), fps, at_s - read_s, HOLD_S)
    return common_form.small(video, facts, width)


def still(
    ctx: JobContext,
    path: Path,
    name: str,
    facts: MediaFacts,
    width: int,
    at_s: float,
    target: Path,
    part: tuple[float, float],
) -> None:
    """The picture of that instant as a JPEG. Raises `BadInput` where there is none."""
    video = begun_at(path, name, facts, GRID_FPS, width, at_s, 1).filter("scale", **_JPEG_COLOURS)
    ffmpeg.run(
        jpeg(video, target), ctx, seconds=1, note=f"picture of {name}", name=name, threads=1, part=part
    )
    if not target.exists() or target.stat().st_size == 0:
        raise BadInput(f"{name} cannot be decoded: no picture at {at_s:.1f} s")


def sheet(ctx: JobContext, stills: list[Path], columns: int, target: Path) -> None:
    """All of them beside and below one another, in order."""
    row = ctx.scratch / "stills.mjpeg"
    with row.open("wb") as file:
        for each in stills:
            file.write(each.read_bytes())
    rows = -(-len(stills) // columns)
    source = ffmpeg.source(row, f="mjpeg", containers="mjpeg")
    tiled = source.video.filter("tile", f"{columns}x{rows}", padding=4, margin=4)
    job = jpeg(tiled.filter("scale", in_range="pc", **_JPEG_COLOURS), target)
    ffmpeg.run(job, ctx, seconds=1, note="contact sheet", name="a still", threads=1, part=(0.9, 1.0))


def jpeg(video: Any, target: Path) -> Any:
    # The mjpeg muxer writes one picture as a .jpg; image2 would obey a %03d in the name.
    options = {"frames:v": 1, "c:v": "mjpeg", "pix_fmt": "yuvj420p", "q:v": 4}
    return ffmpeg.sink([video], target, "mjpeg", **options)


def gif(video: Any, target: Path) -> Any:
    """With a palette of all its pictures (of what moves alone, whole colours were lost); `video` ends by
    itself."""
    import ffmpeg as graph

    both = video.filter_multi_output("split", 2)
    palette = both[0].filter("palettegen")
    drawn = graph.filter([both[1], palette], "paletteuse", dither="bayer", bayer_scale=4)
    return ffmpeg.sink([drawn], target, "gif", loop=0)


def webp(video: Any, target: Path) -> Any:
    options = {"c:v": "libwebp_anim", "quality": 70, "compression_level": 4, "loop": 0}
    return ffmpeg.sink([video.filter("format", "yuv420p")], target, "webp", **options)
