"""The whole ledger at one instant, for those who check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from conductor.adapters.redis.scripts import Scripts
from conductor.base.redis_keys import STATE_OF
from conductor.model.ledger_entries import JobState
from conductor.model.snapshot import Reservation

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_reservation = msgspec.json.Decoder(Reservation).decode
_charges = msgspec.json.Decoder(dict[str, int]).decode


class LedgerRow(NamedTuple):
    state: JobState
    attempts: int
    class_no: str
    #: The body whose receipt was accepted, as far as it is known: ATTEMPT.TOKEN, or ATTEMPT; empty: none.
    accepted: str


class Books(Struct, frozen=True, kw_only=True):
    """What `audit.lua` returns, in the words of the model. Ids are job ids, `queues` hold entries (ID-aN)."""

    jobs: Mapping[str, LedgerRow]
    #: Ids in `state` that cannot be read.
    garbled: Sequence[str]
    #: Ids without a manifest line.
    lineless: Sequence[str]
    counts: Mapping[str, Mapping[JobState, int]]
    backlog_of: Mapping[str, str]
    free: Mapping[str, Sequence[str]]
    ready: frozenset[str]
    delayed: Sequence[str]
    bound: Sequence[str]
    active: Mapping[str, Reservation]
    charges: Mapping[str, Mapping[str, int]]
    #: What the charges of a running job have beyond its own: claimed for the one lined up behind it.
    claims: Mapping[str, Mapping[str, int]] = {}
    sums: Mapping[str, int]
    #: Id → expiry; epoch seconds, as `now`.
    leases: Mapping[str, float]
    handed: frozenset[str]
    popped: Mapping[str, float]
    queues: Mapping[str, Sequence[str]]
    #: Id → status and origin of its attempt's RQ job.
    rq: Mapping[str, tuple[str, str]]
    wip: Mapping[str, Sequence[str]]
    #: Ids in the set of their state.
    aside: Mapping[JobState, Sequence[str]]
    #: Backlog → cause → how many of its dead died of it themselves; and who: id → cause.
    causes: Mapping[str, Mapping[str, int]] = {}
    own_dead: Mapping[str, str] = {}
    now: float
    #: Read in pieces: the counts as they were before the first of them. None: all of it is of one instant.
    counts_before: Mapping[str, Mapping[JobState, int]] | None = None


def no_books() -> Books:
    """Of a project in which nothing was done yet."""
    return Books(
        jobs={},
        garbled=(),
        lineless=(),
        counts={},
        backlog_of={},
        free={},
        ready=frozenset(),
        delayed=(),
        bound=(),
        active={},
        charges={},
        sums={},
        leases={},
        handed=frozenset(),
        popped={},
        queues={},
        rq={},
        wip={},
        aside={},
        now=0.0,
    )


def books_of(scripts: Scripts, ids: Sequence[str] | None = None) -> Books:
    """One script, so that everything is of one instant. Raises `Unreachable`.

    `ids`: of the jobs these only, and those in flight or delayed. None: all; the server does nothing else
    meanwhile."""
    found = _unpack(scripts.run("audit", "" if ids is None else _pack(list(ids))))
    (
        state,
        counts,
        free,
        ready,
        delayed,
        bound,
        active,
        charges,
        sums,
        leases,
        handed,
        popped,
        queues,
        rq,
        wip,
        class_backlog,
        lineless,
        now_ms,
        aside,
        claims,
        causes,
        own_dead,
    ) = found
    jobs, garbled = rows(state)
    return Books(
        jobs=jobs,
        garbled=garbled,
        lineless=lineless,
        counts={
            name: {STATE_OF[letter]: int(n) for letter, n in pairs(row)}
            for name, row in mapping(counts).items()
        },
        backlog_of=dict(pairs(class_backlog)),
        free=mapping(free),
        ready=frozenset(ready),
        delayed=delayed,
        bound=bound,
        active={job_id: _reservation(text) for job_id, text in pairs(active)},
        charges={job_id: _charges(text) if text != "{}" else {} for job_id, text in pairs(charges)},
        claims={job_id: mapping(row) for job_id, row in mapping(claims).items()},
        sums={key: int(n) for key, n in pairs(sums)},
        leases={job_id: float(at) / 1000 for job_id, at in pairs(leases)},
        handed=frozenset(handed),
        popped={job_id: float(at) / 1000 for job_id, at in pairs(popped)},
        queues=mapping(queues),
        rq={job_id: (status, origin) for job_id, (status, origin) in mapping(rq).items()},
        wip=mapping(wip),
        aside={STATE_OF[letter]: ids for letter, ids in mapping(aside).items()},
        causes={name: {cause: int(n) for cause, n in pairs(row)} for name, row in mapping(causes).items()},
        own_dead=dict(pairs(own_dead)),
        now=now_ms / 1000,
    )


def pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[0::2], flat[1::2], strict=True))


def mapping(value: Any) -> dict[str, Any]:
    """The server's msgpack knows an empty table for a list only."""
    return dict(value) if value else {}


def rows(flat: Sequence[str]) -> tuple[dict[str, LedgerRow], list[str]]:
    found: dict[str, LedgerRow] = {}
    garbled: list[str] = []
    for job_id, text in pairs(flat):
        if (row := row_of(text)) is None:
            garbled.append(job_id)
        else:
            found[job_id] = row
    return found, garbled


def row_of(text: str) -> LedgerRow | None:
    """None: it cannot be read."""
    letter, *fields = text.split("|")
    try:
        attempts, _, class_no, _, *accepted = fields
        return LedgerRow(STATE_OF[letter], int(attempts), class_no, accepted[0] if accepted else "")
    except (KeyError, ValueError):
        return None
