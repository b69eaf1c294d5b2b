"""media.assemble: cuts joined in order. Cuts of one form are copied picture by picture; only the sound is
encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor.base.errors import BadInput, JobError
from conductor.base.files import paths
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.out_of_memory import cause_of
from workers.task_api.registry import task
from workers.task_api.run_program import ProgramFailed
from workers.task_api.toolkit import Args, is_reading, parse, shown, threads, write_of

if TYPE_CHECKING:
    from workers.media.common_form import FrameFormat
    from workers.media.probing import MediaFacts

NEEDS = Needs(cpu=1, ram_mib=512)
LIST = "parts.txt"


class AssembleArgs(Args, frozen=True, kw_only=True):
    #: In the order to join; default: all reads.
    segments: list[str] | None = None
    #: Segments that are not there are left out and named, instead of failing the job.
    allow_missing: bool = False
    crf: int = 20


@task("media.assemble", lane="cpu", needs=NEEDS, timeout_s=3600 * 4, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: segments (default: all reads, in order), allow_missing.

    Writes .mp4, .mov or .mkv. Result: {"segments", "missing", "frames", "duration_s", "picture": "copied" |
    "encoded", "changed"}; `changed`: what was done to pictures that were encoded again («a.mp4: tone-mapped
    from PQ»).
    """
    from workers.media import probing

    given = parse(args, AssembleArgs)
    present, missing = sorted_out(ctx, given)
    facts = [probing.film(path, name, is_reading(ctx, f"reading {name}")) for name, path in present]
    check_joinable([name for name, _ in present], facts)
    forms = {probing.form(path, name, fact) for (name, path), fact in zip(present, facts, strict=True)}
    files = [path for _, path in present]
    copied = join_alike(ctx, files, facts) if len(forms) == 1 else None
    return {
        "segments": len(present),
        "missing": missing,
        "frames": join(ctx, files, facts, given.crf) if copied is None else copied,
        "duration_s": round(seconds_of(facts), 3),
        "picture": "encoded" if copied is None else "copied",
        "changed": changes([name for name, _ in present], facts) if copied is None else [],
    }


def sorted_out(ctx: JobContext, given: AssembleArgs) -> tuple[list[tuple[str, Path]], list[str]]:
    """The segments that are there, as (name, file), and the paths of those that are not."""
    wanted = list(ctx.spec.reads) if given.segments is None else given.segments
    if undeclared := [path for path in wanted if path not in ctx.spec.reads]:
        raise BadInput(f"args.segments: {undeclared[0]!r} is not among the job's reads; list it there too")
    missing = [path for path in wanted if not paths.resolve(ctx.settings, path, for_writing=False).exists()]
    if missing and not given.allow_missing:
        raise BadInput(
            f"{len(missing)} of {len(wanted)} segments are missing, the first is {shown(missing[0])}"
        )
    present = [(shown(path), ctx.input(path)) for path in wanted if path not in missing]
    if not present:
        raise BadInput("there is nothing to assemble: not one segment is there")
    return present, missing


def check_joinable(names: Sequence[str], facts: Sequence[MediaFacts]) -> None:
    if len({f.has_audio for f in facts}) > 1:
        silent = next(name for name, f in zip(names, facts, strict=True) if not f.has_audio)
        raise BadInput(f"{silent} has no sound and others have: media.cut gives every segment a track")


def changes(names: Sequence[str], facts: Sequence[MediaFacts]) -> list[str]:
    from workers.media import common_form

    return [
        f"{name}: {what}"
        for name, fact in zip(names, facts, strict=True)
        for what in common_form.changes(fact)
    ]


def seconds_of(facts: Sequence[MediaFacts]) -> float:
    return sum(fact.ends_s for fact in facts)


def join_alike(ctx: JobContext, files: Sequence[Path], facts: Sequence[MediaFacts]) -> int | None:
    """By copying. None where that does not give the pictures that the segments show: the container cannot
    hold them, or segments were trimmed without encoding, and what they hide would be shown."""
    try:
        frames = written(ctx, listed(ctx, files, facts[0]), {"c:v": "copy"}, facts)
    except ProgramFailed as e:
        if cause_of(e.stderr, has_device=True) is not None:
            raise
        return None
    return frames if frames == sum(fact.frames or 0 for fact in facts) else None


