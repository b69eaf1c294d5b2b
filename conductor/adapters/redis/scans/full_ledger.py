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

    @property
    def is_shown(self) -> bool:
        """A person's verdict on what it made is waited for."""
        return self.state == "review" and bool(self.accepted)


class FullLedger(Struct, frozen=True, kw_only=True):
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
    reservations: Mapping[str, Reservation]
    charges: Mapping[str, Mapping[str, int]]
    #: What the charges of a running job have beyond its own: claimed for the one preloaded behind it.
    claims: Mapping[str, Mapping[str, int]] = {}
    reserved: Mapping[str, int]
    #: Id → expiry; epoch seconds, as `now`.
    leases: Mapping[str, float]
    admitted: frozenset[str]
    off_queue_at: Mapping[str, float]
    queues: Mapping[str, Sequence[str]]
    #: Id → status and origin of its attempt's RQ job.
    rq: Mapping[str, tuple[str, str]]
    wip: Mapping[str, Sequence[str]]
    #: Ids in the set of their state.
    by_state: Mapping[JobState, Sequence[str]]
    #: Backlog → cause → how many of its dead died of it themselves; and who: id → cause.
    causes: Mapping[str, Mapping[str, int]] = {}
    dead_by_own_cause: Mapping[str, str] = {}
    now: float
    #: Read in pieces: the counts as they were before the first of them. None: all of it is of one instant.
    counts_before: Mapping[str, Mapping[JobState, int]] | None = None


def no_full_ledger() -> FullLedger:
    """Of a project in which nothing was done yet."""
    return FullLedger(
        jobs={},
        garbled=(),
        lineless=(),
        counts={},
        backlog_of={},
        free={},
        ready=frozenset(),
        delayed=(),
        bound=(),
        reservations={},
        charges={},
        reserved={},
        leases={},
        admitted=frozenset(),
        off_queue_at={},
        queues={},
        rq={},
        wip={},
        by_state={},
        now=0.0,
    )


def full_ledger_of(scripts: Scripts, ids: Sequence[str] | None = None) -> FullLedger:
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
        reservations,
        charges,
        reserved,
        leases,
        admitted,
        off_queue_at,
        queues,
        rq,
        wip,
        class_backlog,
        lineless,
        now_ms,
        by_state,
        claims,
        causes,
        dead_by_own_cause,
    ) = found
    jobs, garbled = rows(state)
    return FullLedger(
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
        reservations={job_id: _reservation(text) for job_id, text in pairs(reservations)},
        charges={job_id: _charges(text) if text != "{}" else {} for job_id, text in pairs(charges)},
        claims={job_id: mapping(row) for job_id, row in mapping(claims).items()},
        reserved={key: int(n) for key, n in pairs(reserved)},
        leases={job_id: float(at) / 1000 for job_id, at in pairs(leases)},
        admitted=frozenset(admitted),
        off_queue_at={job_id: float(at) / 1000 for job_id, at in pairs(off_queue_at)},
        queues=mapping(queues),
        rq={job_id: (status, origin) for job_id, (status, origin) in mapping(rq).items()},
        wip=mapping(wip),
        by_state={STATE_OF[letter]: ids for letter, ids in mapping(by_state).items()},
        causes={name: {cause: int(n) for cause, n in pairs(row)} for name, row in mapping(causes).items()},
        dead_by_own_cause=dict(pairs(dead_by_own_cause)),
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
