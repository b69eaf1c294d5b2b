"""media.stills: pictures of a film at intervals, and a contact sheet of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, is_reading, parse, read_of, shown, write_of

NEEDS = Needs(cpu=1, ram_mib=512)
JPEG = (".jpg", ".jpeg")


class StillsArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    width: Annotated[int, Meta(ge=32, le=3840, multiple_of=2)] = 320
    #: One each so many seconds, from the film's beginning on; None: spread over it, each in the middle of its
    #: part.
    every_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    #: The last write is a contact sheet; the others are the pictures, in order.
    sheet: bool = False
    #: On a sheet without pictures of their own.
    count: Annotated[int, Meta(ge=1, le=400)] = 12
    #: Of the sheet; None: as many as rows.
    columns: Annotated[int, Meta(ge=1, le=100)] | None = None


@task("media.stills", lane="cpu", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), width, every_s, sheet, count, columns.

    Writes a .jpg for each write but the sheet, and that. Result: {"at_s": [s], "changed", "outputs"}.
    """
    from workers.media import common_form, probing, small_pictures

    given = parse(args, StillsArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    facts = probing.film(path, name, is_reading(ctx, f"reading {name}"))
    writes = [output.path for output in ctx.spec.writes if output.path.lower().endswith(JPEG)]
    if not writes:
        write_of(ctx, *JPEG)
    own = writes[:-1] if given.sheet else writes
    count = len(own) or given.count
    at_s = instants(count, facts.picture_s or 0.0, given.every_s, name)
    targets = [ctx.output(write) for write in own] or [ctx.scratch / f"{n:04}.jpg" for n in range(count)]
    for number, (target, instant) in enumerate(zip(targets, at_s, strict=True)):
        part = 0.9 * number / count, 0.9 * (number + 1) / count
        small_pictures.still(ctx, path, name, facts, given.width, instant, target, part)
    if given.sheet:
        columns = given.columns or math.ceil(math.sqrt(count))
        small_pictures.sheet(ctx, targets, columns, ctx.output(writes[-1]))
    return {
        "at_s": at_s,
        "changed": common_form.changes(facts),
        "outputs": {write: {"width": given.width} for write in own},
    }


def instants(count: int, seconds: float, every_s: float | None, name: str) -> list[float]:
    """Raises `BadInput` where the film is over before the last of them."""
    found = [round((n + 0.5) * seconds / count if every_s is None else n * every_s, 3) for n in range(count)]
    if found[-1] > seconds:
        raise BadInput(f"{name} is {seconds:.1f} s long: it has no picture at {found[-1]:g} s")
    return found
