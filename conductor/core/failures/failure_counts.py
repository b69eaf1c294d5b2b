"""Which failures say something of their kind, which of them are alike, and what is counted of a kind. Pure.

The counting itself is done where the attempt ends: `adapters/redis/lua/breakers.lua`, and here for its twin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from conductor.model.causes import Cause
from conductor.model.snapshot import KindState, Role
from conductor.model.spec import Value

#: Of one kind so many unlike failures are told apart.
MOST_UNLIKE = 64
#: Each time that a success broke a row of failures, so many more at one line are wanted until they close the
#: kind, and at most so many times what closes it at first: where most succeed, rows at one line come by
#: chance.
MORE_A_BREAK, MOST_TIMES = 3, 4
#: More of these would change nothing.
MOST_BREAKS = 100


class Counted(NamedTuple):
    #: «died»: only when the job is given up for it; a retry may well solve it.
    when: Literal["always", "died", "never"]
    why: str


COUNTS: Mapping[Cause, Counted] = {
    "bad_input": Counted("always", "a thousand lines may name the same missing file"),
    "bad_output": Counted("always", "the code makes something else than is expected"),
    "bad_result": Counted("always", "the code returns what cannot be written down"),
    "refused": Counted("always", "the same setting refuses all of them"),
    "task_error": Counted("always", "a fault of the code, most of the time"),
    "timeout": Counted("always", "the same limit meets the same work"),
    "stalled": Counted("always", "the code hangs"),
    "cuda_oom": Counted("died", "the next attempt asks for more"),
    "host_oom": Counted("died", "the next attempt asks for more"),
    "server_error": Counted("died", "the API's fault, until it stays that way"),
    "worker_lost": Counted("died", "the host's fault, until a job has lost ten workers"),
    "no_space": Counted("never", "the scratch gate waits for room"),
    "publish_failed": Counted("never", "the work is done and kept; the mount gate waits for the disk"),
    "rate_limited": Counted("never", "the rate gate waits for the budget"),
    "endpoint_unavailable": Counted("never", "the rate gate waits for the endpoint"),
    "store_unavailable": Counted("never", "the rate gate waits for the store"),
    "rejected": Counted("never", "a person's word on one result"),
    "cancelled": Counted("never", "the operator's word"),
    "dependency_dead": Counted("never", "it did not run"),
}

_BLANKED = tuple(
    re.compile(pattern)
    for pattern in (
        r"'[^']*'|\"[^\"]*\"|«[^»]*»|`[^`]*`",  # what is quoted
        r"/[^:;,()#]*\.[a-z][a-z0-9]{1,4}\b",  # a path whose names may hold blanks
        r"\b[a-z][a-z0-9_]*:[^\s,;:()]*/[^\s,;()]*|(?:[a-z]:)?[\\/][^\s,;:()]+",  # root:a/b, /a/b, c:\a
        r"\b[\w.-]+\.[a-z][a-z0-9]{1,4}\b",  # a file's name
        r"\b(?=[a-z0-9-]*\d)[a-z0-9-]{8,}\b",  # ids, hashes
        r"0x[0-9a-f]+|[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?",  # numbers
    )
)
_LONGEST = 120


def fingerprint(cause: Cause, message: str, is_dead: bool) -> str:
    """What failures alike have in common: their cause, and their words without numbers, ids, paths and
    quotes.

    Empty where the failure says nothing of its kind. `is_dead`: the job is given up for it.
    """
    counted = COUNTS[cause].when
    if counted == "never" or (counted == "died" and not is_dead):
        return ""
    words = message[:1000].lower()
    for pattern in _BLANKED:
        words = pattern.sub("#", words)
    words = re.sub(r"#[#\s]*#", "#", words)
    return f"{cause}: {' '.join(words.split())[:_LONGEST]}"


def same_place(alike_in: str, cause: Cause, place: str) -> str:
    """What failures at one line have in common, whatever they say. Empty where the failure says nothing of
    its kind.
    """
    return f"{cause} @ {place}" if alike_in and place else ""


class KindRecord(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What `conductor:breakers` holds of a kind under one code. Times are epoch seconds."""

    verified: int = 0
    failed: int = 0
    since: float = 0.0
    last_at: float = 0.0
    cause: Cause | None = None
    message: str = ""
    opened_at: float | None = None
    probes: int = 0
    is_reviewed: bool = False
    #: Fingerprint, or cause and line → failures, with no success in between.
    alike: dict[str, int] = {}
    #: How often a success broke a row of failures.
    breaks: int = 0
    #: Of its first ones: so many wait for a person's word.
    shown: int = 0

    @property
    def is_news(self) -> bool:
        return bool(self.verified or self.failed or self.shown or self.opened_at is not None)


def state_of(field: str, record: KindRecord) -> KindState:
    """`field`: KIND@CODE."""
    kind, _, version = field.rpartition("@")
    names = (name for name in KindState.__struct_fields__ if name not in ("kind", "version"))
    return KindState(kind=kind, version=version, **{name: getattr(record, name) for name in names})


def failed(
    record: KindRecord,
    alike_in: str,
    cause: Cause,
    message: str,
    now: float,
    role: Role,
    breaker: int,
    place: str = "",
) -> tuple[KindRecord, bool]:
    """One more failure. `place`: as `same_place` has it. True: it opened the breaker."""
    is_probe, alike = role == "probe", dict(record.alike)
    n = _count(alike, alike_in)
    if place:
        spared = min((MOST_TIMES - 1) * breaker, MORE_A_BREAK * record.breaks)
        n = max(n, _count(alike, place) - spared)
    most = record.failed if record.alike.keys() <= alike.keys() else 0
    opens = record.opened_at is None and breaker > 0 and (n >= breaker or is_probe)
    leads = {"failed": n, "cause": cause, "message": message} if n >= most else {"failed": most}
    changed = msgspec.structs.replace(
        record,
        alike=alike,
        since=record.since or now,
        last_at=now,
        is_reviewed=False,
        probes=record.probes + is_probe,
        opened_at=now if opens else record.opened_at,
        **leads,
    )
    return changed, opens


def _count(alike: dict[str, int], what: str) -> int:
    """How often this one was seen. Where there are too many sorts, those seen once are forgotten, or all."""
    n = alike.get(what, 0) + 1
    if n == 1 and len(alike) >= MOST_UNLIKE:
        often = {known: count for known, count in alike.items() if count > 1}
        alike.clear()
        alike.update(often if len(often) < MOST_UNLIKE else {})
    alike[what] = n
    return n


def passed(record: KindRecord | None, now: float, role: Role) -> KindRecord | None:
    """One that ended well: whatever failed before it is over. None: there is nothing left to remember."""
    if role == "" and (record is None or not record.failed):
        return record
    verified = (record.verified if record else 0) + (role != "")
    breaks = 0
    if record is not None and role != "probe":
        breaks = min(record.breaks + (record.failed > 0), MOST_BREAKS)
    waits = record.shown if record else 0
    if not (verified or breaks or waits):
        return None
    return KindRecord(verified=verified, breaks=breaks, shown=waits, last_at=now)


def shown(record: KindRecord | None, by: int, now: float) -> KindRecord | None:
    """One more waits for a person's word, or (-1) none any more. None: there is nothing left to remember."""
    before = record or KindRecord()
    after = msgspec.structs.replace(before, shown=max(0, before.shown + by), last_at=now)
    return after if after.is_news or after.breaks else None
