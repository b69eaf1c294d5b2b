"""How it stands: health, status, gates, nodes, backlogs. Each is an answer from the last look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from conductor.analysis.forecast.text import ForecastEnd
from conductor.app.web.answers import NotThere, Problem, gives, json_answer
from conductor.app.web.lookout import Seen
from conductor.app.web.rights import anybody, looks
from conductor.app.web.stack import LedgerLook, Stack
from conductor.base.errors import Unreachable
from conductor.model.decision import Gate
from conductor.model.report import NodeReport
from conductor.model.spec import Value
from conductor.views.engine_list import EngineRow, engine_rows
from conductor.views.gate_rows import GateRow
from conductor.views.health import Health, health
from conductor.views.host_differences import HostDifference
from conductor.views.now import BacklogRow, Now, WaitingRow, now_of
from conductor.views.resource_history import ResourceHistory, ResourceStrip
from conductor.views.status import Status, gather
from conductor.views.whole_status import Findings, HeadedStatus, headed, whole_status
from conductor.views.worker_list import WorkerList, worker_list

#: An answer is not older than that where Redis answers, and is not waited for longer than that.
FRESH_S, WAIT_S = 0.5, 1.5
#: The same for what costs more to find out.
FOUND_S = 5.0
#: Health is asked often, and by who has no patience.
DEATHS_WAIT_S, OLD_S = 0.3, 60.0
AWAY = gives(Problem, "Redis does not answer, and never did", 503)

router = APIRouter()


class NodeList(Value, frozen=True, kw_only=True):
    """`now`: the ledger's clock, by which the reports' `sent_at` are."""

    now: float
    nodes: tuple[NodeReport, ...] = ()
    #: Hosts that are silent, and in what the others are not alike.
    differences: tuple[HostDifference, ...] = ()
    #: What pilots come from.
    engines: tuple[EngineRow, ...] = ()


class NodeHistory(Value, frozen=True, kw_only=True):
    """`strips`: what was noted once a minute of each device, disk and memory since `since`."""

    now: float
    since: float
    strips: tuple[ResourceStrip, ...] = ()


class GateList(Value, frozen=True, kw_only=True):
    """Instants are by the ledger's clock."""

    now: float
    #: The tick that all this is of; None: none has been.
    as_of: float | None
    has_leader: bool
    gates: tuple[GateRow, ...]
    waiting: tuple[WaitingRow, ...]
    #: Backlog → gate → seconds during which it held at least one class back, since the ledger began.
    lost_s: dict[str, dict[Gate, float]]


class BacklogList(Value, frozen=True, kw_only=True):
    now: float
    backlogs: tuple[BacklogRow, ...]
    #: Backlog → when it should be through.
    ends: dict[str, ForecastEnd]


class Alive(Value, frozen=True, kw_only=True):
    alive: bool


def stack_of(request: Request) -> Stack:
    return request.app.state.stack


async def last_look(request: Request) -> Seen[LedgerLook]:
    return await stack_of(request).looks.fresh(FRESH_S, WAIT_S)


async def looked(request: Request) -> tuple[LedgerLook, dict[str, str]]:
    """The last look, and the headers that say how old it is. Raises `Unreachable` where there was none."""
    seen = await last_look(request)
    if seen.value is None:
        raise Unreachable(seen.fault or "Redis does not answer")
    headers = {"X-Age-S": f"{seen.age_s or 0.0:.2f}"}
    if seen.fault or seen.silent_s > WAIT_S - 0.1:
        headers["X-Stale"] = "1"
    return seen.value, headers


@router.get("/livez", dependencies=[Depends(anybody)], responses=gives(Alive, "This process answers"))
async def livez() -> Response:
    """Does this process live. Asks nobody else."""
    return json_answer(Alive(alive=True))


@router.get("/api/v1/health", dependencies=[Depends(looks)], responses=gives(Health, "Healthy or degraded"))
async def health_now(request: Request) -> Response:
    """Healthy, degraded or unhealthy (503), and each part. Within a second, whatever hangs."""
    seen = await last_look(request)
    status = None if seen.value is None else with_findings(request, seen.value.status)
    deaths = await stack_of(request).deaths.fresh(FOUND_S, DEATHS_WAIT_S)
    is_fresh = deaths.age_s is not None and deaths.age_s < OLD_S
    found = health(status, seen.age_s, seen.silent_s, seen.fault, deaths.value if is_fresh else None)
    return json_answer(found, 503 if found.state == "unhealthy" else 200)


