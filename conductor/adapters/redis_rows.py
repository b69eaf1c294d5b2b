"""A reservation as `admit.lua` and `adopt.lua` read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from conductor.adapters import rq_envelope
from conductor.core.charges import charges
from conductor.model.snapshot import Reservation

_to_json = msgspec.json.Encoder().encode


def row_of(r: Reservation, ceilings: Mapping[str, int]) -> list[Any]:
    """The reservation goes without what the ledger itself sets (and adds behind it)."""
    bare = msgspec.structs.replace(
        r,
        state="admitted",
        worker=None,
        admitted_at=0.0,
        started_at=None,
        usage=None,
        progress=None,
        note="",
        quiet_s=0.0,
    )
    return [
        r.job_id,
        r.attempt,
        r.queue,
        _to_json(bare).decode(),
        charges(r),
        dict(ceilings),
        rq_envelope.description(r),
        r.node,
    ]
