"""ads.event: what a CRM told of a lead → its expected revenue, credit for creatives, and their posteriors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from conductor.model.spec import Needs
from workers.ads import attribution
from workers.ads.attribution import AttributionModel
from workers.ads.lead_events import MOST_TOUCHES, MOST_VALUE, Name
from workers.ads.revenue import expected_micros, outcome_of
from workers.ads.shares import MICROS, WHOLE_PPM, shared_out
from workers.ads.tables import CountedEvent, count_event, make_tables
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse

Days = Annotated[float, Meta(gt=0, le=3650)]


class EventArgs(Args, frozen=True, kw_only=True):
    #: An `[stores.NAME]` of conductor.toml.
    store: str = "ads"
    #: By it the event counts once: the delivery's name.
    event: Name
    lead: Name
    #: When it happened, in epoch seconds.
    at: float
    #: Of its stage, and what the deal is worth.
    chance_ppm: Annotated[int, Meta(ge=0, le=WHOLE_PPM)]
    value_micros: Annotated[int, Meta(ge=0, le=int(MOST_VALUE) * MICROS)]
    #: (creative, epoch seconds)
    touches: Annotated[tuple[tuple[Name, float], ...], Meta(max_length=MOST_TOUCHES)] = ()
    model: AttributionModel = "time_decay"
    half_life_days: Days = attribution.HALF_LIFE_DAYS
    lookback_days: Days = attribution.LOOKBACK_DAYS


@task(
    "ads.event",
    lane="io",
    needs=Needs(ram_mib=64),
    timeout_s=600,
    retry={"task_error": 3, "server_error": 5},
    store="{store}",
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, event, lead, at, chance_ppm, value_micros, touches, model, half_life_days, lookback_days.

    One transaction. Result: {"event", "lead", "outcome", "expected_micros", "credit": {creative: ppm},
    "revenue_micros": {creative: micros}, "counted"}; false: an attempt before had counted it.
    """
    event = counted_event(parse(args, EventArgs))
    leave_if_told(ctx)
    with ctx.store(args.get("store", "ads")) as store:
        make_tables(store)
        with store.transaction() as change:
            is_new = count_event(change, event)
    return {**said_of(event), "counted": is_new}


def counted_event(given: EventArgs) -> CountedEvent:
    """Pure: `verify` works it out again."""
    return CountedEvent(
        event=given.event,
        lead=given.lead,
        at=given.at,
        outcome=outcome_of(given.chance_ppm),
        expected_micros=expected_micros(given.chance_ppm, given.value_micros),
        credit=attribution.credits_of(
            given.touches, given.at, given.model, given.half_life_days, given.lookback_days
        ),
    )


def said_of(event: CountedEvent) -> dict[str, Any]:
    has_parts = bool(event.credit and event.expected_micros)
    return {
        "event": event.event,
        "lead": event.lead,
        "outcome": event.outcome,
        "expected_micros": event.expected_micros,
        "credit": dict(event.credit),
        "revenue_micros": shared_out(event.expected_micros, dict(event.credit)) if has_parts else {},
    }
