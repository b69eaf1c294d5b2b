"""A tick as bytes and back: what the decision was given and what it decided, each part written once per file.

Parts (a node's report, a class, a reservation) that are equal to an earlier one are named by number. Of the answers of
the gates, which are most of a tick and follow from the rest, a digest is kept, and all of them now and then. Free words
of tasks and signatures stay out, and so do manifest lines: there are classes and ids only.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from conductor.model.decision import Admission, Decision, Hold
from conductor.model.files import Chain
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, Head, JobClass, Reservation, Snapshot

FORMAT = 1
#: Of a hold: «since this very tick», which would make every hold another one.
SINCE_NOW = -1.0
#: So many objects are known by their identity; then they are got to know anew.
MOST_SAME = 10_000
#: The holds are kept in full once in so long: to say what is different in words, where it is.
FULL_EVERY_S = 10.0

_encode = msgspec.msgpack.Encoder().encode


class Tick(Struct, frozen=True, kw_only=True):
    """One tick of a live conductor: the arguments of `decide` and its answer."""

    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    limits: Limits
    #: Its holds only where `is_full`.
    decision: Decision
    #: Of the holds (`digest_of`). Empty: not recorded, the decision is whole.
    digest: bytes = b""
    is_full: bool = True
    #: Ticks before this one that could not be recorded: the disk was slower than the conductor.
    skipped: int = 0


class Header(Struct, frozen=True, kw_only=True):
    """The first frame of a file."""

    format: int
    version: str
    host: str
    pid: int
    started_at: float


class Frame(Struct, frozen=True, array_like=True):
    """Parts that are new in this tick, then the tick in numbers of parts."""

    parts: list[msgspec.Raw]
    now: float
    rest: int
    limits: int
    nodes: list[int]
    reservations: list[int]
    chains: list[int]
    #: (class, how many wait, heads)
    candidates: list[tuple[int, int, int]]
    admit: list[int]
    #: None: left out.
    hold: list[int] | None
    #: The decision's other fields.
    decision: int
    digest: bytes
    skipped: int = 0


class Writer:
    """Of one file: it remembers which parts are in it already."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._new: list[msgspec.Raw] = []
        #: Objects that come again and again as the very same (a class): their bytes need not be made anew.
        self._same: dict[int, tuple[Any, int]] = {}
        #: Class → its heads at the last tick: to compare them is cheaper than to write them again.
        self._heads: dict[int, tuple[tuple[Head, ...], int]] = {}
        self._full_at = float("-inf")
        self.written_bytes = 0

    def frame(self, tick: Tick) -> bytes:
        self._new = []
        s, decision = tick.snapshot, tick.decision
        is_full = tick.is_full and not 0 <= s.now - self._full_at < FULL_EVERY_S
        self._full_at = s.now if is_full else self._full_at
        fields = (
            s.now,
            self._part(replace(s, now=0.0, nodes=(), reservations=(), chains=())),
            self._kept(tick.limits),
            [self._part(node) for node in s.nodes],
            [self._part(without_words(r)) for r in s.reservations],
            [self._part(chain) for chain in s.chains],
            [self._candidate(c) for c in tick.candidates],
            [self._part(admission) for admission in decision.admit],
            [self._part(undated(hold, s.now)) for hold in decision.hold] if is_full else None,
            self._part(replace(decision, now=0.0, admit=(), hold=())),
            tick.digest or digest_of(decision),
            tick.skipped,
        )
        frame = _encode(Frame(self._new, *fields))
        self.written_bytes += len(frame)
        return frame

    def _candidate(self, candidate: Candidate) -> tuple[int, int, int]:
        number = self._kept(candidate.job_class)
        heads = self._heads.get(number)
        if heads is None or heads[0] != candidate.heads:
            heads = self._heads[number] = (candidate.heads, self._part(candidate.heads))
        return number, candidate.waiting, heads[1]

    def _kept(self, value: Any) -> int:
        known = self._same.get(id(value))
        if known is None:
            if len(self._same) >= MOST_SAME:
                self._same.clear()
            known = self._same[id(value)] = (value, self._part(value))
        return known[1]

    def _part(self, value: Any) -> int:
        text = _encode(value)
        mark = blake2b(text, digest_size=16).digest()
        number = self._numbers.get(mark)
        if number is None:
            number = self._numbers[mark] = len(self._numbers)
            self._new.append(msgspec.Raw(text))
        return number


class Reader:
    """Of one file, frame by frame from its start."""

    def __init__(self) -> None:
        self._parts: list[msgspec.Raw] = []
        self._made: dict[tuple[int, Any], Any] = {}

    def tick(self, frame: bytes) -> Tick:
        """Raises `msgspec.DecodeError` for what another version wrote, `IndexError` for what is not whole."""
        f = msgspec.msgpack.decode(frame, type=Frame)
        self._parts += f.parts
        rest = self._value(f.rest, Snapshot)
        snapshot = replace(
            rest,
            now=f.now,
            nodes=self._values(f.nodes, NodeReport),
            reservations=self._values(f.reservations, Reservation),
            chains=self._values(f.chains, Chain),
        )
        candidates = tuple(
            Candidate(
                job_class=self._value(kind, JobClass), waiting=waiting, heads=self._value(heads, tuple[Head, ...])
            )
            for kind, waiting, heads in f.candidates
        )
        decision = replace(
            self._value(f.decision, Decision),
            now=f.now,
            admit=self._values(f.admit, Admission),
            hold=tuple(dated(hold, f.now) for hold in self._values(f.hold or (), Hold)),
        )
        limits = self._value(f.limits, Limits)
        return Tick(
            snapshot=snapshot,
            candidates=candidates,
            limits=limits,
            decision=decision,
            digest=f.digest,
            is_full=f.hold is not None,
            skipped=f.skipped,
        )

    def _values(self, numbers: Sequence[int], kind: Any) -> tuple[Any, ...]:
        return tuple(self._value(number, kind) for number in numbers)

    def _value(self, number: int, kind: Any) -> Any:
        made = self._made.get((number, kind))
        if made is None:
            made = self._made[number, kind] = msgspec.msgpack.decode(self._parts[number], type=kind)
        return made


def without_words(r: Reservation) -> Reservation:
    """The decision asks for neither; a task may say anything in its note."""
    return replace(r, note="", signature="") if r.note or r.signature else r


def undated(hold: Hold, now: float) -> Hold:
    return replace(hold, since=SINCE_NOW) if hold.since == now else hold


def dated(hold: Hold, now: float) -> Hold:
    return replace(hold, since=now) if hold.since == SINCE_NOW else hold


def digest_of(decision: Decision) -> bytes:
    """Of its holds."""
    return blake2b(_encode(decision.hold), digest_size=16).digest()


def canonical(decision: Decision) -> Decision:
    """As it would be read back: an integer in a field of seconds is a float there."""
    return msgspec.msgpack.decode(_encode(decision), type=Decision)
