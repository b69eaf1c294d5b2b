"""media.probe: what a video file holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import to_builtins

from conductor.model.spec import Needs
from workers.media.probing import Check
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, read_of, shown, threads, write_of

NEEDS = Needs(cpu=1, ram_mib=256)


class ProbeArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    #: header: open it; packets: read to the end and decode the first picture; frames: decode all of it.
    check: Check = "packets"


@task("media.probe", lane="io", needs=NEEDS, timeout_s=3600, stall_s=300)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: source (default: the first read), check (header, packets, frames).

    Writes `MediaFacts` as JSON to its first write, if it has one. Result: the same facts without the list of
    streams.
    """
    from workers.media import probing

    given = parse(args, ProbeArgs)
    read = read_of(ctx, given.source, 0)
    name = shown(read)

    def advance(share: float) -> None:
        leave_if_told(ctx)
        ctx.progress(share, f"reading {name}")

    facts = probing.probe(
        ctx.input(read), name, check=given.check, on_progress=advance, threads=threads(ctx, NEEDS)
    )
    values: dict[str, Any] = to_builtins(facts)
    if ctx.spec.writes:
        ctx.output(write_of(ctx)).write_bytes(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
    return {key: value for key, value in values.items() if key != "streams"}
