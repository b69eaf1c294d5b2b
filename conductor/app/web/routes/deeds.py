"""What was done lately, by whom, and the way back from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from conductor.app.web.answers import NotThere, Problem, gives, json_answer
from conductor.app.web.deeds import Deed, DeedBook, GoBack, GoneBack
from conductor.app.web.rights import Visitor, acts, looks
from conductor.app.web.routes.overview import AWAY, stack_of
from conductor.app.web.stack import Stack
from conductor.base.logs.events import emit_event
from conductor.base.text import many
from conductor.model.spec import Value
from conductor.record.journal import Journal
from conductor.recovery.job_actions import ActedJob, JobVerb
from conductor.recovery.operator_commands import JobCommand
from conductor.recovery.way_back import WayBack, take_back, way_back

#: Of an answer: the number of the deed that it answers.
HEADER = "X-Deed"

router = APIRouter()


class DeedList(Value, frozen=True, kw_only=True):
    """`now`: the ledger's clock. The latest deed first."""

    now: float
    deeds: tuple[Deed, ...] = ()


class DeedTakenBack(Value, frozen=True, kw_only=True):
    words: str


def book_of(request: Request) -> DeedBook:
    return request.app.state.deeds


@router.get("/api/v1/deeds", dependencies=[Depends(looks)], responses={**gives(DeedList, "Deeds"), **AWAY})
async def deeds(request: Request) -> Response:
    """What somebody did through this process since it began, and what a way back would do, where there is
    one."""
    stack = stack_of(request)
    now = await stack.ask(stack.ledger.bell.now)
    return json_answer(DeedList(now=now, deeds=book_of(request).latest()))


@router.post(
    "/api/v1/deeds/{number}/back",
    responses={**gives(DeedTakenBack, "Done"), **gives(Problem, "No such deed is remembered", 404)},
)
async def back(request: Request, number: int, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """Take it back. Each job is looked at again: what somebody else has acted on meanwhile is left."""
    stack, book = stack_of(request), book_of(request)
    deed = next((deed for deed in book.latest() if deed.number == number), None)
    if deed is None:
        raise NotThere(f"deed {number} is not remembered: the web process has begun anew, or it is long ago")
    words = await stack.ask_files(lambda: book.take_back(number, who.name))
    emit_event("operator.took_back", "{who}: took back «{what}»", who=who.name, what=deed.words)
    return json_answer(DeedTakenBack(words=words))


def told_of(deed: Deed) -> dict[str, str]:
    """For the answer to who acted: which deed it is."""
    return {HEADER: str(deed.number)}


def note_jobs(
    request: Request,
    who: Visitor,
    words: str,
    verb: JobVerb | JobCommand,
    acted: Sequence[ActedJob],
    priorities: Mapping[str, int] | None = None,
) -> Deed:
    """Of jobs. `priorities`: the own ones, from before. It asks the ledger what time it is."""
    stack, way = stack_of(request), way_back(verb, acted, priorities)
    now = stack.ledger.bell.now()
    if way is None:
        return book_of(request).note(now, who.name, words)
    return book_of(request).note(now, who.name, words, way.words, _of_jobs(stack, way), len(way.jobs))


def note_switch(
    request: Request, who: Visitor, words: str, back: str, go_back: Callable[[str], object]
) -> Deed:
    """Of what is on or off. `go_back` is for the one who is named, and changes nothing where it is so
    already."""

    def gone(whom: str) -> GoneBack:
        go_back(whom)
        return GoneBack(f"Taken back: {back[0].lower()}{back[1:]}")

    return book_of(request).note(stack_of(request).ledger.bell.now(), who.name, words, back, gone)


def _of_jobs(stack: Stack, way: WayBack) -> GoBack:
    def go_back(who: str) -> GoneBack:
        taken, rest = take_back(stack.ledger, Journal(stack.code.receipts_dir), way, who)
        said = f"Taken back for {many(taken, 'job')}."
        if rest is None:
            return GoneBack(said)
        open_yet = f"{many(len(rest.jobs), 'job')} must stop first: take it back again in a moment."
        return GoneBack(f"{said} {open_yet}", _of_jobs(stack, rest))

    return go_back
