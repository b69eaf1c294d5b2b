"""One job: its story, what it printed, its files, and the word on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from conductor.app.web.answers import NotThere, Problem, gives, json_answer
from conductor.app.web.artefacts import artefact, files_of_job
from conductor.app.web.log_stream import LogStream
from conductor.app.web.rights import Visitor, acts, looks
from conductor.app.web.routes.deeds import note_jobs, told_of
from conductor.app.web.routes.overview import stack_of
from conductor.app.web.stack import Stack
from conductor.base.errors import UsageError
from conductor.base.logs.events import emit_event
from conductor.base.text import printable
from conductor.model.ledger_entries import JobView
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.recovery.job_actions import ActedJob
from conductor.recovery.operator_commands import (
    CommandTaken,
    JobCommand,
    cause_of_a_fault,
    take_command,
)
from conductor.views.explain_job import Story, explained
from conductor.views.job_log import PrintedByAttempt, as_text, lines_printed, printed_of, stderr_lines

#: Of what one body printed, the end.
MOST_LOG_BYTES = 1 << 20
UNKNOWN = gives(Problem, "No job has that id", 404)

router = APIRouter()


class PrintedText(Value, frozen=True, kw_only=True):
    """What one body printed. `body`: its attempt, and its token; `left_out`: bytes before the text;
    `stderr_lines`: which of its lines, from 0, were written to stderr."""

    body: str
    at: float
    left_out: int
    text: str
    stderr_lines: tuple[int, ...] = ()


class PrintedLog(Value, frozen=True, kw_only=True):
    job_id: str
    bodies: tuple[PrintedText, ...] = ()


class JobFiles(Value, frozen=True, kw_only=True):
    """Names for `/artefacts/`: what the job reads, and what it made."""

    job_id: str
    files: tuple[str, ...] = ()


def job_of(stack: Stack, job_id: str) -> JobView:
    """By its id, or the first letters of it. Raises `NotThere`."""
    view = stack.ledger.jobs.job(job_id)
    if view is not None:
        return view
    found = stack.ledger.jobs.find(job_id, limit=2) if job_id else ()
    if len(found) > 1:
        raise UsageError(f"{job_id} could be more than one job: give more letters")
    view = stack.ledger.jobs.job(found[0]) if found else None
    if view is None:
        raise NotThere(f"no job's id begins with {job_id}")
    return view


@router.get(
    "/api/v1/jobs/{job_id}", dependencies=[Depends(looks)], responses={**gives(Story, "One job"), **UNKNOWN}
)
async def job(request: Request, job_id: str) -> Response:
    """What `conductor explain --json` says: where it is, why, every gate, every attempt."""
    stack = stack_of(request)

    def told() -> Story:
        return explained(stack.ledger, job_of(stack, job_id), stack.jobs.index, stack.code.logs_dir)

    return json_answer(await stack.ask(told))


@router.get(
    "/api/v1/jobs/{job_id}/log",
    dependencies=[Depends(looks)],
    responses={**gives(PrintedLog, "Its words"), **UNKNOWN},
)
async def log(
    request: Request,
    job_id: str,
    as_text: Annotated[bool, Query(alias="text", description="Plain text instead of JSON")] = False,
    follow: Annotated[bool, Query(description="Server-sent events, a ToldLine each, to its `end`")] = False,
) -> Response:
    """What its bodies printed, the oldest first; of each the end. Control characters are written out."""
    stack = stack_of(request)
    if follow:
        return LogStream(request, stack, (await stack.ask(lambda: job_of(stack, job_id))).job_id)

    def printed() -> PrintedLog:
        view = job_of(stack, job_id)
        logs = stack.code.logs_dir
        bodies = tuple(printed_text(each, logs, view.job_id) for each in printed_of(logs, view.job_id))
        return PrintedLog(job_id=view.job_id, bodies=bodies)

    found = await stack.ask_files(printed)
    if not as_text:
        return json_answer(found)
    lines = (printable(line) for body in found.bodies for line in body.text.split("\n"))
    return Response("\n".join(lines), media_type="text/plain; charset=utf-8")


def printed_text(printed: PrintedByAttempt, logs_dir: Path, job_id: str) -> PrintedText:
    """Of one that runs too, as far as it is: who follows no stream sees it grow."""
    facts = Path(printed.file).stat()
    left_out = max(0, printed.bytes - MOST_LOG_BYTES)
    lines = lines_printed(printed, logs_dir, job_id, MOST_LOG_BYTES)
    return PrintedText(
        body=printed.body,
        at=facts.st_mtime,
        left_out=left_out,
        text=as_text(lines),
        stderr_lines=stderr_lines(lines),
    )


@router.get(
    "/api/v1/jobs/{job_id}/artefacts", dependencies=[Depends(looks)], responses=gives(JobFiles, "Names")
)
async def artefacts(request: Request, job_id: str) -> Response:
    stack = stack_of(request)
    view, known = await stack.ask(lambda: known_files(stack, job_id))
    return json_answer(JobFiles(job_id=view.job_id, files=known))


def known_files(stack: Stack, job_id: str) -> tuple[JobView, tuple[str, ...]]:
    view = job_of(stack, job_id)
    return view, files_of_job(view, stack.jobs.index.receipts_of(view.job_id))


@router.get("/api/v1/jobs/{job_id}/artefacts/{name:path}", dependencies=[Depends(looks)])
async def one_artefact(request: Request, job_id: str, name: str) -> Response:
    """The file itself, or a range of it."""
    stack = stack_of(request)
    _, known = await stack.ask(lambda: known_files(stack, job_id))
    return await artefact(stack, known, name, request.headers.get("range", ""))


@router.post(
    "/api/v1/jobs/{job_id}/{word}", responses={**gives(CommandTaken, "Taken, or why not"), **UNKNOWN}
)
async def command(
    request: Request,
    job_id: str,
    word: JobCommand,
    who: Annotated[Visitor, Depends(acts)],
    cause: Annotated[str, Query(description="What a job that is failed counts as")] = "task_error",
) -> Response:
    """cancel, fail, requeue or retry, as on the command line."""
    stack = stack_of(request)

    def taken() -> tuple[CommandTaken, str, dict[str, str]]:
        known, view = cause_of_a_fault(cause), job_of(stack, job_id)
        about = subject_of_line(view.line, view.job_class.task)
        found = take_command(stack.ledger, stack.code.receipts_dir, view, word, known)
        if not found.is_taken or found.was is None:
            return found, about, {}
        acted = (ActedJob(found.job_id, found.was, view.cause),)
        return found, about, told_of(note_jobs(request, who, f"{word} {about}", word, acted))

    found, about, deed = await stack.ask(taken)
    words = "{who}: {what} {about} ({}), which was {state}"
    emit_event("operator.acted", words, found.job_id[:SHORT_ID], who=who.name, what=word, about=about,
               job_id=found.job_id, state=found.was or "")  # fmt: skip
    return json_answer(found, headers=deed)