def join(ctx: JobContext, files: Sequence[Path], facts: Sequence[MediaFacts], crf: int) -> int:
    """One file from many, all in the first one's form, and how many pictures were written."""
    from workers.media import common_form

    frame = frame_of(facts[0])
    return written(
        ctx,
        fitted(linked(ctx, files), facts, frame),
        common_form.h264(frame, crf, threads(ctx, NEEDS)),
        facts,
    )


def written(ctx: JobContext, streams: list[Any], options: dict[str, Any], facts: Sequence[MediaFacts]) -> int:
    """How many pictures came out."""
    from workers.media import ffmpeg

    seconds = seconds_of(facts)
    if facts[0].has_audio:
        options |= {"c:a": "aac", "b:a": "192k"}
    write = write_of(ctx, ".mp4", ".mov", ".mkv")
    muxer = ffmpeg.MUXERS[Path(write).suffix.lower()]
    if muxer != "matroska":
        options |= {"movflags": "+faststart"}
    job = ffmpeg.sink(streams[: 2 if facts[0].has_audio else 1], ctx.output(write), muxer, **options)
    note = f"joining {len(facts)} segments"
    made = ffmpeg.run(job, ctx, seconds=seconds, note=note, name="a segment", threads=threads(ctx, NEEDS))
    if seconds - made.seconds > max(1.0, seconds * 0.01):
        raise JobError(
            f"the segments are {seconds:.1f} s long and what came of them only {made.seconds:.1f} s"
        )
    return made.frames


def frame_of(first: MediaFacts) -> FrameFormat:
    """Of what is encoded again: the first one's, as it is shown, with even sides."""
    from workers.media.common_form import FrameFormat

    width, height = (max(2, side // 2 * 2) for side in first.shown_size)
    return FrameFormat(width=width, height=height, fps=first.fps if 1 <= first.fps <= 240 else 30.0)


def listed(ctx: JobContext, files: Sequence[Path], first: MediaFacts) -> list[Any]:
    """Picture and sound of the files behind one another, by a list that ffmpeg reads."""
    from workers.media import ffmpeg

    lines = ["ffconcat version 1.0", *(f"file {link.name}" for link in linked(ctx, files))]
    parts = ctx.scratch / LIST
    parts.write_text("\n".join(lines) + "\n", encoding="ascii")
    source = ffmpeg.source(parts, f="concat", containers=f"concat,{ffmpeg.CONTAINERS}")
    return [ffmpeg.stream(source, index) for index in (first.film, first.sound) if index is not None]


def linked(ctx: JobContext, files: Sequence[Path]) -> list[Path]:
    """A name of our own for each: a list cannot carry every name that a file may have, and a graph takes the
    same file under the same name twice for one input."""
    links = [ctx.scratch / f"part{number:05d}" for number in range(len(files))]
    for link, file in zip(links, files, strict=True):
        link.unlink(missing_ok=True)
        link.symlink_to(file)
    return links


def fitted(files: Sequence[Path], facts: Sequence[MediaFacts], frame: FrameFormat) -> list[Any]:
    """The same, with every picture brought into the first one's form. All files are open at once."""
    import ffmpeg as graph

    from workers.media import common_form, ffmpeg

    streams: list[Any] = []
    for file, fact in zip(files, facts, strict=True):
        source = ffmpeg.source(file, threads=1)
        video = common_form.progressive(ffmpeg.stream(source, fact.film), fact)
        # The last picture stays until the sound has ended.
        held_s = max(0.0, fact.ends_s - (fact.picture_s or 0.0))
        streams.append(common_form.picture(common_form.timed(video, frame.fps, hold_s=held_s), fact, frame))
        if fact.sound is not None:
            streams.append(common_form.sound(ffmpeg.stream(source, fact.sound), fact.ends_s))
    joined = graph.concat(*streams, v=1, a=int(facts[0].has_audio)).node
    return [joined[0], joined[1]]
