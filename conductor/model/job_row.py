"""One row of a list of jobs, and a page of them."""

from __future__ import annotations

from typing import Literal

from conductor.model.grouped_by import GroupedBy
from conductor.model.ledger_entries import JobState
from conductor.model.spec import Value
from conductor.model.subject import named

#: A state is a word and a shape, never a colour alone.
SHAPES: dict[JobState, str] = {
    "waiting": "○",
    "admitted": "◔",
    "running": "●",
    "done": "✓",
    "dead": "✕",
    "review": "◇",
    "cancelled": "⊘",
}

#: proved: an accepted receipt says what it made. refuted: its receipt was taken back. unproved: nothing yet.
ProofState = Literal["unproved", "proved", "refuted"]


class JobRow(Value, frozen=True, kw_only=True):
    """Times are epoch seconds, amounts MiB; None: not known, or not yet. File, message and names are
    strangers' text: whoever shows them escapes them."""

    job_id: str
    state: JobState
    task: str
    workflow: str = ""
    #: The name of the file that it is about; empty: it names none.
    file: str = ""
    backlog: str = ""
    #: File name of the manifest that it was dispatched with.
    manifest: str = ""
    cause: str = ""
    message: str = ""
    #: Where it runs, or its last attempt ran.
    node: str = ""
    #: Of several devices, with commas.
    device: str = ""
    priority: int = 0
    #: How often it was tried.
    attempts: int = 0
    asked_vram_mib: int | None = None
    used_vram_mib: int | None = None
    asked_ram_mib: int | None = None
    used_ram_mib: int | None = None
    dispatched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    #: Of the last attempt, without what it stood still.
    seconds: float | None = None
    #: When it came to be what it is: the list goes by it.
    at: float = 0.0
    proof: ProofState = "unproved"
    #: Of one that runs: how far it is, from 0 to 1, and what it says of itself.
    progress: float | None = None
    note: str = ""

    @property
    def subject(self) -> str:
        """What it is about: «media.cut · clip 07.mp4»."""
        return named(self.task, self.file)


class AttemptRow(Value, frozen=True, kw_only=True):
    """One attempt of a job, as its receipt tells of it."""

    attempt: int
    outcome: str
    cause: str = ""
    message: str = ""
    node: str = ""
    device: str = ""
    started_at: float
    ended_at: float
    seconds: float
    used_vram_mib: int | None = None
    used_ram_mib: int | None = None


class JobPage(Value, frozen=True, kw_only=True):
    """`cursor`: where the next page begins; empty: this was the last. A page may be shorter than was asked,
    and still not the last."""

    rows: tuple[JobRow, ...] = ()
    cursor: str = ""
    #: How many there are in all; at least, where not `is_count_exact`.
    count: int = 0
    is_count_exact: bool = True
    #: Whether states are those of the ledger; else by the record alone.
    is_live: bool = False
    #: What is to be said of it: Redis is away, the index is being fed.
    notes: tuple[str, ...] = ()


class JobGroup(Value, frozen=True, kw_only=True):
    """`name` empty: those that have none. `seconds`: of their last attempts; `device_s`: the same times the
    devices that each had."""

    name: str
    jobs: int
    seconds: float
    device_s: float


class JobSums(Value, frozen=True, kw_only=True):
    """What a filter's jobs come to, and by groups, the largest first. Not `is_exact`: of the latest so
    many."""

    jobs: int = 0
    seconds: float = 0.0
    device_s: float = 0.0
    by: GroupedBy | None = None
    groups: tuple[JobGroup, ...] = ()
    is_exact: bool = True
