"""Events of an ads store, counted as a worker would, and held against their lines as `verify` does."""

from __future__ import annotations

from typing import Any

from task_bench import Bench

from conductor.verify.report import VerifyFinding
from workers.ads.shares import MICROS, WHOLE_PPM
from workers.tasks import ads_event
from workflows.ads import verify

NOW = 1_764_000_000.0


def lead_event(name: str, lead: str, chance: int = WHOLE_PPM, at: float = NOW, **more: Any) -> dict[str, Any]:
    touches = more.pop("touches", [["a", at - 60.0], ["b", at - 30.0]])
    value = {"chance_ppm": chance, "value_micros": 100 * MICROS}
    return {"event": name, "lead": lead, "at": at, "touches": touches, "model": "position", **value, **more}


def counted(bench: Bench, *events: dict[str, Any]) -> list[bool]:
    return [bench.run(ads_event.run, event)["counted"] for event in events]


def proof(bench: Bench, *events: dict[str, Any]) -> list[VerifyFinding]:
    """What `verify` finds in the store, when these are the events of its manifest."""
    asked = verify.AdsProof(bench.settings.for_code)
    given = [ads_event.counted_event(ads_event.parse(event, ads_event.EventArgs)) for event in events]
    asked.events["ads"] = {event.event: event for event in given}
    return list(asked.check_stores())
