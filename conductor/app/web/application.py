"""The application: routes, guard, errors, the OpenAPI page. Made once for a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from conductor.analysis.what_if import ChangedEnds
from conductor.app.web.answers import (
    AsciiOnly,
    Problem,
    failed,
    gives,
    json_answer,
    refused,
    shapes,
    unexpected,
)
from conductor.app.web.deeds import DeedBook
from conductor.app.web.event_hub import EventHub
from conductor.app.web.guard import HttpGuard
from conductor.app.web.log_stream import LogEnd, ToldLine
from conductor.app.web.page_files import PageFiles
from conductor.app.web.rights import Door, anybody
from conductor.app.web.routes import (
    catalogue,
    deeds,
    entrance,
    events,
    intake,
    job_lists,
    jobs,
    mcp,
    metrics,
    notices,
    overview,
    reports,
    review,
    what_if,
)
from conductor.app.web.routes.catalogue import PlanAsked, PlanMade, WorkflowList
from conductor.app.web.routes.deeds import DeedList, DeedTakenBack
from conductor.app.web.routes.entrance import Link, Login, Whoami
from conductor.app.web.routes.job_lists import BulkAction, BulkCount, FilterWords
from conductor.app.web.routes.jobs import JobFiles, PrintedLog
from conductor.app.web.routes.metrics import MetricsPage
from conductor.app.web.routes.notices import ScheduleList
from conductor.app.web.routes.overview import Alive, BacklogList, GateList, NodeHistory, NodeList
from conductor.app.web.routes.reports import ReportDesk
from conductor.app.web.routes.review import VerdictGiven
from conductor.app.web.stack import Stack
from conductor.base.errors import ConductorError
from conductor.base.settings.hook_settings import HookSettings
from conductor.model.job_row import JobPage, JobSums
from conductor.model.told_event import ToldEvent
from conductor.recovery.job_actions import ActionResult
from conductor.recovery.notice_commands import AlertSilence, SchedulePaused
from conductor.recovery.operator_commands import BacklogPaused, CommandTaken
from conductor.recovery.verdicts import VerdictTaken
from conductor.views.alerts import AlertsNow
from conductor.views.explain_job import Story
from conductor.views.health import Health
from conductor.views.night.document import NightReport
from conductor.views.now import Now
from conductor.views.resource_history import ResourceHistory
from conductor.views.review_list import ReviewPage
from conductor.views.task_list import TaskList
from conductor.views.whole_status import HeadedStatus
from conductor.views.worker_list import WorkerList

if TYPE_CHECKING:
    from conductor.app.model_door.door import ModelDoor

#: Whose shapes the OpenAPI page shows.
ANSWERS = (
    *(AlertSilence, BacklogPaused, ToldLine, LogEnd, PlanMade, SchedulePaused, TaskList, WorkflowList),
    *(ActionResult, Alive, AlertsNow, BulkCount, FilterWords, JobPage, JobSums, ScheduleList),
    *(DeedList, DeedTakenBack),
    *(BacklogList, CommandTaken, GateList, HeadedStatus, Health, JobFiles, Link, NodeHistory, NodeList, Now),
    *(NightReport, PrintedLog, Problem, Story, ToldEvent, ChangedEnds, Whoami),
    *(ReviewPage, VerdictTaken, WorkerList),
)
SENT = (BulkAction, Login, PlanAsked, VerdictGiven)
NO_HOOKS: Mapping[str, HookSettings] = {}
STATIC = Path(__file__).with_name("static")


def make_app(
    stack: Stack,
    door: Door,
    hooks: Mapping[str, HookSettings] = NO_HOOKS,
    model_door: ModelDoor | None = None,
) -> FastAPI:
    """`model_door`: None where it is closed (`mcp.over_http`)."""
    app = FastAPI(
        title="Conductor",
        version=version("conductor-jobs"),
        lifespan=lifespan,
        # Its own pages take their scripts from another host.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        default_response_class=AsciiOnly,
        redirect_slashes=False,
    )
    app.state.metrics, app.state.hooks, app.state.deliveries = MetricsPage(), hooks, {}
    app.state.followers, app.state.model_door = set(), model_door
    app.state.reports, app.state.deeds = ReportDesk(), DeedBook()
    app.state.history = ResourceHistory()

    def hear(events: Sequence[ToldEvent]) -> None:
        stack.something_happened()
        app.state.metrics.figures.hear(events)

    app.state.hub = EventHub(stack.ledger.events, hear, app.state.history.hear)
    app.state.stack, app.state.door, app.state.static = stack, door, PageFiles(STATIC)
    for routes in (
        *(overview, notices, what_if, job_lists, jobs, review, events, intake, catalogue, metrics),
        *(reports, deeds, entrance, mcp),
    ):
        app.include_router(routes.router)
    app.add_exception_handler(ConductorError, failed)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, refused)
    app.add_exception_handler(Exception, unexpected)
    app.add_middleware(HttpGuard, door=door)

    @app.get("/api/v1/openapi.json", dependencies=[Depends(anybody)], include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return json_answer(described(app))

    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    hub: EventHub = app.state.hub
    model_door: ModelDoor | None = app.state.model_door
    app.state.stack.start()
    hub.begin(asyncio.get_running_loop())
    try:
        async with nullcontext() if model_door is None else model_door.running():
            yield
    finally:
        hub.stop()
        app.state.stack.stop()


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: the shapes are those of the views themselves."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components: dict[str, Any] = document.setdefault("components", {})
    components["schemas"] = shapes(ANSWERS, SENT)
    wrong = gives(Problem, "Why there is no answer", 0)[0]
    for place in document["paths"].values():
        for operation in place.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = wrong
    return document
