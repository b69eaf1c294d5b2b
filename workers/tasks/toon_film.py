"""toon.film: the pieces of a script joined in order, and looked at once more as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, BadOutput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, parse, write_of
from workers.tasks import media_master

NEEDS = Needs(cpu=1, ram_mib=512)


class FilmArgs(Args, frozen=True, kw_only=True):
    #: In the order to join: one of the reads each.
    segments: Annotated[list[str], Meta(min_length=1)]
    #: Pictures of each, and whether it has a sound.
    frames: list[int]
    heard: list[bool]
    #: LUFS of the whole; None: as it is.
    loudness: float | None = -14.0


@task("toon.film", lane="cpu", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: segments, frames and heard of each, loudness.

    Writes .mp4, .mov or .mkv. Result: {"frames", "duration_s", "scenes", "loudness", "faults"}: scenes that a
    person should look at, in words; those of no use fail the job as `bad_output`.
    """
    from workers.media import picture_faults

    given = parse(args, FilmArgs)
    if not len(given.segments) == len(given.frames) == len(given.heard):
        raise BadInput("args: segments, frames and heard tell of the same scenes, one each")
    joined = media_master.run({"stretches": given.segments, "loudness": given.loudness}, ctx) or {}
    write = write_of(ctx, ".mp4", ".mov", ".mkv")
    ctx.progress(0.95, "looking at the film")
    bad, unsure = list[str](), list[str]()
    # A person has said of these that they are as they should be.
    by_id = {job_id: bool(ctx.verdicts(job_id)) for job_id in ctx.spec.after}
    accepted = {n for n, path in enumerate(given.segments, 1) if by_id.get(PurePosixPath(path).stem)}
    looks = picture_faults.look(ctx.output(write), "the film", given.frames)
    for number, (seen, wanted, is_heard) in enumerate(zip(looks, given.frames, given.heard, strict=True), 1):
        if seen.frames != wanted:
            bad.append(f"scene {number} has {seen.frames} pictures instead of {wanted}")
        if number in accepted:
            continue
        worse, doubtful = seen.faults(is_heard=is_heard)
        bad += [f"scene {number}: {words}" for words in worse]
        unsure += [f"scene {number}: {words}" for words in doubtful]
    if bad:
        raise BadOutput(f"the film is not what its script says: {'; '.join(bad)}")
    if unsure:
        ctx.needs_review([{"words": words, "clip": write} for words in unsure[:50]])
    return {
        "frames": joined["frames"],
        "duration_s": joined["duration_s"],
        "scenes": len(given.segments),
        "loudness": joined["loudness"],
        "faults": unsure,
    }
