"""What processes of two versions write for each other: the older one reads past what it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from conductor.model.alerts import AlertBook
from conductor.model.calls import Call, EndpointFault
from conductor.model.decision import GateLedger
from conductor.model.forecast import Forecast
from conductor.model.pilot import EngineState, Pilot
from conductor.model.receipt import Receipt
from conductor.model.report import NodeReport
from conductor.model.review import ReviewAsked
from conductor.model.schedule import ScheduleState
from conductor.model.snapshot import Controls, KindState, RateState, Reservation
from conductor.model.spec import EngineNeed, Exchanged, Needs, RateNeed
from conductor.model.told_event import ToldEvent

WRITTEN = (
    *(AlertBook, Call, Controls, EndpointFault, EngineState, Forecast, GateLedger, KindState, NodeReport),
    *(Pilot, RateState, Receipt, Reservation, ReviewAsked, ScheduleState, ToldEvent),
)
#: They stand in manifests, too, where a word that is not known is a slip of who wrote it.
OF_MANIFESTS = {EngineNeed, Needs, RateNeed}


def structs_in(kind: inspect.Type, seen: set[type]) -> Iterator[type]:
    """All that a value of this type may hold."""
    if isinstance(kind, inspect.StructType) and kind.cls not in seen:
        seen.add(kind.cls)
        yield kind.cls
        for one in kind.fields:
            yield from structs_in(one.type, seen)
    for name in ("item_type", "key_type", "value_type"):
        if (inner := getattr(kind, name, None)) is not None:
            yield from structs_in(inner, seen)
    for inner in (*getattr(kind, "item_types", ()), *getattr(kind, "types", ())):
        yield from structs_in(inner, seen)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_field_of_tomorrow_is_left_out_wherever_it_stands(written: type[Any]) -> None:
    found = list(structs_in(inspect.type_info(written), set()))
    assert found[0] is written
    strict = {each for each in found if not issubclass(each, Exchanged)}
    assert strict <= OF_MANIFESTS


def test_what_is_not_known_is_left_out_and_the_rest_is_read() -> None:
    told = msgspec.json.decode(b'{"at":5.0,"of_tomorrow":{"a":1}}', type=GateLedger)
    assert told == GateLedger(at=5.0)
