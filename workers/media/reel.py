"""Windows of films as one film: each window is encoded once, straight from its source and exact to the
picture, and all are joined by copying."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from conductor.base.errors import BadInput, JobError
from workers.media import common_form, ffmpeg, film_window

if TYPE_CHECKING:
    from workers.media.common_form import FrameFormat
    from workers.media.probing import MediaFacts
    from workers.task_api.context import JobContext

#: Of the work, what the windows are; the rest is joining them.
SHARE = 0.9


class ReelWindow(NamedTuple):
    """`frames` pictures of a film from `start_s` on; behind its last picture that one is held."""

    path: Path
    #: As the user knows it.
    name: str
    facts: MediaFacts
    start_s: float
    frames: int


def write(
    ctx: JobContext, windows: Sequence[ReelWindow], frame: FrameFormat, crf: int, target: Path, cores: int
) -> int:
    """How many pictures the film at `target` (.mp4) has. What is in between lies in the attempt's own folder
    and goes with it. Raises `BadInput` where a film breaks off."""
    parts = [_part(ctx, windows, number, frame, crf, cores) for number in range(len(windows))]
    names = ctx.scratch / "reel.txt"
    names.write_text("\n".join(["ffconcat version 1.0", *(f"file {part.name}" for part in parts)]) + "\n")
    source = ffmpeg.source(names, f="concat", containers=f"concat,{ffmpeg.CONTAINERS}")
    frames = sum(window.frames for window in windows)
    options = {"c:v": "copy", "c:a": "aac", "b:a": "192k", "movflags": "+faststart", "map_metadata": -1}
    job = ffmpeg.sink(
        [ffmpeg.stream(source, 0), ffmpeg.stream(source, 1)],
        target,
        "mp4",
        **options,
        **{"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact"},
    )
    note = f"joining {len(parts)} windows"
    made = ffmpeg.run(
        job, ctx, seconds=frames / frame.fps, note=note, name="a window", threads=cores, part=(SHARE, 1.0)
    )
    if made.frames != frames:
        raise JobError(f"the windows have {frames} pictures and what came of them {made.frames}")
    return frames


def _part(
    ctx: JobContext, windows: Sequence[ReelWindow], number: int, frame: FrameFormat, crf: int, cores: int
) -> Path:
    window, part = windows[number], ctx.scratch / f"window{number:05}.mkv"
    seconds = window.frames / frame.fps
    streams = film_window.window(
        window.path, window.name, window.facts, frame, window.start_s, seconds, cores
    )
    options = {"frames:v": window.frames, "c:a": "flac", **common_form.h264(frame, crf, cores)}
    made = ffmpeg.run(
        ffmpeg.sink(list(streams), part, "matroska", **options),
        ctx,
        seconds=seconds,
        note=f"window {number + 1} of {len(windows)}, of {window.name}",
        name=window.name,
        threads=cores,
        part=(SHARE * number / len(windows), SHARE * (number + 1) / len(windows)),
    )
    if made.frames < window.frames:
        raise BadInput(
            f"{window.name} breaks off: {made.frames} of {window.frames} pictures could be decoded from "
            f"{window.start_s:.1f} s on"
        )
    return part
