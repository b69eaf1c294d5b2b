"""Every job that has not ended, with its line: what a forecast plays through. Reads only, a few thousand at a
time.

Not of one instant: a job that ends meanwhile is seen twice or not at all, which a forecast bears.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import msgspec

from conductor.adapters.redis.client import translating
from conductor.adapters.redis.codec.lines import lines_of
from conductor.adapters.redis.scripts import Scripts
from conductor.base.redis_keys import STATE_OF
from conductor.model.ledger_entries import JobState
from conductor.model.snapshot import JobClass

SCAN_COUNT = 5_000
LINES = 2_000
GOING: frozenset[JobState] = frozenset({"waiting", "admitted", "running"})

_class = msgspec.json.Decoder(JobClass).decode


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    job_id: str
    state: JobState
    attempts: int
    #: Order of arrival.
    seq: int
    #: Dispatched, epoch seconds.
    since: float
    job_class: JobClass
    line: bytes


class PendingRow(msgspec.Struct, frozen=True):
    job_id: str
    state: JobState
    attempts: int
    seq: int
    class_no: str
    since_ms: int


def read_pending(
    scripts: Scripts, backlogs: Collection[str] = (), most: int = 50_000
) -> list[Pending] | None:
    """The jobs of the backlogs (empty: all) that wait or are going, in order of arrival; None: more than
    `most`.
    """
    client, keys = scripts.client, scripts.keys
    with translating(client):
        created_ms = int(cast(bytes | None, client.get(keys.created_ms)) or 0)
        owner = cast(dict[bytes, bytes], client.hgetall(keys.class_backlog))
        texts = cast(dict[bytes, bytes], client.hgetall(keys.classes))
    mine = {no.decode() for no, name in owner.items() if not backlogs or name.decode() in backlogs}
    classes = {no.decode(): _class(text) for no, text in texts.items() if no.decode() in mine}
    rows = _rows(scripts, classes.keys(), most)
    if rows is None:
        return None
    found: list[Pending] = []
    rows.sort(key=lambda row: row.seq)
    for part in (rows[at : at + LINES] for at in range(0, len(rows), LINES)):
        lines = lines_of(scripts, [row.job_id for row in part])
        found += [
            Pending(
                job_id=row.job_id,
                state=row.state,
                attempts=row.attempts,
                seq=row.seq,
                since=(created_ms + row.since_ms) / 1000,
                job_class=classes[row.class_no],
                line=line,
            )
            for row, line in zip(part, lines, strict=True)
            if line is not None
        ]
    return found


def _rows(scripts: Scripts, mine: Collection[str], most: int) -> list[PendingRow] | None:
    found: dict[str, PendingRow] = {}
    cursor = 0
    while True:
        with translating(scripts.client):
            cursor, part = cast(
                tuple[int, dict[bytes, bytes]],
                scripts.client.hscan(scripts.keys.state, cursor, count=SCAN_COUNT),
            )
        for job_id, text in part.items():
            letter, attempts, seq, number, since, *_ = text.decode().split("|")
            state = STATE_OF[letter]
            if state in GOING and number in mine:
                found[job_id.decode()] = PendingRow(
                    job_id.decode(), state, int(attempts), int(seq), number, int(since)
                )
        if len(found) > most:
            return None
        if cursor == 0:
            return list(found.values())
