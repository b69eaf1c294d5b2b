"""A recording of ticks that outlives renames: what `decide` was given and what it answered, each value under
the names of its day, and the one table that says what those names are now.

The file is lzma over JSON lines. A line is one value, `[class, {field: value}]`, written once; where it
occurs again, or inside another, stands `{"#": line}`. All fields are written, those at their defaults too, so
that a default may change. A tick is a value of the class `Tick`, with its four parts: snapshot, candidates,
limits, decision.

What to do when a name changes (the recording is never made again):

- a class is called otherwise: its name of then → the class, in `CLASSES`;
- a field is called otherwise: `RENAMED[class of then][field of then] = "field now"`; a field that is gone:
  `None`;
- values are called otherwise (a gate, a state): `WORDS`, old → new, for whole strings wherever they stand;
- a value has another shape: `CHANGED[class of then]`, a function from its fields, the new names already in
  place, to the fields that its class takes now. It sees the recorded fields only, and must make of them what
  is meant.

A recorded field that no class takes and no table names is an error that says so, never left out in silence.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from conductor.model import calls, decision, files, job_class, limits, receipt, report, snapshot, spec
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Snapshot

FILE = Path(__file__).parent / "data" / "mixed_run.jsonl.xz"

MODULES = (calls, decision, files, job_class, limits, receipt, report, snapshot, spec)
#: Class of then → its class now, for those that are called otherwise.
CLASSES: dict[str, type[msgspec.Struct]] = {}
#: Class of then → field of then → field now; None: it is gone.
RENAMED: dict[str, dict[str, str | None]] = {}
#: Whole strings of then → now, as values and as keys.
WORDS: dict[str, str] = {}
#: Class of then → from its recorded fields to those that it has now.
CHANGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}

TICK = "Tick"
REF = "#"


class RecordedTick(NamedTuple):
    """The arguments of `decide` and its answer; the times that the loop adds to holds are left out of it."""

    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    limits: Limits
    decision: Decision


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────


class Writer:
    """Each distinct value becomes one line."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._known: dict[bytes, int] = {}

    def add(self, tick: RecordedTick) -> None:
        self._line(TICK, {name: self._told(getattr(tick, name)) for name in tick._fields})

    def write(self, path: Path) -> None:
        path.write_bytes(lzma.compress(b"\n".join(self._lines), preset=9 | lzma.PRESET_EXTREME))

    def _told(self, value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            fields = {name: self._told(getattr(value, name)) for name in value.__struct_fields__}
            return {REF: self._line(type(value).__name__, fields)}
        if isinstance(value, dict):
            return {str(key): self._told(its) for key, its in cast("dict[Any, Any]", value).items()}
        if isinstance(value, (list, tuple)):
            return [self._told(each) for each in cast("Sequence[Any]", value)]
        return value

    def _line(self, name: str, fields: dict[str, Any]) -> int:
        line = msgspec.json.encode([name, fields])
        number = self._known.get(line)
        if number is None or name == TICK:
            number = self._known[line] = len(self._lines)
            self._lines.append(line)
        return number


# ── reading, under the names of now ───────────────────────────────────────────────────────────────────────


def read(path: Path = FILE) -> Iterator[RecordedTick]:
    """Raises `LookupError` for a name of then that is unknown now and stands in no table."""
    made: list[Any] = []
    for line in lzma.decompress(path.read_bytes()).split(b"\n"):
        name, fields = msgspec.json.decode(line)
        told: dict[str, Any] = {field: _value(value, made) for field, value in fields.items()}
        if name == TICK:
            made.append(None)
            candidates = tuple(told.pop("candidates"))
            yield RecordedTick(candidates=candidates, **told)
        else:
            made.append(_made(name, told))


def _value(value: Any, made: Sequence[Any]) -> Any:
    if isinstance(value, dict):
        its = cast("dict[str, Any]", value)
        if len(its) == 1 and REF in its:
            return made[its[REF]]
        return {WORDS.get(key, key): _value(each, made) for key, each in its.items()}
    if isinstance(value, list):
        return [_value(each, made) for each in cast("list[Any]", value)]
    return WORDS.get(value, value) if isinstance(value, str) else value


def _made(name: str, told: dict[str, Any]) -> msgspec.Struct:
    kind = CLASSES.get(name) or next((getattr(m, name) for m in MODULES if hasattr(m, name)), None)
    if kind is None:
        raise LookupError(f"the recorded class {name} is unknown now: name its successor in CLASSES of {__file__}")
    names = RENAMED.get(name, {})
    fields = {now: value for then, value in told.items() if (now := names.get(then, then)) is not None}
    if name in CHANGED:
        fields = CHANGED[name](fields)
    for field in fields:
        if field not in kind.__struct_fields__:
            raise LookupError(
                f"{kind.__name__} has no field {field}, which was recorded of {name}: "
                f"say in RENAMED of {__file__} how it is called now"
            )
    return msgspec.convert(fields, kind)


# ── the first difference, in plain words ──────────────────────────────────────────────────────────────────


def difference(then: Any, now: Any, what: str = "") -> str | None:
    """«hold 3 (media.render): verdict 2: need was 4096, now 8192»; None: the same, bit for bit."""
    if type(then) is not type(now):
        return None if then == now and not _is_value(then) else _said(what, then, now)
    if isinstance(then, msgspec.Struct):
        for name in then.__struct_fields__:
            if found := difference(getattr(then, name), getattr(now, name), f"{what}.{name}" if what else name):
                return found
        return None
    if isinstance(then, dict):
        return _of_mappings(cast("dict[Any, Any]", then), cast("dict[Any, Any]", now), what)
    if isinstance(then, tuple):
        return _of_sequences(cast("tuple[Any, ...]", then), cast("tuple[Any, ...]", now), what)
    return None if then == now else _said(what, then, now)


def _is_value(value: Any) -> bool:
    return isinstance(value, (msgspec.Struct, dict, tuple))


def _of_mappings(then: dict[Any, Any], now: dict[Any, Any], what: str) -> str | None:
    for key in (*then, *(key for key in now if key not in then)):
        if key not in then or key not in now:
            return f"{what}[{key}] was {'there; now it is gone' if key in then else 'not there; now it is'}"
        if found := difference(then[key], now[key], f"{what}[{key}]"):
            return found
    return None


def _of_sequences(then: tuple[Any, ...], now: tuple[Any, ...], what: str) -> str | None:
    for at, (one, other) in enumerate(zip(then, now, strict=False)):
        if found := difference(one, other, f"{what}[{at}]{_named(one)}"):
            return found
    if len(then) == len(now):
        return None
    more, rest = ("was", then[len(now) :]) if len(then) > len(now) else ("is now", now[len(then) :])
    return f"{what} had {len(then)} entries, now {len(now)}; {_short(rest[0])} {more} there too"


def _named(value: Any) -> str:
    """Who an entry is about."""
    if isinstance(value, decision.Hold):
        return f" ({value.task}, class {value.class_id}, {value.head} first)"
    if isinstance(value, decision.Admission):
        return f" ({value.reservation.task} {value.reservation.job_id})"
    return f" ({value.gate} {value.where})" if isinstance(value, decision.Verdict) else ""


def _said(what: str, then: Any, now: Any) -> str:
    return f"{what} was {_short(then)}; now {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
