"""What may be planned and run: workflows, tasks, and plans that are made and handed in by name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from conductor.app import workflow_lookup
from conductor.app.web.answers import NotThere, Problem, gives, json_answer, problem, status_of_exit, takes
from conductor.app.web.body import sent
from conductor.app.web.command_runs import answered, run_command
from conductor.app.web.rights import Visitor, acts, looks
from conductor.app.web.routes.overview import stack_of
from conductor.app.web.stack import Stack
from conductor.base.errors import Unreachable, UsageError
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event
from conductor.model.spec import Value
from conductor.views.stuck import tasks_of
from conductor.views.task_list import TaskList, task_list

MOST_BYTES = 64 << 10
MOST_WORDS = 200
FOLDER = "planned"
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
#: Where the manifest is written is not the asker's to say.
OURS = frozenset({"o", "output"})
Word = str | int | float | bool
DISPATCHED: dict[int | str, dict[str, Any]] = {
    200: {"description": "What `conductor dispatch --json` says", "content": {"application/json": {}}},
    **gives(Problem, "There is no such plan", 404),
}

router = APIRouter()


class WorkflowRow(Value, frozen=True, kw_only=True):
    """`about`: the first line of its own description."""

    name: str
    about: str = ""


class WorkflowList(Value, frozen=True, kw_only=True):
    workflows: tuple[WorkflowRow, ...] = ()


class PlanAsked(Value, frozen=True, kw_only=True):
    """`options`: name without dashes → its value, `true` for one that has none, or several. `arguments`: what
    has no name, in its order. `conductor plan WORKFLOW --help` has them all."""

    workflow: str
    options: dict[str, Word | tuple[Word, ...]] = {}
    arguments: tuple[str, ...] = ()


class PlanMade(Value, frozen=True, kw_only=True):
    """`plan`: its name, to dispatch it by. `notes`: what the plan said beside."""

    plan: str
    jobs: int
    notes: tuple[str, ...] = ()


@router.get("/api/v1/workflows", dependencies=[Depends(looks)], responses=gives(WorkflowList, "All of them"))
async def workflows(request: Request) -> Response:
    """The project's own workflows and the installed ones; none of them is run for it."""
    code = stack_of(request).code

    def told() -> WorkflowList:
        names = workflow_lookup.available(code)
        return WorkflowList(
            workflows=tuple(WorkflowRow(name=name, about=workflow_lookup.about(name, code)) for name in names)
        )

    return json_answer(await stack_of(request).ask_files(told))


@router.get("/api/v1/tasks", dependencies=[Depends(looks)], responses=gives(TaskList, "All of them"))
async def tasks(request: Request) -> Response:
    """What `conductor tasks --json` says; without Redis nobody knows which node has which."""
    stack = stack_of(request)

    def told() -> TaskList:
        try:
            nodes = tuple(stack.ledger.reports.live())
        except Unreachable:
            nodes = None
        return task_list(tasks_of(stack.code), nodes)

    return json_answer(await stack.ask_files(told))


@router.post(
    "/api/v1/plans",
    responses={**gives(PlanMade, "It was made"), **gives(Problem, "What is wrong with it", 422)},
    openapi_extra=takes(PlanAsked),
)
async def plan(request: Request, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """Make the manifest of a workflow, as `conductor plan` does. The same words give the same plan."""
    try:
        asked = msgspec.json.decode(await sent(request, MOST_BYTES), type=PlanAsked)
    except msgspec.DecodeError as e:
        raise HTTPException(400, f"send {{workflow, options, arguments}} as JSON: {e}") from None
    stack, words = stack_of(request), plan_words(asked)
    folder = stack.code.manifests_dir / FOLDER
    make_own(folder)
    mark = hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:12]
    file = folder / f"{asked.workflow}-{mark}.jsonl"
    found = await run_command(stack.code.project, "plan", asked.workflow, *words, "--output", str(file))
    if found.exit_code not in (0, 1):
        # argparse says its own usage first.
        said = found.words.strip().splitlines() or ["it ended without a word"]
        sentence = said[-1 if found.exit_code == UsageError.exit_code else 0].removeprefix("conductor: ")
        problems = tuple(map(str.strip, said[1:])) if found.exit_code == 3 else ()
        return problem(sentence, status_of_exit(found.exit_code), found.exit_code, problems)
    # 1: there was nothing to plan, and what may lie there is of another day.
    jobs = await stack.ask_files(lambda: file.read_bytes().count(b"\n")) if found.exit_code == 0 else 0
    emit_event("operator.dispatched", "{who}: plan {file}", who=who.name, file=str(file))
    return json_answer(PlanMade(plan=file.stem, jobs=jobs, notes=tuple(found.words.splitlines()[:20])))


def plan_words(asked: PlanAsked) -> list[str]:
    """As a command line. Raises `UsageError` for what would be read as something else than it says."""
    if not asked.workflow.isidentifier():
        raise UsageError("a workflow's name is letters, digits and _: /api/v1/workflows lists them")
    out: list[str] = []
    for word in asked.arguments:
        refuse_dash(word)
        out.append(word)
    for name, value in asked.options.items():
        if not _OPTION.match(name) or name in OURS:
            raise UsageError(f"{name!r} is no option that can be given here: conductor plan WORKFLOW --help")
        dashed = f"--{name}" if len(name) > 1 else f"-{name}"
        if value is False:
            continue
        out.append(dashed)
        for each in value if isinstance(value, tuple) else () if value is True else (value,):
            refuse_dash(str(each))
            out.append(str(each))
    if len(out) > MOST_WORDS:
        raise UsageError(f"a plan has at most {MOST_WORDS} words")
    return out


def refuse_dash(word: str) -> None:
    is_number = re.fullmatch(r"-\d+(\.\d+)?", word) is not None
    if (word.startswith("-") and not is_number) or "\0" in word:
        raise UsageError(f"{word[:40]!r} would be read as an option: put it under `options`")


@router.post("/api/v1/plans/{name}/dispatch", responses=DISPATCHED)
async def dispatch(
    request: Request,
    name: str,
    who: Annotated[Visitor, Depends(acts)],
    target: Annotated[str | None, Query(description="backlog:NAME; else the workflow's name")] = None,
    dry_run: Annotated[bool, Query(description="Check it all, say what would be new, put nothing")] = False,
) -> Response:
    """The jobs of a plan that was made here into a backlog. Twice is once."""
    stack = stack_of(request)
    file = await stack.ask_files(lambda: plan_file(stack, name))
    backlog = target or f"backlog:{name.rpartition('-')[0]}"
    words = ("--target", backlog, "--json", *("--dry-run",) * dry_run)
    found = await run_command(stack.code.project, "dispatch", str(file), *words)
    if not dry_run:
        emit_event("operator.dispatched", "{who}: dispatch {file}", who=who.name, file=str(file))
    return answered(found)


def plan_file(stack: Stack, name: str) -> Path:
    """One of those that lie there: no path is made of what somebody sends. Raises `NotThere`."""
    folder = stack.code.manifests_dir / FOLDER
    there = {file.stem: file for file in folder.glob("*.jsonl")} if folder.is_dir() else {}
    if name not in there:
        raise NotThere("there is no such plan: POST /api/v1/plans makes one and says its name")
    return there[name]
