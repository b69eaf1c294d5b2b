"""By which server the ledger is whole, and what it cost where that was another one before."""

from __future__ import annotations

from msgspec import Struct


class ServedBy(Struct, frozen=True, kw_only=True):
    #: As the leader calls it: «mymaster (10.0.0.5:6379)».
    server: str
    #: Epoch seconds, by the leader's host.
    at: float
    #: The server before; empty: none is known.
    before: str = ""
    #: Seconds since the leader had found the ledger whole for the last time; None: it did not lead then.
    took_s: float | None = None
    #: Attempts that went back to the backlog.
    went_back: int = 0
    #: Jobs, places and kinds of which dispatches and operators had said what was forgotten.
    told_again: int = 0
    #: Workers that said nothing.
    silent: int = 0
    #: New attempts have higher numbers; 0: nothing was forgotten that anybody had heard.
    floor: int = 0

    @property
    def is_failover(self) -> bool:
        return self.before not in ("", self.server)
