"""The keeper of pilots, put together from the settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from conductor.adapters.engines.open_engine import open_engine
from conductor.app.engines.engine_round import EngineRound
from conductor.app.engines.keeper import PilotKeeper
from conductor.app.engines.pilot_submission import prefix_of, refuse_unreachable, rules_of, submission_of
from conductor.base.settings.settings import Settings
from conductor.ports import Ledger


def pilot_keeper(
    settings: Settings, ledger: Ledger, epoch: Callable[[], int | None], why_not: Callable[[], str | None]
) -> PilotKeeper:
    """Nothing runs yet. Raises `ConfigError` where pilots could not reach Redis, or an engine cannot be asked
    from this host."""
    refuse_unreachable(settings.engines, settings.redis.url)
    prefix = prefix_of(settings.project)
    headroom = {"vram": settings.limits.vram_headroom_mib, "ram": settings.limits.ram_headroom_mib}
    rounds = {
        name: EngineRound(
            name,
            open_engine(engine, prefix),
            rules_of(engine),
            ledger,
            prefix=prefix,
            submission=partial(
                submission_of, engine=engine, project=settings.project, logs_dir=settings.logs_dir
            ),
            headroom=headroom,
            kind=engine.kind,
        )
        for name, engine in settings.engines.items()
    }
    return PilotKeeper(rounds, epoch, why_not)
