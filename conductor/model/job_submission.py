"""One attempt that an engine runs as a job of its own, and what is known of that. Epoch seconds by the
ledger's clock, but for what the engine itself tells (`EngineJob`).
"""

from __future__ import annotations

from typing import Literal

from conductor.model.engine import EngineJob
from conductor.model.spec import Exchanged

#: «asking»: written down, and whether the engine has it nobody knows yet. «placed»: the engine said that it
#: has it. «over»: nobody waits for it any more (its attempt has ended, was cancelled, or was given up): it is
#: to leave the engine, and is forgotten once it has.
SubmissionState = Literal["asking", "placed", "over"]

#: Letters of a job's id in its key: what all engines take for a name is short.
ID_LETTERS = 16


class JobSubmission(Exchanged, frozen=True, kw_only=True):
    #: Its name at the engine, where it is submitted once.
    key: str
    engine: str
    #: Empty: the ledger was emptied, and of the job no more is known than the key has.
    job_id: str = ""
    attempt: int
    state: SubmissionState = "asking"
    asked_at: float
    #: As the engine told of it last, and when.
    job: EngineJob | None = None
    told_at: float | None = None
    #: Since when the engine answers without it.
    missing_since: float | None = None
    #: Since when nobody waits for it, and when the engine was asked to end it last.
    over_at: float | None = None
    cancelled_at: float | None = None
    #: Why it is over, or not known to be there.
    words: str = ""
