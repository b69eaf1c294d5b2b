"""What steps are given: a reservation as `admit.lua` and `adopt.lua` read it, and what a tick asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from conductor.adapters.rq import envelope
from conductor.core.capacity.charges import charges
from conductor.model.ledger_entries import untold
from conductor.model.snapshot import Lookahead, Reservation

_to_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


def row_of(r: Reservation, ceilings: Mapping[str, int]) -> list[Any]:
    """The reservation goes without what the ledger itself sets (and adds behind it)."""
    bare = untold(msgspec.structs.replace(r, state="admitted", worker=None, admitted_at=0.0, started_at=None))
    return [
        r.job_id,
        r.attempt,
        r.queue,
        _to_json(bare).decode(),
        charges(r),
        dict(ceilings),
        envelope.description(r),
        r.node,
    ]


def heads_asked(look: Lookahead) -> bytes:
    """As `shown.lua` reads it."""
    return _pack([look.heads, look.of, look.backlogs])