def with_findings(request: Request, status: Status) -> Status:
    """With what was found out last, which is not waited for."""
    found = stack_of(request).findings.seen().value
    return whole_status(status, found or Findings())


@router.get(
    "/api/v1/status", dependencies=[Depends(looks)], responses={**gives(HeadedStatus, "As of now"), **AWAY}
)
async def status_now(
    request: Request,
    backlog: Annotated[str | None, Query(description="One only, by its name")] = None,
) -> Response:
    """What `conductor status --json` says."""
    stack = stack_of(request)
    look, headers = await looked(request)
    await stack.findings.fresh(FOUND_S, WAIT_S)
    if backlog is not None and backlog not in look.status.backlogs:
        raise NotThere(f"there is no backlog:{backlog}")
    status = look.status if backlog is None else await stack.ask(lambda: gather(stack.ledger, backlog))
    return json_answer(headed(with_findings(request, status)), headers=headers)


@router.get("/api/v1/now", dependencies=[Depends(looks)], responses={**gives(Now, "One moment"), **AWAY})
async def now(request: Request) -> Response:
    """Headline, backlogs, gates, what waits, what runs: all of one look."""
    look, headers = await looked(request)
    return json_answer(now_of_look(request, look), headers=headers)


def now_of_look(request: Request, look: LedgerLook) -> Now:
    status = with_findings(request, look.status)
    history: ResourceHistory = request.app.state.history
    tonight = history.lost_tonight(status.lost_s, status.now)
    return now_of(status, look.gates.shared, look.forecasts, tonight, history.last_hour(status.now))


@router.get(
    "/api/v1/gates", dependencies=[Depends(looks)], responses={**gives(GateList, "The gates"), **AWAY}
)
async def gates(request: Request) -> Response:
    """Each gate at each place: value, limit, who waits, since when, what opens it; and each held class."""
    look, headers = await looked(request)
    shown = now_of_look(request, look)
    found = GateList(
        now=shown.now,
        as_of=shown.as_of,
        has_leader=shown.has_leader,
        gates=shown.gates,
        waiting=shown.waiting,
        lost_s=look.gates.lost_s,
    )
    return json_answer(found, headers=headers)


@router.get(
    "/api/v1/nodes", dependencies=[Depends(looks)], responses={**gives(NodeList, "The hosts"), **AWAY}
)
async def nodes(request: Request) -> Response:
    """The reports of all nodes: devices, disks, queues, memory, what keeps them from starting anything; what
    differs among them; engines and their pilots."""
    look, headers = await looked(request)
    status = look.status
    found = NodeList(
        now=status.now,
        nodes=status.nodes,
        differences=status.differences,
        engines=engine_rows(status.engines, status.pilots, status.now, status.submissions),
    )
    return json_answer(found, headers=headers)


@router.get(
    "/api/v1/workers", dependencies=[Depends(looks)], responses={**gives(WorkerList, "Who works"), **AWAY}
)
async def workers(request: Request) -> Response:
    """Each worker: lane, device, since when, what it has in hand, its last word, memory."""
    stack = stack_of(request)
    return json_answer(await stack.ask(lambda: worker_list(stack.ledger)))


@router.get(
    "/api/v1/nodes/history",
    dependencies=[Depends(looks)],
    responses={**gives(NodeHistory, "The last hours"), **AWAY},
)
async def node_history(
    request: Request, hours: Annotated[float, Query(gt=0, le=18, description="So far back")] = 6.0
) -> Response:
    """Of each device, disk and memory: used, promised, used by others, and how much there is."""
    look, headers = await looked(request)
    history: ResourceHistory = request.app.state.history
    since = look.status.now - hours * 3600
    return json_answer(
        NodeHistory(now=look.status.now, since=since, strips=history.strips(since)), headers=headers
    )


@router.get(
    "/api/v1/backlogs",
    dependencies=[Depends(looks)],
    responses={**gives(BacklogList, "The backlogs"), **AWAY},
)
async def backlogs(request: Request) -> Response:
    """Counts by state, what is left, and when each should be through."""
    look, headers = await looked(request)
    rows = now_of_look(request, look).backlogs
    ends = {row.name: row.end for row in rows}
    return json_answer(BacklogList(now=look.status.now, backlogs=rows, ends=ends), headers=headers)
