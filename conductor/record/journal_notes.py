"""One line of the journal."""

from __future__ import annotations

from typing import Literal

from conductor.model.causes import Cause
from conductor.model.spec import JobId, Value


class Note(Value, frozen=True, kw_only=True):
    """One line. Times are epoch seconds by the host that wrote it, for people. Only what a task is to forget
    goes by them, for receipts have no other order."""

    v: Literal[1] = 1
    #: Above all notes that its writer could see.
    n: int = 0
    at: float
    what: Literal[
        "dispatched",
        "rebuilt",
        "retried",
        "cancelled",
        "requeued",
        "reviewed",
        "tried",
        "forgot",
        "paused",
        "resumed",
        "draining",
        "fed",
        "fire_ended",
        "fires_skipped",
        "schedule_paused",
        "schedule_resumed",
        "prioritised",
        "acted",
        "foretold",
    ]
    #: Of a dispatch, or of a rebuild that brought one back: the ledger it went to, the manifest and what it
    #: held.
    generation: str = ""
    manifest: str = ""
    sha256: str = ""
    backlog: str = ""
    jobs: int = 0
    #: Its jobs that lay in another backlog were to come along.
    is_move: bool = False
    #: Of an operator's word: job → its attempts until then.
    ids: dict[JobId, int] = {}
    #: Of a cancellation that was `conductor fail`: what it is to count as.
    cause: Cause | None = None
    #: Of a kind whose waiting jobs went into review: its name, and what its failures had in common. Of one
    #: that is to be tried at once, and of a task whose learned needs were forgotten: its name. Of a job put
    #: back: its state.
    kind: str = ""
    words: str = ""
    #: Of a pause: the lane, or the device; of a drain: the node. Empty: all of them.
    place: str = ""
    #: Of fires: their schedule, the (last) instant in whole epoch seconds, and how many. Of what was foretold
    #: first of a run: the instant at which it should be through; `jobs` were left then.
    schedule: str = ""
    instant: int = 0
    fires: int = 0
    #: It was the operator's hand: nothing that is due was moved by it.
    is_by_hand: bool = False
    #: Of jobs that were given another priority.
    priority: int = 0
    #: Of an action on many jobs, for people (`kind`: what was done, `words`: the filter, `jobs`: to how
    #: many): who did it.
    who: str = ""
    #: Of a device that was resumed: the ledger's own number of that word.
    word: int = 0


#: Jobs go in with both.
PUT = ("dispatched", "rebuilt")
