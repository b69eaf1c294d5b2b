"""media.master: the stretches of a film joined: pictures copied, sound brought to a loudness, encoded once.

Loudness by EBU R 128 in two passes: the first measures the whole, the second turns it up or down by one
number (ffmpeg's loudnorm, linear), so that nothing pumps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadOutput, JobError
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.run_program import ProgramFailed, run_program
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, threads, write_of
from workers.tasks.media_assemble import listed

NEEDS = Needs(cpu=1, ram_mib=512)
#: dBTP: what is left for a decoder's overshoot (EBU R 128 s2, for streaming).
PEAK = -1.5
#: LU: loudnorm goes over from one number to a moving one where the film has more range than that.
RANGE = 20
_MEASURED = re.compile(r"\{[^{}]*\"input_i\"[^{}]*\}")
#: The subtitles' form in each container.
TRACKS: Mapping[str, str] = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}


class MasterArgs(Args, frozen=True, kw_only=True):
    #: In the order to join; default: all reads but the subtitles.
    stretches: list[str] | None = None
    #: LUFS; None: as it is.
    loudness: Annotated[float, Meta(ge=-40, le=-5)] | None = -14.0
    #: As a track of their own.
    subtitles: str | None = None
    language: Annotated[str, Meta(pattern="^[a-z]{3}$")] = "und"


@task("media.master", lane="cpu", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: stretches (default: all reads, in order), loudness, subtitles, language.

    Writes .mp4, .mov or .mkv. Result: {"frames", "duration_s", "stretches", "loudness", "was"}: LUFS that the
    sound was brought to (None: silence, or as it was), and as it came.
    """
    from workers.media import ffmpeg, probing

    given = parse(args, MasterArgs)
    wanted = given.stretches or [read for read in ctx.spec.reads if read != given.subtitles]
    files = [ctx.input(read_of(ctx, read, 0, "stretches")) for read in wanted]
    facts = [
        probing.film(file, shown(read), is_reading(ctx, f"reading {shown(read)}"))
        for file, read in zip(files, wanted, strict=True)
    ]
    seconds, frames = sum(fact.ends_s for fact in facts), sum(fact.frames or 0 for fact in facts)
    write, cores = write_of(ctx, ".mp4", ".mov", ".mkv"), threads(ctx, NEEDS)
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    picture, sound = listed(ctx, files, facts[0])
    measured = None if given.loudness is None else measure(ctx, sound, given.loudness)
    if measured is not None and given.loudness is not None:
        sound = sound.filter("loudnorm", **aim(given.loudness), **measured, linear="true")
    # At 192 kHz it comes out of loudnorm.
    sound = sound.filter("aresample", 48_000)
    options: dict[str, Any] = {"c:v": "copy", "c:a": "aac", "b:a": "192k", "map_metadata": -1}
    if muxer != "matroska":
        options |= {"movflags": "+faststart"}
    streams = [picture, sound]
    if given.subtitles is not None:
        source = ffmpeg.source(
            ctx.input(read_of(ctx, given.subtitles, 0, "subtitles")), containers="srt,webvtt,ass"
        )
        streams.append(ffmpeg.stream(source, 0))
        options |= {"c:s": TRACKS[muxer], "metadata:s:s:0": f"language={given.language}"}
    job = ffmpeg.sink(streams, ctx.output(write), muxer, **options)
    made = ffmpeg.run(
        job, ctx, seconds=seconds, note="mastering", name="a stretch", threads=cores, part=(0.4, 1.0)
    )
    if made.frames != frames:
        raise BadOutput(f"the stretches have {frames} pictures, and {made.frames} were written")
    return {
        "frames": frames,
        "duration_s": round(seconds, 3),
        "stretches": len(files),
        "loudness": given.loudness if measured else None,
        "was": float(measured["measured_I"]) if measured else None,
    }


def aim(loudness: float) -> dict[str, float]:
    return {"I": loudness, "TP": PEAK, "LRA": RANGE}


def measure(ctx: JobContext, sound: Any, loudness: float) -> dict[str, str] | None:
    """What loudnorm has to know for its second pass; None: there is nothing but silence."""
    import ffmpeg as graph

    from workers.media import ffmpeg

    tried = sound.filter("loudnorm", **aim(loudness), print_format="json")
    argv = ffmpeg.arguments(graph.output(tried, "-", f="null"))
    lines: list[str] = []
    ctx.progress(0.0, "measuring the loudness")
    done = run_program(
        [ffmpeg.binary(), "-hide_banner", "-nostdin", "-nostats", *argv], ctx, on_line=lines.append
    )
    if done.returncode != 0:
        raise ProgramFailed(
            f"the sound cannot be measured: {done.stderr_tail.strip()[-300:]}", done.stderr_tail
        )
    found = _MEASURED.search("\n".join(lines))
    if found is None:
        raise JobError("ffmpeg said nothing of the loudness")
    said = json.loads(found[0])
    if said["input_i"] == "-inf" or float(said["input_i"]) <= -70:
        return None
    return {
        "measured_I": said["input_i"],
        "measured_TP": said["input_tp"],
        "measured_LRA": said["input_lra"],
        "measured_thresh": said["input_thresh"],
        "offset": said["target_offset"],
    }
