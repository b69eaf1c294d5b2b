"""Where the seconds of a slow recovery went: what was told of its job between blow and next attempt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.chaos.figures import Recovery
from tests.chaos.world import ChaosWorld

#: What is told of such a job, and how it is called here.
STEPS = {"job.failed": "given back", "job.rescued": "given back", "job.admitted": "handed over"}


class CourseStep(NamedTuple):
    #: By Redis's clock: those of hosts are wrong now and then.
    at: float
    step: str
    job_id: str
    place: str


def told(world: ChaosWorld) -> list[CourseStep]:
    """In the order in which Redis heard it."""
    rows: Any = world.asked(lambda r: r.xrange("conductor:events"))
    return [*_told(rows)]


def _told(rows: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[CourseStep]:
    for key, row in rows:
        event = json.loads(row[b"e"])
        if event["name"] in STEPS:
            fields = event.get("fields", {})
            at = int(key.partition(b"-")[0]) / 1000
            yield CourseStep(at, STEPS[event["name"]], fields.get("job_id", ""), fields.get("place", ""))


def course(recovery: Recovery, events: Sequence[CourseStep]) -> str:
    """«given back +0.1 s, handed over +0.9 s → h5, begun +9.6 s»."""
    until = recovery.at + recovery.seconds
    own = [e for e in events if e.job_id == recovery.job_id and recovery.at <= e.at <= until]
    steps = [f"{e.step} +{e.at - recovery.at:.1f} s{f' → {e.place}' if e.place else ''}" for e in own]
    return ", ".join([*steps, f"begun +{recovery.seconds:.1f} s"])
