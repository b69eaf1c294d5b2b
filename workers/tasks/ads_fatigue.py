"""ads.fatigue: which creatives are worn out; a person is asked whether to pause those that are beyond doubt.
ads.pause: does what was said."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.review import MOST_ITEMS
from conductor.model.spec import Needs
from workers.ads import tables
from workers.ads.fatigue import FatigueLimits, FatigueSigns, in_words, judged
from workers.ads.figures import BadFigures, DailyFigure, latest, read_figures
from workers.ads.tables import PauseVerdict
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, read_of, shown, write_of

NEEDS = Needs(cpu=1, ram_mib=256)


class FatigueArgs(Args, frozen=True, kw_only=True):
    store: str = "ads"
    limits: FatigueLimits = FatigueLimits()
    #: Who was kept is not asked about again for so many days of figures.
    keep_days: Annotated[int, Meta(ge=0, le=3650)] = 7


class PauseArgs(Args, frozen=True, kw_only=True):
    store: str = "ads"


class FatigueReport(msgspec.Struct, frozen=True, kw_only=True):
    """`day`: the last one of the figures. `asked`: creatives in the order of the review's items."""

    day: str
    limits: FatigueLimits
    creatives: tuple[FatigueSigns, ...]
    asked: tuple[str, ...]


@task(
    "ads.fatigue",
    lane="cpu",
    needs=NEEDS,
    timeout_s=3600,
    retry={"task_error": 2, "server_error": 5},
    store="{store}",
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, limits, keep_days. Reads CSV files, in the order in which the later one stands; writes one
    `.json` (`FatigueReport`). Asks a person about the critical ones that are neither paused nor kept.

    Result: {"day", "levels": {level: count}, "asked"}.
    """
    given = parse(args, FatigueArgs)
    figures = list(latest(figures_of(ctx)).values())
    if not figures:
        raise BadInput("the files have no figures: not one row stands under their headings")
    found, day = judged(figures, given.limits), max(row.day for row in figures)
    with ctx.store(given.store) as store:
        tables.make_tables(store)
        said = tables.verdicts_in(store.read(tables.VERDICTS))
    critical = [each for each in found if each.level == "critical"]
    asked = [each for each in critical if is_open(said.get(each.creative), day, given.keep_days)][:MOST_ITEMS]
    if asked:
        items = [{"words": f"Pause {each.creative}? {in_words(each)}"} for each in asked]
        ctx.needs_review(items, rejected="left_out")
    names = tuple(each.creative for each in asked)
    report = FatigueReport(day=str(day), limits=given.limits, creatives=tuple(found), asked=names)
    with ctx.create(write_of(ctx, ".json")) as file:
        file.write(msgspec.json.format(msgspec.json.encode(report), indent=1))
    levels = [each.level for each in found]
    return {
        "day": report.day,
        "levels": {level: levels.count(level) for level in sorted(set(levels))},
        "asked": len(asked),
    }


def figures_of(ctx: JobContext) -> Iterator[DailyFigure]:
    for path in ctx.spec.reads:
        leave_if_told(ctx)
        ctx.progress(0.0, f"reading {shown(path)}")
        with ctx.read(path) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as lines:
            try:
                yield from read_figures(lines, shown(path))
            except BadFigures as e:
                raise BadInput(str(e)) from None


def is_open(said: PauseVerdict | None, day: date, keep_days: int) -> bool:
    """Whether a person is to be asked about it."""
    return said is None or (
        not said.is_paused and (day - date.fromisoformat(said.day)).days >= max(1, keep_days)
    )


@task(
    "ads.pause",
    lane="io",
    needs=Needs(ram_mib=64),
    timeout_s=600,
    retry={"task_error": 3, "server_error": 5},
    store="{store}",
)
def pause(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store. Reads the report of the job that it comes after. Result: {"paused": [creative, …],
    "kept": […]}, as a person said."""
    given = parse(args, PauseArgs)
    with ctx.read(read_of(ctx, None, 0)) as file:
        report = msgspec.json.decode(file.read(), type=FatigueReport)
    verdicts = ctx.verdicts(ctx.spec.after[0]) if report.asked else ()
    if len(verdicts) != len(report.asked):
        raise BadInput(f"{len(report.asked)} creatives were shown, and {len(verdicts)} were judged")
    said = [
        PauseVerdict(creative, verdict.is_accepted, report.day, verdict.who, verdict.note)
        for creative, verdict in zip(report.asked, verdicts, strict=True)
    ]
    with ctx.store(given.store) as store:
        tables.make_tables(store)
        with store.transaction() as change:
            for verdict in sorted(said):
                row = (verdict.creative, int(verdict.is_paused), verdict.day, verdict.who, verdict.note)
                change.execute(tables.SET_VERDICT, row)
    return {
        "paused": [verdict.creative for verdict in said if verdict.is_paused],
        "kept": [verdict.creative for verdict in said if not verdict.is_paused],
    }
