"""media.quality: how near a film is to the one that it was made of, picture by picture: SSIM, and VMAF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from conductor.base.errors import BadInput, JobError
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads

NEEDS = Needs(cpu=1, ram_mib=1024)


class QualityArgs(Args, frozen=True, kw_only=True):
    #: Default: the first read, and the second.
    product: str | None = None
    source: str | None = None
    metric: Literal["ssim", "vmaf"] = "ssim"
    #: What `verify` holds the mean against: SSIM 0 to 1, VMAF 0 to 100.
    floor: Annotated[float, Meta(ge=0, le=100)] = 0.0


class VmafScore(msgspec.Struct, frozen=True):
    mean: float
    min: float


class PooledScores(msgspec.Struct, frozen=True):
    vmaf: VmafScore


class VmafReport(msgspec.Struct, frozen=True):
    pooled_metrics: PooledScores


@task("media.quality", lane="cpu", needs=NEEDS, timeout_s=3600 * 6, stall_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: product and source (default: the first two reads), metric (ssim, vmaf), floor.

    Result: {"metric", "mean", "worst", "pictures", "floor"}. Both are compared in the source's size, at the
    source's pictures. Raises `BadInput` for two films of different length.
    """
    import ffmpeg as graph

    from workers.media import common_form, ffmpeg, probing

    given = parse(args, QualityArgs)
    reads = read_of(ctx, given.product, 0, "product"), read_of(ctx, given.source, 1)
    names, paths = [shown(read) for read in reads], [ctx.input(read) for read in reads]
    product, source = (
        probing.film(path, name, is_reading(ctx, f"reading {name}"))
        for path, name in zip(paths, names, strict=True)
    )
    if abs((product.picture_s or 0.0) - (source.picture_s or 0.0)) > max(
        0.5, 0.02 * (source.picture_s or 0.0)
    ):
        raise BadInput(
            f"{names[0]} lasts {product.picture_s:.1f} s and {names[1]} {source.picture_s:.1f} s: "
            "they cannot be compared picture by picture"
        )
    width, height = (max(2, side // 2 * 2) for side in source.shown_size)
    cores, scores = threads(ctx, NEEDS), ctx.scratch / "scores"
    looks: list[Any] = []
    for path, facts in zip(paths, (product, source), strict=True):
        video = ffmpeg.stream(ffmpeg.source(path, threads=cores), facts.film)
        video = common_form.timed(common_form.progressive(video, facts), source.fps)
        video = video.filter("scale", width, height, flags="bicubic")
        looks.append(common_form.shown(video, facts).filter("format", "yuv420p"))
    # Written into the job's own folder, by a name that needs no escapes.
    how: dict[str, Any] = (
        {"stats_file": scores.name}
        if given.metric == "ssim"
        else {"log_fmt": "json", "log_path": scores.name, "n_threads": cores}
    )
    compared = graph.filter(looks, "ssim" if given.metric == "ssim" else "libvmaf", **how)
    made = ffmpeg.run(
        ffmpeg.unwritten(compared), ctx, seconds=source.lasts_s, note=f"{given.metric} of {names[0]}",
        name=names[0], threads=cores, cwd=ctx.scratch,
    )  # fmt: skip
    try:
        mean, worst = ssim(scores.read_text()) if given.metric == "ssim" else vmaf(scores.read_bytes())
    except (OSError, ValueError, msgspec.DecodeError) as e:
        raise JobError(f"ffmpeg left no {given.metric} that can be read: {e}") from None
    return {
        "metric": given.metric,
        "mean": round(mean, 5),
        "worst": round(worst, 5),
        "pictures": made.frames,
        "floor": given.floor,
    }


def ssim(text: str) -> tuple[float, float]:
    """(mean, worst) of lines «n:1 Y:0.98 U:0.97 V:0.97 All:0.98 (17.1)»."""
    found = [float(line.partition("All:")[2].split()[0]) for line in text.splitlines() if "All:" in line]
    if not found:
        raise ValueError("not one picture was compared")
    return sum(found) / len(found), min(found)


def vmaf(content: bytes) -> tuple[float, float]:
    scores = msgspec.json.decode(content, type=VmafReport).pooled_metrics.vmaf
    return scores.mean, scores.min
