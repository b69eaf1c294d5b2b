"""A schedule: its rule, as conductor.toml has it, and where it stands. Instants are whole epoch seconds."""

from __future__ import annotations

from typing import Literal

from conductor.model.spec import Exchanged, Value

#: Of fires that came due while nobody led: the last one is made up for, none is, or all are.
Missed = Literal["once", "skip", "all"]
#: A fire that comes due while the one before is not over.
Overlap = Literal["skip", "queue"]
FireOutcome = Literal["fired", "failed"]


class ScheduleRule(Value, frozen=True, kw_only=True):
    """What decides which fires are due; when they are due the calendar says."""

    name: str
    missed: Missed = "once"
    #: Of `missed = "all"`: no more than the last so many.
    all_up_to: int = 10
    overlap: Overlap = "skip"
    #: Each fire is put off by up to so much, always the same for the same fire.
    jitter_s: float = 0.0


class TakenFire(Exchanged, frozen=True, kw_only=True):
    """A fire that somebody has in hand. It is his until `until`; then it is anybody's again."""

    instant: int
    #: Host and process.
    owner: str
    #: When it was taken first.
    since: float
    until: float
    is_by_hand: bool = False


class FireEnd(Exchanged, frozen=True, kw_only=True):
    """What a fire came to."""

    instant: int
    began_at: float
    ended_at: float
    outcome: FireOutcome
    #: Jobs that it put into its backlog.
    jobs: int = 0
    exit_code: int = 0
    #: One sentence.
    words: str = ""
    #: Where all it printed is kept; empty: nowhere.
    output: str = ""


class ScheduleState(Exchanged, frozen=True, kw_only=True):
    """One schedule as the ledger has it."""

    name: str
    #: Every instant up to this one was fired or skipped.
    handled_to: int
    is_paused: bool = False
    #: Since when a fire waits for the one before; 0: none does.
    waits_since: float = 0.0
    fired: int = 0
    failed: int = 0
    skipped: int = 0
    taken: TakenFire | None = None
    last: FireEnd | None = None
