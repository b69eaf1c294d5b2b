"""A tick as bytes and back: what the decision was given and what it decided, each part written once per file.

Parts (a node's report, a class, a reservation) that are equal to an earlier one are named by number, and what
is as it was at the tick before is left out. Of the answers of the gates, which are most of a tick and follow
from the rest, it is kept which gates were closed to whom, and all of them now and then. Free words of tasks
and signatures stay out, and so do manifest lines: there are classes and ids only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from conductor.base.errors import ConfigError
from conductor.model.chains import Chain
from conductor.model.decision import GATES, Admission, Decision, Gate, Hold
from conductor.model.limits import Limits
from conductor.model.report import NodeReport
from conductor.model.snapshot import BacklogUse, Candidate, Head, JobClass, Reservation, Snapshot

FORMAT = 4
#: Of a hold: «since this very tick», which would make every hold another one.
SINCE_NOW = -1.0
#: The holds are kept in full once in so long: to say what is different in words, where it is.
FULL_EVERY_S = 30.0

#: So many classes are known by their identity; then they are got to know anew.
MOST_CLASSES = 10_000
#: What is no longer is its own mark.
MARK_BYTES = 16

#: Held class → one bit per closed gate, and one for «no wait will open it».
Gates = dict[str, int]
BIT: dict[Gate, int] = {gate: 1 << n for n, gate in enumerate(GATES)}
NEVER = 1 << len(GATES)

_encode = msgspec.msgpack.Encoder().encode


class Tick(Struct, frozen=True, kw_only=True):
    """One tick of a live conductor: the arguments of `decide` and its answer."""

    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    limits: Limits
    #: Its holds only where `is_full`.
    decision: Decision
    #: Of the holds (`gates_of`). None: not worked out yet, the decision is whole.
    gates: Gates | None = None
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


class TickFrame(Struct, frozen=True, array_like=True):
    """Parts that are new in this tick, then the tick in numbers of parts. None: as at the tick before."""

    parts: list[msgspec.Raw]
    now: float
    rest: int
    limits: int
    nodes: list[int] | None
    reservations: list[int] | None
    chains: list[int] | None
    #: Of the snapshot and of the decision.
    orders: tuple[int, int]
    #: How many; those that are others than at the tick before: position, class, how many wait, heads.
    candidates: tuple[int, list[tuple[int, int, int, int]]]
    admit: list[int]
    #: All holds; None: left out.
    hold: list[int] | None
    #: Class id → its closed gates, where that is new; -1: held no longer.
    gates: dict[str, int] | None
    #: The decision's other fields.
    decision: int
    skipped: int = 0
    #: What backlogs had used, of the snapshot and of the decision: another one in every tick.
    used: tuple[int, int] | None = None


class Writer:
    """Of one file: it remembers which parts are in it already, and the tick before."""

    def __init__(self, full_every_s: float = FULL_EVERY_S) -> None:
        self._full_every_s = full_every_s
        self._numbers: dict[bytes, int] = {}
        self._new: list[msgspec.Raw] = []
        #: Values of the tick before with their numbers: most come again, and to compare is cheaper than to
        #: encode.
        self._last: dict[str, tuple[Any, int]] = {}
        self._lists: dict[str, tuple[tuple[Any, ...], list[int]]] = {}
        self._classes: dict[int, tuple[JobClass, int]] = {}
        self._candidates: tuple[Candidate, ...] = ()
        self._gates: Gates = {}
        self._full_at = float("-inf")
        self.written_bytes = 0

    def frame(self, tick: Tick) -> bytes:
        self._new = []
        s, decision = tick.snapshot, tick.decision
        is_full = tick.is_full and not 0 <= s.now - self._full_at < self._full_every_s
        self._full_at = s.now if is_full else self._full_at
        bare = replace(s, now=0.0, nodes=(), reservations=(), chains=(), order=(), used={})
        # In the order in which its parts are numbered.
        fields = (
            s.now,
            self._part(bare),
            self._same("limits", tick.limits),
            self._numbered("nodes", s.nodes),
            self._numbered("reservations", s.reservations),
            self._numbered("chains", s.chains),
            (self._same("order", s.order), self._same("order", decision.order)),
            self._changed(tick.candidates),
            [self._part(admission) for admission in decision.admit],
            [self._part(undated(hold)) for hold in decision.hold] if is_full else None,
            self._news_of(gates_of(decision) if tick.gates is None else tick.gates),
            self._part(replace(decision, now=0.0, admit=(), hold=(), order=(), used={})),
            tick.skipped,
            (self._same("used", s.used), self._same("used then", decision.used))
            if s.used or decision.used
            else None,
        )
        frame = _encode(TickFrame(self._new, *fields))
        self.written_bytes += len(frame)
        return frame

    def _same(self, name: str, value: Any) -> int:
        last = self._last.get(name)
        if last is None or last[0] != value:
            last = self._last[name] = (value, self._part(value))
        return last[1]

    def _numbered(self, name: str, values: tuple[Any, ...]) -> list[int] | None:
        """None: the very same as at the tick before. Those at the same place, or one further on, are
        mostly equal.
        """
        before, numbers = self._lists.get(name, ((), None))
        if numbers is not None and before == values:
            return None
        known = {_key(value): (value, number) for value, number in zip(before, numbers or (), strict=True)}
        found: list[int] = []
        for value in values:
            was = known.get(_key(value))
            found.append(was[1] if was is not None and was[0] == value else self._part(without_words(value)))
        self._lists[name] = (values, found)
        return found

    def _changed(self, candidates: tuple[Candidate, ...]) -> tuple[int, list[tuple[int, int, int, int]]]:
        before, self._candidates = self._candidates, candidates
        if len(before) < len(candidates):
            before = (*before, *([None] * (len(candidates) - len(before))))
        found = [
            (at, self._class(c.job_class), c.waiting, self._part(c.heads))
            for at, (c, was) in enumerate(zip(candidates, before, strict=False))
            if c != was
        ]
        return len(candidates), found

    def _class(self, job_class: JobClass) -> int:
        """By identity: the same class comes as the same object."""
        known = self._classes.get(id(job_class))
        if known is None:
            if len(self._classes) >= MOST_CLASSES:
                self._classes.clear()
            known = self._classes[id(job_class)] = (job_class, self._part(job_class))
        return known[1]

    def _news_of(self, gates: Gates) -> dict[str, int] | None:
        before, self._gates = self._gates, gates
        if gates == before:
            return None
        news = {name: mask for name, mask in gates.items() if before.get(name) != mask}
        return news | {name: -1 for name in before if name not in gates}

    def _part(self, value: Any) -> int:
        text = _encode(value)
        mark = text if len(text) <= MARK_BYTES else blake2b(text, digest_size=MARK_BYTES).digest()
        number = self._numbers.get(mark)
        if number is None:
            number = self._numbers[mark] = len(self._numbers)
            self._new.append(msgspec.Raw(text))
        return number


def _key(value: Any) -> Any:
    """By which a value is known from one tick to the next."""
    if isinstance(value, Reservation):
        return value.job_id
    return value.node if isinstance(value, NodeReport) else value.id


class Point:
    """A tick as it stands in its file: what it names is made only when it is asked for.

    What is made raises `ConfigError` where another version wrote it."""

    __slots__ = ("_frame", "_lists", "_reader", "candidates", "gates", "now", "skipped")

    def __init__(
        self,
        reader: Reader,
        frame: TickFrame,
        lists: tuple[list[int], list[int], list[int]],
        candidates: tuple[tuple[int, int, int], ...],
        gates: Gates,
    ) -> None:
        self._reader, self._frame, self._lists = reader, frame, lists
        self.now, self.skipped = frame.now, frame.skipped
        #: (class, how many wait, heads), as numbers; the same object while nothing of it changes, as is
        #: `gates`.
        self.candidates = candidates
        self.gates = gates

    @property
    def is_full(self) -> bool:
        return self._frame.hold is not None

    @property
    def admit(self) -> list[int]:
        return self._frame.admit

    @property
    def reader(self) -> Reader:
        """Of its file: numbers of parts are those of one file."""
        return self._reader

    @property
    def nodes(self) -> list[int]:
        """As `reservations`."""
        return self._lists[0]

    @property
    def reservations(self) -> list[int]:
        """The very same list while nothing of it changes."""
        return self._lists[1]

    def value(self, number: int, kind: Any) -> Any:
        return self._reader.value(number, kind)

    @property
    def found(self) -> set[int]:
        return self._reader.found

    def tick(self) -> Tick:
        f, value = self._frame, self._reader.value
        nodes, reservations, chains = self._lists
        snapshot = replace(
            value(f.rest, Snapshot),
            now=f.now,
            nodes=self._values(nodes, NodeReport),
            reservations=self._values(reservations, Reservation),
            chains=self._values(chains, Chain),
            order=value(f.orders[0], tuple[str, ...]),
            used=value(f.used[0], dict[str, BacklogUse]) if f.used else {},
        )
        decision = replace(
            value(f.decision, Decision),
            now=f.now,
            admit=self._values(f.admit, Admission),
            hold=tuple(dated(hold, f.now) for hold in self._values(f.hold or (), Hold)),
            order=value(f.orders[1], tuple[str, ...]),
            used=value(f.used[1], dict[str, BacklogUse]) if f.used else {},
        )
        return Tick(
            snapshot=snapshot,
            candidates=tuple(self.candidate(row) for row in self.candidates),
            limits=value(f.limits, Limits),
            decision=decision,
            gates=self.gates,
            is_full=self.is_full,
            skipped=f.skipped,
        )

    def candidate(self, row: tuple[int, int, int]) -> Candidate:
        kind, waiting, heads = row
        return Candidate(
            job_class=self.value(kind, JobClass), waiting=waiting, heads=self.value(heads, tuple[Head, ...])
        )

    def _values(self, numbers: Sequence[int], kind: Any) -> tuple[Any, ...]:
        return tuple(self._reader.value(number, kind) for number in numbers)


class Reader:
    """Of one file, frame by frame from its start. `found`: numbers of the parts in which `needle` stands."""

    def __init__(self, name: str = "the recording", needle: bytes = b"") -> None:
        self._name = name
        self._parts: list[msgspec.Raw] = []
        self._made: dict[tuple[int, Any], Any] = {}
        self._lists: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._candidates: tuple[tuple[int, int, int], ...] = ()
        self._gates: Gates = {}
        self._needle = needle
        self.found: set[int] = set()

    def point(self, frame: bytes) -> Point:
        """Raises `msgspec.DecodeError` for what another version wrote, `IndexError` for what is not whole."""
        f = _frame(frame)
        if self._needle and f.parts and self._needle in frame:
            first = len(self._parts)
            self.found.update(first + n for n, part in enumerate(f.parts) if self._needle in bytes(part))
        self._parts += f.parts
        news, was = (f.nodes, f.reservations, f.chains), self._lists
        if any(numbers is not None for numbers in news):
            nodes, reservations, chains = (
                old if new is None else new for old, new in zip(was, news, strict=True)
            )
            self._lists = (nodes, reservations, chains)
        count, changed = f.candidates
        if changed or count != len(self._candidates):
            rows = [*self._candidates[:count], *([(0, 0, 0)] * (count - len(self._candidates)))]
            for at, *row in changed:
                rows[at] = (row[0], row[1], row[2])
            self._candidates = tuple(rows)
        if f.gates is not None:
            self._gates = {name: mask for name, mask in (self._gates | f.gates).items() if mask >= 0}
        return Point(self, f, self._lists, self._candidates, self._gates)

    def value(self, number: int, kind: Any) -> Any:
        made = self._made.get((number, kind))
        if made is None:
            try:
                made = msgspec.msgpack.decode(self._parts[number], type=kind)
            except (msgspec.DecodeError, IndexError) as e:
                raise ConfigError(f"{self._name} cannot be read by this version of Conductor: {e}") from None
            self._made[number, kind] = made
        return made


_frame = msgspec.msgpack.Decoder(TickFrame).decode


def without_words(value: Any) -> Any:
    """Of a reservation: the decision asks for neither; a task may say anything in its note."""
    if isinstance(value, Reservation) and (value.note or value.signature):
        return replace(value, note="", signature="")
    return value


def undated(hold: Hold) -> Hold:
    """As `decide` says it: what the loop adds of the ticks before follows from them."""
    crowded = None if hold.crowded_since is None else SINCE_NOW
    return replace(hold, since=SINCE_NOW, crowded_since=crowded, closed_since={}, lost_s={})


def dated(hold: Hold, now: float) -> Hold:
    return replace(hold, since=now, crowded_since=None if hold.crowded_since is None else now)


# ── which gates are closed to whom ────────────────────────────────────────────────────────────────────────


def gates_of(decision: Decision) -> Gates:
    """Held class → its closed gates."""
    return {hold.class_id: _mask(hold) for hold in decision.hold}


def _mask(hold: Hold) -> int:
    mask = NEVER if hold.is_infeasible else 0
    # What the loop has counted already is a few gates; otherwise all answers are looked at.
    gates: Iterable[Gate] = hold.closed_since or {v.gate for v in hold.verdicts if not v.passed}
    for gate in gates:
        mask |= BIT[gate]
    return mask


def closed(mask: int) -> tuple[Gate, ...]:
    return tuple(gate for gate in GATES if mask & BIT[gate])


def canonical(decision: Decision) -> Decision:
    """As it would be read back: an integer in a field of seconds is a float there."""
    return msgspec.msgpack.decode(_encode(decision), type=Decision)
