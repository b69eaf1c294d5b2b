"""A worker as the ledger knows it."""

from __future__ import annotations

from conductor.model.spec import Value

#: Exit code of a worker that had nothing to do for as long as its node keeps it for that (`workers.idle_s`).
RETIRED = 74


class SeenWorker(Value, frozen=True, kw_only=True):
    """A worker that has said that it is there."""

    name: str
    queue: str = ""
    host: str = ""
    pid: int = 0
    #: Which process that is, in its host's words (`adapters.host.known_process`); empty: not told.
    process: str = ""
    #: Since when it is there, by its host's clock; None: it does not say.
    since: float | None = None
    #: When it last said what it holds, by the ledger's clock: its loop has turned since. None: not yet, or so
    #: long ago that it is forgotten.
    heard_at: float | None = None
