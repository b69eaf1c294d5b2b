"""What waits for a person's verdict, and the verdict."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from conductor.app.web.answers import Problem, gives, json_answer, problem, takes
from conductor.app.web.body import sent
from conductor.app.web.rights import Visitor, acts, looks
from conductor.app.web.routes.job_lists import filter_of
from conductor.app.web.routes.jobs import UNKNOWN, job_of
from conductor.app.web.routes.overview import WAIT_S, stack_of
from conductor.app.web.stack import FEED_EVERY_S
from conductor.model.spec import Value
from conductor.recovery.verdicts import VerdictTaken
from conductor.views.review_list import ReviewPage, review_page

MOST_BYTES = 64 << 10

router = APIRouter()


class VerdictGiven(Value, frozen=True, kw_only=True):
    """`items`: numbers from 1, as the list has them; none: all that are open. `note`: why."""

    is_accepted: bool
    note: str = ""
    items: tuple[int, ...] = ()


@router.get(
    "/api/v1/review/pending",
    dependencies=[Depends(looks)],
    responses=gives(ReviewPage, "What waits for a verdict"),
)
async def reviews(
    request: Request,
    q: Annotated[str, Query(description="As `conductor jobs`; states do not matter")] = "",
    cursor: Annotated[str, Query(description="Where the page before ended")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """What `conductor review --json` says. Pictures and clips: `/api/v1/jobs/{job}/artefacts/{path}`."""
    stack, wanted = stack_of(request), filter_of(q)
    await stack.records.fresh(FEED_EVERY_S, WAIT_S)
    page = await stack.ask_files(lambda: review_page(stack.jobs, stack.ledger, wanted, limit, cursor))
    return json_answer(page)


@router.post(
    "/api/v1/review/{job_id}",
    responses={
        **gives(VerdictTaken, "Taken"),
        **gives(Problem, "Somebody was first, or the job waits for no verdict", 409),
        **UNKNOWN,
    },
    openapi_extra=takes(VerdictGiven),
)
async def judge(request: Request, job_id: str, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """Accept what a job shows, or reject it. On each item the first word stands."""
    stack = stack_of(request)
    try:
        given = msgspec.json.decode(await sent(request, MOST_BYTES), type=VerdictGiven)
    except msgspec.DecodeError:
        raise HTTPException(400, "send {is_accepted, note, items} as JSON") from None

    def taken() -> VerdictTaken:
        view = job_of(stack, job_id)
        return stack.desk.judge(view, given.is_accepted, who.name, given.note, given.items)

    found = await stack.ask(taken)
    if not found.taken:
        return problem(f"{found.job_id}: {found.kept}", 409, 1)
    return json_answer(found)
