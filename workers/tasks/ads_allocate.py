"""ads.allocate: which share of the budget each creative is worth, by Thompson sampling over its posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor.model.spec import Needs
from workers.ads import tables
from workers.ads.sampler import Arm, shares_of
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, write_of


class AllocateArgs(Args, frozen=True, kw_only=True):
    store: str = "ads"
    seed: int = 1
    draws: Annotated[int, Meta(ge=1, le=1_000_000)] = 4000
    #: Only tells one round from another: what is in the store changes, the line does not.
    round: str = ""


class ArmShare(msgspec.Struct, frozen=True, kw_only=True):
    """One creative. `mean`: of its chance to win a lead. Money in millionths of its unit."""

    creative: str
    share: float
    mean: float
    won_ppm: int
    lost_ppm: int
    expected_micros: int
    is_paused: bool


@task(
    "ads.allocate",
    lane="cpu",
    needs=Needs(cpu=1, ram_mib=128),
    timeout_s=3600,
    retry={"task_error": 2, "server_error": 5},
    store="{store}",
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, seed, draws, round. Writes one `.json`: {"seed", "draws", "creatives": [ArmShare, …]}.

    Who is paused has no share. Result: {"creatives", "best"}: how many, and who has the largest share.
    """
    given = parse(args, AllocateArgs)
    with ctx.store(given.store) as store:
        tables.make_tables(store)
        totals = tables.totals_in(store.read(tables.ARMS))
        paused = {v.creative for v in tables.verdicts_in(store.read(tables.VERDICTS)).values() if v.is_paused}
    leave_if_told(ctx)
    found = allotted(totals, paused, given.seed, given.draws)
    said = {"seed": given.seed, "draws": given.draws, "creatives": found}
    with ctx.create(write_of(ctx, ".json")) as file:
        file.write(msgspec.json.format(msgspec.json.encode(said), indent=1))
    best = max(found, key=lambda each: (each.share, each.creative), default=None)
    return {"creatives": len(found), "best": best.creative if best and best.share else None}


def allotted(
    totals: Mapping[str, tables.ArmTotals], paused: set[str], seed: int, draws: int
) -> list[ArmShare]:
    """By name. Pure: `verify` works it out again."""
    arms = tables.arms_of(totals)
    shares = shares_of([arm for arm in arms if arm.creative not in paused], seed, draws)
    return [share_of(arm, totals[arm.creative], shares) for arm in arms]


def share_of(arm: Arm, totals: tables.ArmTotals, shares: Mapping[str, float]) -> ArmShare:
    return ArmShare(
        creative=arm.creative,
        share=shares.get(arm.creative, 0.0),
        mean=round(arm.mean, 6),
        won_ppm=arm.won_ppm,
        lost_ppm=arm.lost_ppm,
        expected_micros=totals.expected_micros,
        is_paused=arm.creative not in shares,
    )
