"""A pilot: a node that an engine runs as its job, and what is known of it. Epoch seconds by the ledger's
clock, but for what the engine itself tells (`EngineJob`).
"""

from __future__ import annotations

from typing import Literal

from conductor.model.engine import EngineCapacity, EngineJob, RefusedRequest
from conductor.model.job_submission import JobSubmission
from conductor.model.spec import Exchanged, Lane, Value

#: «asking»: written down, and whether the engine has it nobody knows yet. «placed»: the engine or its own
#: node said that it is there. «ending»: it was told to end. «ended»: nothing of it is left. «lost»: neither
#: the engine nor a node tells of it; it may run on, and its node is turned away when it comes up late
#: (`PilotBook.claim`).
PilotState = Literal["asking", "placed", "ending", "ended", "lost"]
#: «pilots»: nodes, which take jobs by themselves. «jobs»: each job by itself (`conductor exec`).
EngineMode = Literal["pilots", "jobs"]
LIVE: frozenset[PilotState] = frozenset({"asking", "placed", "ending"})


class Pilot(Exchanged, frozen=True, kw_only=True):
    #: Its name at the engine. Each is submitted once: the next pilot is another one.
    key: str
    engine: str
    state: PilotState = "asking"
    asked_at: float
    #: As the engine told of it last, and when.
    job: EngineJob | None = None
    told_at: float | None = None
    #: Since when the engine answers without it, and no node of it reports.
    missing_since: float | None = None
    #: When it was first seen to run, when its node reported first, and until when that takes work.
    began_at: float | None = None
    up_at: float | None = None
    ends_at: float | None = None
    #: Since when it has nothing to do; while it waits in the engine: since when nobody waits for it.
    idle_since: float | None = None
    #: When the engine was asked to end it last.
    cancelled_at: float | None = None
    over_at: float | None = None
    #: Why it ended, was lost, or is not known to be there.
    words: str = ""

    @property
    def name(self) -> str:
        """«lab-7», for people."""
        return "-".join(self.key.rsplit("-", 2)[-2:])

    @property
    def node(self) -> str:
        """The name that its node has."""
        return self.name.replace("-", "_")

    @property
    def is_live(self) -> bool:
        return self.state in LIVE


class PilotShape(Value, frozen=True, kw_only=True):
    """What one pilot of an engine brings."""

    lanes: tuple[Lane, ...]
    cpus: int
    ram_mib: int
    devices: int = 0
    vram_mib: int = 0
    time_s: float


class PilotRules(Value, frozen=True, kw_only=True):
    """`[engines.NAME]`, as far as the decision goes by it."""

    min: int = 0
    max: int = 1
    idle_s: float = 300.0
    shape: PilotShape


class EngineState(Exchanged, frozen=True, kw_only=True):
    """What the leader knows of one engine."""

    name: str
    kind: str = ""
    #: What it runs: nodes, or single jobs.
    mode: EngineMode = "pilots"
    #: Number of the last pilot that was asked for.
    last_number: int = 0
    #: When it answered last, and since when it does not; why.
    answered_at: float | None = None
    away_since: float | None = None
    words: str = ""
    capacity: EngineCapacity = EngineCapacity()
    #: So many pilots (or jobs) in a row were refused or were of no use; no other one is asked for before.
    young: int = 0
    #: Of the last one of them, why.
    young_words: str = ""
    backoff_until: float = 0.0
    #: Of single jobs: class id → its refusal, while that counts; and when the engine took a submission last.
    refused: dict[str, RefusedRequest] = {}
    placed_at: float = 0.0
    #: How long it took from the question until a node reported, lately; None: not known yet.
    up_after_s: float | None = None
    #: Why no more pilots are asked for, as a clause; "": nothing more is wanted, or they were asked for.
    why_not: str = ""
    min: int = 0
    max: int = 0


class PilotStates(Value, frozen=True, kw_only=True):
    """All that is written down of engines, of pilots, and of jobs that engines run one by one."""

    engines: dict[str, EngineState] = {}
    #: By key.
    pilots: dict[str, Pilot] = {}
    submissions: dict[str, JobSubmission] = {}
