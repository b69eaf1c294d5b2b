"""What one more GPU, disk, quota, host or pilot would have bought in a night: by its recorded ticks, played
once more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from conductor.analysis.price import Wish
from conductor.analysis.replay.played_night import price_of_night, work_of
from conductor.analysis.simulation.rule import words
from conductor.base.errors import ConfigError
from conductor.base.settings.endpoint_settings import Rate
from conductor.model.pilot import PilotShape
from conductor.model.spec import JobSpec
from conductor.views.night.document import WhatIf
from conductor.views.night.fates import added
from conductor.views.night.make import Play
from conductor.views.night.record import NightRecord
from conductor.views.night.recorded import points_in

NOT_RECORDED = (
    "Nothing was recorded, so nothing can be played: ticks are kept where ticks.is_on is true, "
    "as far back as ticks.max_bytes allows."
)


def player(ticks: Path, rates: Mapping[str, Rate], shapes: Mapping[str, PilotShape]) -> Play:
    """`ticks`: the folder of the recording; `shapes`: engine → what a pilot of it brings."""

    def play(record: NightRecord, took_s: float) -> WhatIf:
        try:
            work = work_of(points_in(ticks, record.since, record.until))
        except ConfigError as e:
            return WhatIf(because=f"The recording cannot be played: {e}.", took_s=took_s)
        if work.limits is None:
            return WhatIf(because=NOT_RECORDED, took_s=took_s)
        found = price_of_night(work, seconds_of(record), specs_of(record), rates, Wish(shapes=dict(shapes)))
        if isinstance(found, str):
            return WhatIf(because=found, took_s=took_s)
        return WhatIf(played=found, rule=words(found.rule), took_s=took_s)

    return play


def seconds_of(record: NightRecord) -> dict[str, float]:
    """Job that was done → seconds of all its attempts of this night, failed ones among them."""
    took: dict[str, list[float]] = defaultdict(list)
    done = {job_id for job_id, _ in record.done()}
    for receipt in record.in_night():
        if receipt.job_id in done:
            took[receipt.job_id].append(receipt.seconds)
    return {job_id: added(seconds) for job_id, seconds in took.items()}


def specs_of(record: NightRecord) -> dict[str, JobSpec]:
    return {job_id: line.spec for job_id, line in record.lines.items() if line.spec is not None}
