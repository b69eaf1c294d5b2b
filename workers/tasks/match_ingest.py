"""match.ingest: a film of a match from where it lies (a NAS) to scratch, its checksum held against the one
that came with it, and looked into: what is damaged is told before anything is worked out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, JobError, NoSpace
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, write_of


class IngestArgs(Args, frozen=True, kw_only=True):
    #: Which read to copy; default: the first.
    source: str | None = None
    #: What it has to be, where somebody wrote that down.
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


class DamagedFilm(BadInput):
    """Read without an error, and no whole film: it will not be one the next time."""

    is_lasting = True


@task("match.ingest", lane="io", needs=Needs(ram_mib=256), timeout_s=3600 * 6, stall_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), sha256. Copies it to the first write.

    Result: {"sha256", "bytes", "width", "height", "fps", "ends_s", "has_sound"}. A source that cannot be
    read, or whose copy has another checksum, is `task_error`: a NAS may be back in a minute.
    """
    from workers.media import probing
    from workers.tasks.files_publish import checksum, copied, understood

    given = parse(args, IngestArgs)
    path = read_of(ctx, given.source, 0)
    source, name, write = ctx.input(path), shown(path), write_of(ctx)
    try:
        with ctx.read(path) as file, ctx.create(write) as target:
            sha256, size = copied(file, target, ctx, name)
            is_same = checksum(target, ctx, name) == sha256
    except OSError as e:
        fault = understood(e, source, name)
        raise (
            fault if isinstance(fault, NoSpace) else JobError(f"{name} could not be read: {e.strerror}")
        ) from e
    if not is_same:
        raise JobError(f"{name}: the copy on scratch reads back differently from what was written")
    if given.sha256 is not None and given.sha256 != sha256:
        raise JobError(
            f"{name} has the checksum {sha256[:12]}…, the file beside it says {given.sha256[:12]}…: copy it "
            "to the NAS again"
        )
    try:
        facts = probing.film(ctx.output(write), name, is_reading(ctx, f"reading {name}"))
    except BadInput as e:
        raise DamagedFilm(str(e)) from None
    return {
        "sha256": sha256,
        "bytes": size,
        "width": facts.width,
        "height": facts.height,
        "fps": facts.fps,
        "ends_s": round(facts.ends_s, 3),
        "has_sound": facts.has_audio,
    }
