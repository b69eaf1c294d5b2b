"""Jobs by a filter: the list of them, and the operator's word on all of them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from conductor.app.web.answers import Problem, gives, json_answer, problem, takes
from conductor.app.web.body import sent
from conductor.app.web.lookout import Seen
from conductor.app.web.rights import Visitor, acts, looks
from conductor.app.web.routes.deeds import note_jobs, told_of
from conductor.app.web.routes.overview import WAIT_S, stack_of
from conductor.app.web.stack import FEED_EVERY_S, Stack
from conductor.base.errors import Unreachable, UsageError
from conductor.base.logs.events import emit_event
from conductor.base.moments import moment_reader
from conductor.base.text import many
from conductor.model.causes import CAUSES
from conductor.model.grouped_by import GroupedBy
from conductor.model.job_filter import QUALIFIERS, FilterError, JobFilter, parse_filter
from conductor.model.job_row import JobPage, JobSums
from conductor.model.spec import Value
from conductor.record.journal import Journal
from conductor.recovery.job_actions import (
    BATCH,
    ActedJob,
    ActionResult,
    JobVerb,
    act_on,
    refuse_unmeant,
)
from conductor.views.meant_jobs import ids_meant

MOST_BYTES = 64 << 10
SHOWN_IDS = 20
#: What came to pass since the last feed is waited for so long; behind a million jobs a feed takes longer, and
#: who asks again has it then. States are those of the ledger at any time.
FEED_WAIT_S = 0.04
BEING_READ = "the record is being read for the first time since this process began: this is as far as it is"
#: Who types does not wait for the very last name.
WORDS_AGE_S = 30.0

router = APIRouter()


class BulkAction(Value, frozen=True, kw_only=True):
    """`count`: as many as were shown to the one who acts; without it nothing is done, and it is said how many
    there are."""

    action: JobVerb
    filter: str
    priority: int | None = None
    count: int | None = None


class BulkCount(Value, frozen=True, kw_only=True):
    """So many it would be done to, and the first few of them."""

    action: JobVerb
    filter: str
    count: int
    ids: tuple[str, ...] = ()


class FilterWords(Value, frozen=True, kw_only=True):
    """`names`: qualifier → names → jobs; `causes`: all that there can be."""

    qualifiers: tuple[str, ...]
    causes: tuple[str, ...]
    names: dict[str, dict[str, int]] = {}


def feed_wait_s(seen: Seen[bool]) -> float:
    """The first feed is waited for, from its beginning on: whoever asks while it goes on for longer has what
    is there so far."""
    return FEED_WAIT_S if seen.age_s is not None else max(FEED_WAIT_S, WAIT_S - seen.silent_s)


def filter_of(words: str) -> JobFilter:
    """Raises `UsageError`."""
    try:
        return parse_filter(words, moment_reader())
    except FilterError as e:
        raise UsageError(str(e)) from None


@router.get(
    "/api/v1/jobs",
    dependencies=[Depends(looks)],
    responses=gives(JobPage, "A page of jobs, the latest first"),
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}, "description": f"As `{name}:` in q"}
            for name in QUALIFIERS
        ]
    },
)
async def jobs(
    request: Request,
    q: Annotated[str, Query(description="As `conductor jobs`: state:dead since:18:00")] = "",
    cursor: Annotated[str, Query(description="Where the page before ended")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """What `conductor jobs --json` says; without Redis what the record says."""
    stack = stack_of(request)
    given = ((name, value) for name in QUALIFIERS for value in request.query_params.getlist(name))
    wanted = filter_of(" ".join([q, *(f"{name}:{value}" for name, value in given)]))
    seen = await stack.records.fresh(FEED_EVERY_S, feed_wait_s(stack.records.seen()))

    def page() -> JobPage:
        try:
            return stack.jobs.page(wanted, limit, cursor)
        except Unreachable:
            return stack.recorded_jobs.page(wanted, limit, cursor)

    found = await stack.ask_files(page)
    being_read = (BEING_READ,) if seen.age_s is None and not seen.fault else ()
    notes = (*found.notes, *being_read, *((seen.fault,) if seen.fault else ()))
    return json_answer(msgspec.structs.replace(found, notes=notes))


@router.get("/api/v1/sums", dependencies=[Depends(looks)], responses=gives(JobSums, "What they come to"))
async def sums(
    request: Request,
    q: Annotated[str, Query(description="As `conductor jobs`")] = "",
    by: Annotated[GroupedBy | None, Query(description="Also by groups of these, the largest first")] = None,
) -> Response:
    """How many jobs a filter means, how long their last attempts ran, on devices too; as the index has
    them."""
    stack, wanted = stack_of(request), filter_of(q)
    await stack.records.fresh(FEED_EVERY_S, feed_wait_s(stack.records.seen()))
    return json_answer(await stack.ask_files(lambda: stack.jobs.index.sums(wanted, by)))


@router.get(
    "/api/v1/filter-words", dependencies=[Depends(looks)], responses=gives(FilterWords, "What there is")
)
async def filter_words(request: Request) -> Response:
    """The words of the job filter, and the names that there are for them: what a search completes."""
    stack = stack_of(request)
    await stack.records.fresh(WORDS_AGE_S, WAIT_S)
    names = await stack.ask_files(stack.jobs.names)
    return json_answer(FilterWords(qualifiers=QUALIFIERS, causes=tuple(CAUSES), names=names))


@router.post(
    "/api/v1/bulk",
    responses={
        **gives(ActionResult, "Done"),
        **gives(Problem, "There are others now than were counted", 409),
    },
    openapi_extra=takes(BulkAction),
)
async def bulk(request: Request, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """cancel, retry, requeue, drop or priority, of all that a filter means: first counted, then done."""
    stack = stack_of(request)
    try:
        asked = msgspec.json.decode(await sent(request, MOST_BYTES), type=BulkAction)
    except msgspec.DecodeError:
        raise HTTPException(400, "send {action, filter, priority, count} as JSON") from None
    wanted = filter_of(asked.filter)
    refuse_unmeant(asked.action, wanted, asked.priority)
    ids = await stack.ask_files(lambda: meant(stack, asked.action, wanted))
    if asked.count is None:
        first = tuple(ids[:SHOWN_IDS])
        return json_answer(BulkCount(action=asked.action, filter=asked.filter, count=len(ids), ids=first))
    if asked.count != len(ids):
        return problem(f"{asked.count:,} were counted, and now it is {len(ids):,}: look again", 409, 1)
    result, deed = await stack.ask(lambda: acted_on(request, who, asked, wanted, ids))
    words = "{who}: {what} of {jobs} jobs"
    emit_event("operator.acted_on_many", words, who=who.name, what=asked.action, jobs=result.taken)
    return json_answer(result, headers=deed)


def acted_on(
    request: Request, who: Visitor, asked: BulkAction, wanted: JobFilter, ids: list[str]
) -> tuple[ActionResult, dict[str, str]]:
    """And the headers that say which deed it was; it is noted also where Redis went away in its middle."""
    stack, acted, verb = stack_of(request), list[ActedJob](), asked.action
    priorities = priorities_of(stack, ids) if verb == "priority" else {}
    deed: dict[str, str] = {}
    try:
        result = act_on(
            stack.ledger, Journal(stack.code.receipts_dir), verb, ids, wanted, who=who.name,
            priority=asked.priority, on_acted=acted.extend,
        )  # fmt: skip
    finally:
        if acted:
            number = "" if asked.priority is None else f" {asked.priority}"
            words = f"{verb}{number} of {many(len(acted), 'job')}: {asked.filter}"
            deed = told_of(note_jobs(request, who, words, verb, acted, priorities))
    return result, deed


def priorities_of(stack: Stack, ids: list[str]) -> dict[str, int]:
    """Their own ones, as the record has them."""
    found: dict[str, int] = {}
    for first in range(0, len(ids), BATCH):
        rows = stack.jobs.index.rows_of(ids[first : first + BATCH])
        found |= {job_id: row.priority for job_id, row in rows.items()}
    return found


def meant(stack: Stack, verb: JobVerb, wanted: JobFilter) -> list[str]:
    """As of now: what is old by a second is not acted on."""
    stack.jobs.refresh()
    return ids_meant(stack.jobs, verb, wanted)
