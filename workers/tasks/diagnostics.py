"""`diagnostics.echo` and `diagnostics.sleep`: to see that a system works, and how fast."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from conductor.base.errors import BadInput
from workers.task_api.context import JobContext, Stopped
from workers.task_api.registry import task

#: How often a sleeping job says how far it is.
_REPORT_EVERY_S = 0.2


@task("diagnostics.echo", lane="cpu", timeout_s=60.0)
def echo(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """Returns its args, and writes them to every output the line declares."""
    for output in ctx.spec.writes:
        ctx.output(output.path).write_text(str(args.get("text", "")), encoding="utf-8")
    return {"echo": dict(args)}


@task("diagnostics.sleep", lane="cpu", timeout_s=3600.0)
def sleep(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """Sleeps `seconds`, with progress."""
    seconds = args.get("seconds", 1.0)
    if not isinstance(seconds, int | float) or seconds < 0:
        raise BadInput(f"seconds: {seconds!r} is not a number of seconds")
    begin = time.monotonic()
    while (slept := time.monotonic() - begin) < seconds:
        ctx.progress(slept / seconds, f"{slept:.0f} of {seconds:g} s")
        if ctx.should_stop():
            raise Stopped("stopped while asleep")
        time.sleep(min(_REPORT_EVERY_S, seconds - slept))
    return {"slept_s": seconds}
