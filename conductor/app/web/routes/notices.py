"""What is wrong, and what is to come: alerts and schedules, as on the command line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from conductor.app.web.answers import NotThere, Problem, gives, json_answer
from conductor.app.web.command_runs import answered, run_command
from conductor.app.web.rights import Visitor, acts, looks
from conductor.app.web.routes.deeds import note_switch, told_of
from conductor.app.web.routes.overview import AWAY, stack_of
from conductor.app.web.stack import Stack
from conductor.app.workflow_lookup import available
from conductor.base.errors import UsageError
from conductor.base.logs.events import emit_event
from conductor.model.spec import Value
from conductor.record.journal import Journal
from conductor.recovery.notice_commands import (
    AlertSilence,
    SchedulePaused,
    known_schedule,
    pause_schedule,
    silence_rule,
)
from conductor.recovery.operator_commands import BacklogPaused, known_backlogs, set_backlog_paused
from conductor.views.alerts import AlertsNow, alerts_now
from conductor.views.schedules import ScheduleRow, schedule_rows

SILENT_S = 7200.0
FIRED: dict[int | str, dict[str, Any]] = {
    200: {"description": "What `conductor schedule run --json` says", "content": {"application/json": {}}},
    **gives(Problem, "There is no such schedule", 404),
}

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


# ── the operator's word ───────────────────────────────────────────────────────────────────────────────────


@router.post("/api/v1/schedules/{name}/run", responses=FIRED)
async def run_schedule(request: Request, name: str, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """Fire it now, and answer when it has been dispatched; `exit_code` 1: it failed."""
    stack = stack_of(request)
    refuse_unknown(stack, name)
    found = await run_command(stack.code.project, "schedule", "run", name, "--json")
    tell(who, "run", name)
    return answered(found)


@router.post(
    "/api/v1/schedules/{name}/{word}",
    responses={**gives(SchedulePaused, "As it is now"), **gives(Problem, "There is no such schedule", 404)},
)
async def pause(
    request: Request, name: str, word: Literal["pause", "resume"], who: Annotated[Visitor, Depends(acts)]
) -> Response:
    """Leave its fires out until it is resumed; they are counted, and not made up for."""
    stack = stack_of(request)
    refuse_unknown(stack, name)
    is_paused = word == "pause"

    def paused(is_on: bool) -> SchedulePaused:
        return pause_schedule(stack.ledger, stack.code.receipts_dir, name, is_on)

    def taken() -> tuple[SchedulePaused, dict[str, str]]:
        done = paused(is_paused)
        back = f"The schedule {name} {'fires again' if is_paused else 'is paused again'}."
        words = f"{word} the schedule {name}"
        return done, told_of(note_switch(request, who, words, back, lambda _: paused(not is_paused)))

    done, deed = await stack.ask_files(taken)
    tell(who, word, name)
    return json_answer(done, headers=deed)


@router.post(
    "/api/v1/backlogs/{name}/{word}",
    responses={**gives(BacklogPaused, "As it is now"), **gives(Problem, "There is no such backlog", 404)},
)
async def pause_backlog(
    request: Request, name: str, word: Literal["pause", "resume"], who: Annotated[Visitor, Depends(acts)]
) -> Response:
    """Start nothing of it until it is resumed; what runs of it is finished."""
    stack = stack_of(request)
    is_paused = word == "pause"
    known = await stack.ask(lambda: known_backlogs(stack.ledger))
    if name not in known:
        raise NotThere(f"no backlog is called {name} (there are: {', '.join(known) or 'none'})")

    def paused(is_on: bool) -> bool:
        return set_backlog_paused(stack.ledger, stack.code.receipts_dir, name, is_on)

    def taken() -> tuple[bool, dict[str, str]]:
        was_paused = paused(is_paused)
        back = f"The backlog {name} {'is fed again' if is_paused else 'is paused again'}."
        words = f"{word} the backlog {name}"
        return was_paused, told_of(note_switch(request, who, words, back, lambda _: paused(not is_paused)))

    was_paused, deed = await stack.ask_files(taken)
    words = "{who}: {what} the backlog {backlog}"
    emit_event("operator.acted_on_backlog", words, who=who.name, what=word, backlog=name)
    found = BacklogPaused(backlog=name, is_paused=is_paused, was_paused=was_paused)
    return json_answer(found, headers=deed)


def refuse_unknown(stack: Stack, name: str) -> None:
    try:
        known_schedule(stack.schedules, name)
    except UsageError as e:
        raise NotThere(str(e)) from None


def tell(who: Visitor, word: str, name: str) -> None:
    words = "{who}: {what} the schedule {schedule}"
    emit_event("operator.acted_on_schedule", words, who=who.name, what=word, schedule=name)


@router.post("/api/v1/alerts/{rule}/silence", responses=gives(AlertSilence, "Until when"))
async def silence(
    request: Request,
    rule: str,
    who: Annotated[Visitor, Depends(acts)],
    for_s: Annotated[float, Query(description="Seconds; 0 takes a silence back")] = SILENT_S,
) -> Response:
    """Tell nobody of a rule for a while. It is judged all the same, and said afterwards if it is still so."""
    stack = stack_of(request)

    def silenced(seconds: float, whom: str) -> AlertSilence:
        return silence_rule(stack.ledger, stack.code.receipts_dir, rule, seconds, whom)

    def taken() -> tuple[AlertSilence, dict[str, str]]:
        done = silenced(for_s, who.name)
        if not for_s:
            return done, {}
        back = f"People are told of {rule} again."
        words = f"silence {rule} for {for_s:g} s"
        return done, told_of(note_switch(request, who, words, back, lambda whom: silenced(0.0, whom)))

    done, deed = await stack.ask_files(taken)
    words = "{who}: silence {rule} for {seconds:g} s"
    emit_event("operator.silenced", words, who=who.name, rule=rule, seconds=for_s)
    return json_answer(done, headers=deed)
