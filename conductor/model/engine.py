"""What an engine is asked for, and what it says of it. An engine is a scheduler that is already there (Slurm,
Kubernetes, Ray …) and runs pilots, or single attempts, as its jobs.

A **key** names one submission: small letters, digits and `-`, a letter first, 63 characters at most, so that
every engine can take it as a name. It begins with the prefix of its project, and ends with the number of the
attempt. A key is submitted once in its life. Times are epoch seconds by the engine's clock, which may be
another one than ours: they are shown, and decide nothing.
"""

from __future__ import annotations

from typing import Literal

from conductor.model.spec import Exchanged, Value

KEY = r"[a-z][a-z0-9-]{0,61}[a-z0-9]"

#: «placed»: the engine has it, under this key, once. «refused»: it will never have it, for the reason in
#: `words`; nothing was made. «unknown»: nobody knows whether it has it (no answer in time, a connection that
#: broke, an answer that makes no sense); it may run at this moment.
Outcome = Literal["placed", "refused", "unknown"]
#: «lost»: the engine itself does not know what became of it (its host went, its record was purged). It may
#: run on: lost is not failed.
EngineJobState = Literal["pending", "running", "ended", "lost"]
#: How a job of an engine ended. «time»: it was stopped at its time limit; «killed»: by anything else than us
#: (preemption, memory, an administrator).
EngineEnd = Literal["done", "failed", "cancelled", "time", "killed"]


class EngineResources(Value, frozen=True, kw_only=True):
    """What one submission takes, all on one host."""

    cpus: int = 1
    ram_mib: int = 1024
    #: GPUs.
    devices: int = 0
    #: Further ones by the engine's own names: `{"vram": 14}`, `{"nuke": 1}`.
    gres: dict[str, int] = {}
    licences: dict[str, int] = {}


class Submission(Value, frozen=True, kw_only=True):
    """A program for an engine to run once. No shell reads `argv`."""

    argv: tuple[str, ...]
    #: Over what the engine gives its jobs. It holds no secrets: engines show it.
    environment: dict[str, str] = {}
    #: Where it begins; an absolute path that every host of the engine has.
    folder: str
    #: The file for what it prints, an absolute path; empty: nowhere.
    output: str = ""
    resources: EngineResources = EngineResources()
    #: The engine ends it after so long.
    time_limit_s: float


class SubmitAnswer(Value, frozen=True, kw_only=True):
    outcome: Outcome
    #: The engine's own name of it, for people; it may be used again, so nothing is found by it.
    id: str = ""
    #: Why it was refused, or why nobody knows, in the engine's words.
    words: str = ""


class RefusedRequest(Exchanged, frozen=True, kw_only=True):
    """A class of jobs of which an engine refused one last. `until` then none of them is given to it. Epoch
    seconds by the ledger's clock."""

    #: In a row.
    times: int
    at: float
    until: float
    #: The engine's own.
    words: str


class EngineJob(Exchanged, frozen=True, kw_only=True):
    """One submission as the engine has it."""

    state: EngineJobState
    id: str = ""
    #: The engine's own words: why it waits («Resources», «Licenses»), or how it ended.
    reason: str = ""
    #: Of what waits: its place among those that wait there, from 1, and when it may start. None: not told.
    position: int | None = None
    expected_at: float | None = None
    host: str = ""
    started_at: float | None = None
    #: When the engine will end it, or when it ended.
    ends_at: float | None = None
    #: Of what ended.
    end: EngineEnd | None = None
    exit_code: int | None = None


class EngineChanges(Value, frozen=True, kw_only=True):
    """What changed. `cursor`: for the next question; it holds no state of ours and may be written down."""

    cursor: str
    jobs: dict[str, EngineJob] = {}


class EngineCapacity(Exchanged, frozen=True, kw_only=True):
    """What the engine says it has, all hosts together, for people and as a hint: it may be wrong. None: it
    does not tell."""

    cpus: int | None = None
    free_cpus: int | None = None
    devices: int | None = None
    free_devices: int | None = None
    #: Jobs of anybody that wait there.
    pending: int | None = None
