"""Call: what one call of an API came to, as its worker tells it, and what the server announced with the
answer.
"""

from __future__ import annotations

from typing import Literal

from conductor.model.spec import Exchanged, JobId

#: ok: answered. refused: a 429. failed: anything else went wrong. uncalled: nothing was sent.
CallOutcome = Literal["ok", "refused", "failed", "uncalled"]

#: What a call says of its endpoint, where that is not well. limited: a 429. busy: it is overloaded, or says
#: when to come back. down: nobody can be reached there. refuses: it refuses everybody (key, money, model,
#: address). faulty: a 5xx, or an answer that broke off, which may be the request's own doing.
Trouble = Literal["limited", "busy", "down", "refuses", "faulty"]


#: Of a server's words so much is kept.
MOST_WORDS = 500


class Budget(Exchanged, frozen=True, kw_only=True):
    """One budget as a server announces it with an answer. None: it did not say."""

    limit: int | None = None
    remaining: int | None = None
    #: Seconds from the answer on until it is whole again.
    resets_in_s: float | None = None
    #: What `limit` is counted over; None: not said, a minute.
    window_s: float | None = None


class Call(Exchanged, frozen=True, kw_only=True):
    """One call. `usd` by the prices of conductor.toml; None where tokens or prices are not known."""

    key: str
    outcome: CallOutcome
    job_id: JobId = ""
    attempt: int = 0
    tokens: int | None = None
    usd: float | None = None
    #: Seconds from when it was sent to its answer, and from its answer to when its worker told of it.
    took_s: float = 0.0
    ago_s: float = 0.0
    #: How long the key stays closed, as the server says: after a 429, or where it says so. None: it does not
    #: say.
    closes_for_s: float | None = None
    requests: Budget = Budget()
    token_budget: Budget = Budget()
    #: None: the endpoint works, whatever it said of the request. `words` are its own, for a person.
    trouble: Trouble | None = None
    words: str = ""


class EndpointFault(Exchanged, frozen=True, kw_only=True):
    """What is known against an endpoint since it last answered. Times are epoch seconds of the ledger's
    clock.
    """

    trouble: Trouble
    words: str = ""
    #: When the first call of the row failed, and when the last was told of.
    since: float = 0.0
    last_at: float = 0.0
    #: So often it was asked in vain: what was under way when it failed counts as the same time.
    times: int = 0
    #: Whose call it was last; it was more than one job's.
    job_id: str = ""
    is_shared: bool = False
