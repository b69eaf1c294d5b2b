"""media.cut: a window of a clip, frame by frame exact, in the common form that media.assemble can join."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, media_facts, parse, read_of, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.common_form import FrameFormat
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=1, ram_mib=512)


class CutArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    start_s: Annotated[float, Meta(ge=0)] | None = None
    duration_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    #: Instead of a start: the analysis of another job, whose best window of `seconds` is taken.
    analysis: str | None = None
    seconds: Annotated[float, Meta(gt=0, le=3600)] = 4.0
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    fps: Annotated[float, Meta(ge=1, le=240)] = 30.0
    crf: Annotated[int, Meta(ge=0, le=51)] = 20


@task("media.cut", lane="cpu", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read); start_s and duration_s, or analysis and seconds; width, height,
    fps, crf.

    Writes .mp4 or .mkv: h264 with 48 kHz stereo FLAC (silence where the source has no sound).
    Result: {"start_s", "duration_s", "score", "frames", "width", "height", "had_audio", "encoder",
    "changed"}; `changed`: what the pictures were not when they came («deinterlaced», «tone-mapped from PQ»).
    """
    from workers.media import common_form
    from workers.media.common_form import FrameFormat

    given = parse(args, CutArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = media_facts(ctx, read)
    start_s, duration_s, score = window(given, ctx, facts, name)
    frame = FrameFormat(width=given.width, height=given.height, fps=given.fps)
    frames = max(1, round(duration_s * frame.fps))
    cut(ctx, path, name, facts, frame, start_s, frames, given.crf)
    return {
        "start_s": start_s,
        "duration_s": round(frames / frame.fps, 3),
        "score": score,
        "frames": frames,
        "width": frame.width,
        "height": frame.height,
        "had_audio": facts.has_audio,
        "encoder": "libx264",
        "changed": common_form.changes(facts),
    }


def window(
    given: CutArgs, ctx: JobContext, facts: MediaFacts, name: str
) -> tuple[float, float, float | None]:
    """(start, length, score) of what to cut. Raises `BadInput` where the clip ends before it."""
    from workers.vision.analysis import Analysis, best_windows

    if given.analysis is None:
        if given.start_s is None or given.duration_s is None:
            raise BadInput("args: give start_s and duration_s, or the analysis to choose a window by")
        if facts.ends_s and given.start_s + given.duration_s > facts.ends_s + 0.5:
            raise BadInput(
                f"args: {name} is {facts.ends_s:.1f} s long, there is no window of {given.duration_s:g} s "
                f"at {given.start_s:g} s"
            )
        return given.start_s, given.duration_s, None
    file = ctx.input(read_of(ctx, given.analysis, 0, "analysis"))
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Analysis)
    except msgspec.DecodeError as e:
        raise BadInput(f"{shown(given.analysis)} is not an analysis: {e}") from None
    if not (best := best_windows(found.seconds, found.scenes, found.duration_s, given.seconds, 1)):
        raise BadInput(f"{shown(given.analysis)} has no window to cut")
    return best[0].start_s, best[0].duration_s, best[0].score


def cut(
    ctx: JobContext,
    path: Path,
    name: str,
    facts: MediaFacts,
    frame: FrameFormat,
    start_s: float,
    frames: int,
    crf: int,
) -> None:
    from workers.media import common_form, ffmpeg, film_window

    seconds, cores, write = frames / frame.fps, threads(ctx, NEEDS), write_of(ctx, ".mp4", ".mkv")
    video, audio = film_window.window(path, name, facts, frame, start_s, seconds, cores)
    options = {"frames:v": frames, "c:a": "flac", **common_form.h264(frame, crf, cores)}
    job = ffmpeg.sink([video, audio], ctx.output(write), ffmpeg.MUXERS[Path(write).suffix.lower()], **options)
    made = ffmpeg.run(job, ctx, seconds=seconds, note=f"cutting {name}", name=name, threads=cores)
    if not made.frames:
        # ffmpeg ends with an error there, or well and without a picture, as its threads have it.
        raise BadInput(f"{name} cannot be decoded from {start_s:.1f} s on: not one picture came of it")
    if made.frames < frames:
        raise BadInput(
            f"{name} breaks off: {made.frames} of {frames} frames could be decoded from {start_s:.1f} s on"
        )
