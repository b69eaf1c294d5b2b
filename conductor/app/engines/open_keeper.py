"""The keeper of engines, put together from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from conductor.adapters.engines.open_engine import open_engine
from conductor.app.engines.engine_report import EngineReport
from conductor.app.engines.job_round import JobRound
from conductor.app.engines.job_submission import job_submission_of, single_jobs_of
from conductor.app.engines.keeper import EngineKeeper, Round
from conductor.app.engines.pilot_round import PilotRound
from conductor.app.engines.pilot_submission import prefix_of, refuse_unreachable, rules_of, submission_of
from conductor.base.settings.engine_settings import EngineSettings
from conductor.base.settings.settings import Settings
from conductor.model.spec import TaskDecl
from conductor.ports import Ledger


def engine_keeper(
    settings: Settings,
    ledger: Ledger,
    tasks: Mapping[str, TaskDecl],
    epoch: Callable[[], int | None],
    why_not: Callable[[], str | None],
) -> EngineKeeper:
    """Nothing runs yet. Raises `ConfigError` where what engines start could not reach Redis, or an engine
    cannot be asked from this host."""
    refuse_unreachable(settings.engines, settings.redis.url)
    rounds = {
        name: _jobs(name, engine, settings, ledger, tasks)
        if engine.mode == "jobs"
        else _pilots(name, engine, settings, ledger)
        for name, engine in settings.engines.items()
    }
    return EngineKeeper(rounds, epoch, why_not)


def _pilots(name: str, engine: EngineSettings, settings: Settings, ledger: Ledger) -> Round:
    prefix = prefix_of(settings.project)
    return PilotRound(
        name,
        open_engine(engine, prefix),
        rules_of(engine),
        ledger,
        prefix=prefix,
        submission=partial(
            submission_of, engine=engine, project=settings.project, logs_dir=settings.logs_dir
        ),
        headroom={"vram": settings.limits.vram_headroom_mib, "ram": settings.limits.ram_headroom_mib},
        kind=engine.kind,
    )


def _jobs(
    name: str, engine: EngineSettings, settings: Settings, ledger: Ledger, tasks: Mapping[str, TaskDecl]
) -> Round:
    prefix, single = prefix_of(settings.project), single_jobs_of(engine)
    return JobRound(
        name,
        open_engine(engine, prefix),
        single,
        ledger,
        prefix=prefix,
        submission=partial(
            job_submission_of,
            name=name,
            engine=engine,
            project=settings.project,
            logs_dir=settings.logs_dir,
            tasks=tasks,
        ),
        report=EngineReport(
            name, single, engine.lanes, settings.roots, settings.timing, ledger, tasks
        ).publish,
        kind=engine.kind,
    )
