"""`[schedules.NAME]` and `[archive]`: what is done at its time, and where the record's archives go."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Literal

from msgspec import Meta

from conductor.base.cron import checked_cron, checked_zone
from conductor.base.settings.base_section import Positive, Section, Validator, ValueWords
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.schedule import Missed, Overlap, ScheduleRule

#: Commands that keep the house in order; all else that a schedule runs is a workflow.
MAINTENANCE = ("clean", "purge-scratch", "report", "rotate")
SCHEDULE_NAME = r"[a-z][a-z0-9_-]{0,39}"
NAME_IN_WORDS = "up to 40 small letters, digits, - and _, a letter first"


def checked_run(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as e:
        raise ValueError(f"{text!r} cannot be read as a command line: {e}") from None
    if not words:
        raise ValueError(f'is to be "WORKFLOW arguments" or one of {", ".join(MAINTENANCE)}')
    if words[0] not in MAINTENANCE and not words[0].isidentifier():
        near = did_you_mean(words[0], MAINTENANCE)
        raise ValueError(f"{words[0]!r} is neither a workflow nor one of {', '.join(MAINTENANCE)}{near}")
    if words[0] == "plan" and len(words) > 1:
        raise ValueError(f'names the workflow alone: did you mean "{shlex.join(words[1:])}"?')
    if {"-o", "--output", "--tag"} & set(words):
        raise ValueError("cannot have -o, --output or --tag: each fire has a manifest and a tag of its own")
    return text


class ScheduleSettings(Section, frozen=True, kw_only=True):
    """What the leader starts by itself at its times."""

    #: When: minute, hour, day of the month, month, day of the week (`30 18 * * 1-5`), or `@hourly`, `@daily`,
    #: `@weekly`, `@monthly`, `@yearly`.
    cron: Annotated[str, Validator(checked_cron)]
    #: The time zone of these times, by its IANA name (`Europe/Berlin`). None: the host's.
    zone: Annotated[str | None, Validator(checked_zone)] = None
    #: A workflow and its arguments: it is planned and dispatched into `backlog:NAME`. Or a maintenance
    #: command: `clean`, `purge-scratch`, `report`, `rotate`.
    run: Annotated[str, Validator(checked_run)]
    #: Every fire's jobs are jobs of their own («all»), or what is planned again and has not changed is known
    #: and stays as it is («new»).
    repeat: Literal["all", "new"] = "all"
    #: Of fires that came due while no conductor was up: the last one is made up for («once»), none is
    #: («skip»), or all are («all»).
    missed: Missed = "once"
    #: Of `missed = "all"`: the last so many.
    all_up_to: Annotated[int, Meta(ge=1, le=1000)] = 10
    #: A fire that comes due while jobs of its backlog still wait or run is left out («skip»), or waits for
    #: them («queue»).
    overlap: Overlap = "skip"
    #: Each fire is put off by up to so long, so that not all begin at the full hour.
    jitter_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    #: Planning and dispatching, or the command, is ended after so long.
    timeout_s: Positive = 3600.0

    def __post_init__(self) -> None:
        if self.missed == "all" and self.overlap == "skip":
            raise ValueError(
                'missed = "all" makes up for one fire after the other: it goes with overlap = "queue"'
            )

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(shlex.split(self.run))

    @property
    def is_maintenance(self) -> bool:
        return self.words[0] in MAINTENANCE

    def rule(self, name: str) -> ScheduleRule:
        return ScheduleRule(
            name=name,
            missed=self.missed,
            all_up_to=self.all_up_to,
            overlap=self.overlap,
            jitter_s=self.jitter_s,
        )


class CleanSettings(Section, frozen=True, kw_only=True):
    """What is kept of what was printed; the nodes and `conductor clean` remove the rest, the oldest first."""

    #: Days.
    keep_days: Annotated[int, Meta(ge=1, le=36_500)] = 30
    #: Of what bodies printed, all together; today's stays in any case.
    max_bytes: Annotated[int, Meta(ge=0)] = 4 << 30
    #: Of each attempt: of what is more the middle is left out. The first fifth is its beginning, the rest its
    #: end.
    body_bytes: Annotated[int, Meta(ge=16_384, le=1 << 30)] = 5 << 18


class ArchiveSettings(Section, frozen=True, kw_only=True):
    """Where what is old of the record goes (`conductor rotate`), and copies of it in an S3-shaped store."""

    #: What is younger stays in receipts, journal and notes of removals.
    keep_days: Annotated[float, Meta(ge=0, le=100_000)] = 30.0
    #: Address of the store (MinIO, Garage, Ceph); credentials come from the environment. None: Amazon's own.
    s3_url: (
        Annotated[
            str,
            Meta(pattern=r"^https?://"),
            ValueWords('an address that begins with "https://" or "http://"'),
        ]
        | None
    ) = None
    #: Archives are copied there; needs the extra `s3`. None: they stay here alone.
    bucket: str | None = None
    #: Before the names of objects: `studio/`.
    prefix: str = ""
    #: For so long nobody can change or remove a copy; the bucket must have been made with object lock. None:
    #: not locked.
    object_lock_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None

    def __post_init__(self) -> None:
        if self.bucket is None and (self.s3_url is not None or self.object_lock_days is not None):
            raise ValueError("needs a bucket: without one nothing is copied to a store")


def checked_names(schedules: dict[str, ScheduleSettings]) -> dict[str, ScheduleSettings]:
    for name in schedules:
        if not re.fullmatch(SCHEDULE_NAME, name):
            raise ValueError(f"{name!r} is to be {NAME_IN_WORDS}")
    return schedules
