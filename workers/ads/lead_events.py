"""What a CRM tells of a lead, out of the body of its delivery. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from conductor.base.text import printable

#: Deliveries of another kind are nothing to this workflow.
KIND = "lead.stage_changed"
MOST_TOUCHES = 500
#: A thousand billion, in whatever unit.
MOST_VALUE = 1e12
#: Names come from strangers and go into tables, reports and terminals.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class BadDelivery(ValueError):
    """One sentence: what is wrong with it, and where."""


class LeadTouch(Struct, frozen=True, kw_only=True):
    """Somebody met a creative."""

    creative: Name
    at: datetime


class LeadData(Struct, frozen=True, kw_only=True):
    lead: Name
    stage: Name
    #: What the deal is worth. None: not known yet.
    value: Annotated[float, Meta(ge=0, le=MOST_VALUE)] | None = None
    currency: str | None = None
    touches: Annotated[tuple[LeadTouch, ...], Meta(max_length=MOST_TOUCHES)] = ()


class LeadDelivery(Struct, frozen=True, kw_only=True):
    """`{"type", "timestamp", "data"}`, as Standard Webhooks has it. `timestamp`: when it happened."""

    type: Annotated[str, Meta(max_length=200)]
    timestamp: datetime
    data: LeadData


class _Kind(Struct, frozen=True):
    type: Annotated[str, Meta(max_length=200)]


def read_delivery(body: bytes) -> LeadDelivery | None:
    """None: it is of another kind. Raises `BadDelivery`."""
    try:
        if msgspec.json.decode(body, type=_Kind).type != KIND:
            return None
        found = msgspec.json.decode(body, type=LeadDelivery)
    except RecursionError:
        raise BadDelivery("its body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        what, _, where = str(e).partition(" - at `$")
        place = where.rstrip("`").lstrip(".") or "its body"
        # «Expected …» goes on as a sentence, «JSON …» is a name.
        words = what if what[1:2].isupper() else what[:1].lower() + what[1:]
        raise BadDelivery(f"{place}: {words}") from None
    _check_names(found.data)
    return found


def _check_names(data: LeadData) -> None:
    check_name("data.lead", data.lead)
    check_name("data.stage", data.stage)
    for number, touch in enumerate(data.touches):
        check_name(f"data.touches[{number}].creative", touch.creative)


def check_name(place: str, name: str) -> None:
    """Raises `BadDelivery` at a name that no table or terminal takes."""
    if _CONTROL.search(name) or name != name.strip():
        raise BadDelivery(
            f"{place}: a name has no control characters, nor blanks at its ends: {printable(name[:80])}"
        )


def seconds_of(moment: datetime) -> float:
    """Epoch seconds, to the millisecond. A moment without a zone is UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), 3)


def touches_of(data: LeadData) -> list[list[Any]]:
    """[creative, epoch seconds], in the order of time: the same whatever order they were told in."""
    return sorted([touch.creative, seconds_of(touch.at)] for touch in data.touches)
