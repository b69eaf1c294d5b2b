"""What a model may ask, each tool with the route of the HTTP API that it asks: the right of that route is the
right of the tool, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import msgspec

from conductor.client import Client
from conductor.model.spec import Value
from conductor.views.explain_job import lines

#: By `conductor.app.web.rights`.
ModelRight = Literal["looks", "acts"]
MOST_ROWS = 50


class NothingAsked(Value, frozen=True, kw_only=True):
    pass


class JobAsked(Value, frozen=True, kw_only=True):
    #: Its id, or the first letters of it.
    job: str


class JobsAsked(Value, frozen=True, kw_only=True):
    filter: str = ""
    cursor: str = ""


class VerdictWanted(Value, frozen=True, kw_only=True):
    job: str
    is_accepted: bool
    #: Why.
    note: str = ""
    #: Numbers from 1, as `list_reviews` has them; none: all that are open.
    items: tuple[int, ...] = ()


class PlanWanted(Value, frozen=True, kw_only=True):
    workflow: str
    options: dict[str, str | int | float | bool | tuple[str | int | float | bool, ...]] = {}
    arguments: tuple[str, ...] = ()


class ReportAsked(Value, frozen=True, kw_only=True):
    #: Moments as in a filter.
    since: str = "18:00"
    until: str = ""


class DispatchAsked(Value, frozen=True, kw_only=True):
    plan: str
    backlog: str = ""
    dry_run: bool = False


class ModelTool(NamedTuple):
    name: str
    words: str
    right: ModelRight
    #: Method and path of the API.
    route: tuple[str, str]
    arguments: type[Value]
    ask: Callable[[Client, Any], object]

    def schema(self) -> dict[str, Any]:
        _, found = msgspec.json.schema_components((self.arguments,))
        return {"type": "object", **found[self.arguments.__name__]}


def capabilities(client: Client, asked: NothingAsked) -> object:
    """Of this door; what the settings allow is added by who knows them."""
    who = client.whoami()
    return {"conductor": version("conductor-jobs"), "asks_as": who["name"]}


def job_status(client: Client, asked: JobAsked) -> object:
    story = client.job(asked.job)
    job, held = story.job, story.job.reservation
    return {
        "job_id": job.job_id,
        "task": story.task,
        "file": story.file,
        "workflow": story.workflow,
        "backlog": job.backlog,
        "state": job.state,
        "cause": job.cause,
        "message": job.message,
        "tries": story.tries,
        "place": None if held is None else "/".join((held.node, *held.devices)),
        "progress": None if held is None else held.progress,
        "outputs": [fact.path for receipt in story.receipts[-1:] for fact in receipt.outputs],
    }


def workflows(client: Client, asked: NothingAsked) -> object:
    return client.workflows()


def tasks(client: Client, asked: NothingAsked) -> object:
    return client.tasks()


def jobs(client: Client, asked: JobsAsked) -> object:
    return client.jobs(asked.filter, limit=MOST_ROWS, cursor=asked.cursor)


def reviews(client: Client, asked: JobsAsked) -> object:
    return client.reviews(asked.filter, limit=MOST_ROWS, cursor=asked.cursor)


def judged(client: Client, asked: VerdictWanted) -> object:
    return client.judge(asked.job, is_accepted=asked.is_accepted, note=asked.note, items=asked.items)


def explanation(client: Client, asked: JobAsked) -> object:
    return "\n".join(lines(client.job(asked.job)))


def log(client: Client, asked: JobAsked) -> object:
    return client.log(asked.job)


def report(client: Client, asked: ReportAsked) -> object:
    return client.report(asked.since, asked.until)


def cancelled(client: Client, asked: JobAsked) -> object:
    return client.cancel(asked.job)


def planned(client: Client, asked: PlanWanted) -> object:
    return client.plan(asked.workflow, asked.options, asked.arguments)


def dispatched(client: Client, asked: DispatchAsked) -> object:
    return client.dispatch_plan(asked.plan, asked.backlog or None, is_dry_run=asked.dry_run)


JOB = "/api/v1/jobs/{job_id}"
TOOLS: tuple[ModelTool, ...] = (
    ModelTool(
        "capabilities", "What this door lets you do, and as whom.",
        "looks", ("GET", "/api/v1/whoami"), NothingAsked, capabilities,
    ),
    ModelTool(
        "list_workflows", "The workflows that can be planned.",
        "looks", ("GET", "/api/v1/workflows"), NothingAsked, workflows,
    ),
    ModelTool(
        "list_tasks", "The registered tasks: lane, needs, retry table, which nodes have them.",
        "looks", ("GET", "/api/v1/tasks"), NothingAsked, tasks,
    ),
    ModelTool(
        "list_jobs",
        "Jobs by a filter, the latest first: state:dead cause:timeout since:18:00 task:media.* file:clip7.",
        "looks", ("GET", "/api/v1/jobs"), JobsAsked,
        jobs,
    ),
    ModelTool(
        "get_job_status", "Where one job is, in a few fields.",
        "looks", ("GET", JOB), JobAsked, job_status,
    ),
    ModelTool(
        "explain", "Why a job waits, failed or is where it is: every gate with its numbers, every attempt.",
        "looks", ("GET", JOB), JobAsked, explanation,
    ),
    ModelTool(
        "get_job_log", "What a job's bodies printed, the end of it.",
        "looks", ("GET", f"{JOB}/log"), JobAsked, log,
    ),
    ModelTool(
        "list_reviews", "What waits for a person's verdict: its words, pictures and clips.",
        "looks", ("GET", "/api/v1/review/pending"), JobsAsked, reviews,
    ),
    ModelTool(
        "report", "The report of a night: what is done and verified, what is not and why, time lost by gate.",
        "looks", ("GET", "/api/v1/report"), ReportAsked, report,
    ),
    ModelTool(
        "plan", "Make the plan of a workflow: its name and its number of jobs. Nothing runs yet.",
        "acts", ("POST", "/api/v1/plans"), PlanWanted, planned,
    ),
    ModelTool(
        "dispatch", "Hand the jobs of a plan in, by the plan's name. Twice is once.",
        "acts", ("POST", "/api/v1/plans/{name}/dispatch"), DispatchAsked, dispatched,
    ),
    ModelTool(
        "review", "Accept what a job shows, or reject it. On each item the first word stands.",
        "acts", ("POST", "/api/v1/review/{job_id}"), VerdictWanted, judged,
    ),
    ModelTool(
        "cancel", "Take one job out, and stop it where it runs.",
        "acts", ("POST", f"{JOB}/{{word}}"), JobAsked, cancelled,
    ),
)  # fmt: skip
#: The end of these is what counts.
SHOWN_FROM_THE_END = frozenset({"get_job_log"})
