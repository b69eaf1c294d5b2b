"""What is wrong, and what is to come: alerts and schedules, as on the command line."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from conductor.app.web.answers import gives, json_answer
from conductor.app.web.rights import looks
from conductor.app.web.routes.overview import AWAY, stack_of
from conductor.app.workflow_lookup import available
from conductor.model.spec import Value
from conductor.record.journal import Journal
from conductor.views.alerts import AlertsNow, alerts_now
from conductor.views.schedules import ScheduleRow, schedule_rows

router = APIRouter()


class ScheduleList(Value, frozen=True, kw_only=True):
    """`now`: the ledger's clock."""

    now: float
    schedules: tuple[ScheduleRow, ...] = ()


@router.get(
    "/api/v1/alerts", dependencies=[Depends(looks)], responses={**gives(AlertsNow, "The alerts"), **AWAY}
)
async def alerts(request: Request) -> Response:
    """What is raised now, since when, what it says, its runbook; which channels are dead."""
    stack = stack_of(request)
    return json_answer(await stack.ask(lambda: alerts_now(stack.ledger)))


@router.get(
    "/api/v1/schedules",
    dependencies=[Depends(looks)],
    responses={**gives(ScheduleList, "The schedules"), **AWAY},
)
async def schedules(request: Request) -> Response:
    """All schedules of conductor.toml: how they stand, when they fire next, what came of them."""
    stack = stack_of(request)

    def told() -> ScheduleList:
        journal = Journal(stack.code.receipts_dir)
        rows = schedule_rows(stack.ledger, stack.schedules, journal, available(stack.code))
        return ScheduleList(now=stack.ledger.bell.now(), schedules=rows)

    return json_answer(await stack.ask_files(told))
