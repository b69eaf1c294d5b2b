"""What would come of a change, before anybody makes it: `conductor what-if` in a process of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from conductor.analysis.what_if import ChangedEnds
from conductor.app.web.answers import Problem, gives
from conductor.app.web.command_runs import answered, ask_command
from conductor.app.web.rights import looks
from conductor.app.web.routes.job_lists import filter_of
from conductor.app.web.routes.overview import stack_of
from conductor.base.errors import UsageError

router = APIRouter()


@router.get(
    "/api/v1/what-if",
    dependencies=[Depends(looks)],
    responses={
        **gives(ChangedEnds, "The new time of the end"),
        **gives(Problem, "Somebody else asks, or it takes too long to work out", 503),
    },
)
async def what_if(
    request: Request,
    q: Annotated[str, Query(description="With a priority: which jobs, as `conductor jobs`")] = "",
    priority: Annotated[int | None, Query(ge=-1000, le=1000, description="Of these jobs")] = None,
    gpus: Annotated[int, Query(ge=0, le=64, description="So many more")] = 0,
    scratch_gb: Annotated[int, Query(ge=0, le=1_000_000, description="So much more on each host")] = 0,
    quota: Annotated[float, Query(ge=0.01, le=1000, description="So many times that of each API")] = 1.0,
    hosts: Annotated[int, Query(ge=0, le=64, description="So many more CPU hosts")] = 0,
    pilots: Annotated[int, Query(ge=0, le=64, description="So many more of each engine with pilots")] = 0,
    pause: Annotated[str, Query(description="NAME of a backlog, as if it were paused")] = "",
    all_hours: Annotated[bool, Query(description="As if no hours held anything back")] = False,
) -> Response:
    """What waits is played through as it is, and with the change. Nothing is done. One question at a time,
    and thirty seconds at most."""
    amounts = {"gpus": gpus, "scratch-gb": scratch_gb, "hosts": hosts, "pilots": pilots}
    words = [
        *((f"--priority={priority}",) if priority is not None else ()),
        *(f"--{name}={amount}" for name, amount in amounts.items() if amount),
        *((f"--quota={quota}",) if quota != 1.0 else ()),
        *((f"--pause=backlog:{pause}",) if pause else ()),
        *("--all-hours",) * all_hours,
    ]
    if not words:
        raise UsageError("say what would be different: a priority and a filter, GPUs, a pause, all hours …")
    if (priority is None) != filter_of(q).is_empty:
        raise UsageError("a priority and a filter go together")
    words += ("--", q) if q.strip() else ()
    return answered(await ask_command(stack_of(request).code.project, "what-if", "--json", *words))
