"""A recording of ticks that outlives renames: what `decide` was given and what it answered, each value under
the names of its day, and the one table that says what those names are now.

The file is lzma over JSON lines. A line is one value, `[class, {field: value}]`, written once; where it
occurs again, or inside another, stands `{"#": line}`. All fields are written, those at their defaults too, so
that a default may change. A tick is a value of the class `Tick`, with its four parts: snapshot, candidates,
limits, decision.

What `decide` is given is read into the classes of now. What it answered stays as it was told then, and the
answer of now is told in the same names (`as_then`) before the two are compared.

What to do when a name changes (the recording is made again only when the decision is to be another: then its
snapshots are decided anew, and the tables are empty again):

- a class is called otherwise: its name of then → the class, in `CLASSES`;
- a field is called otherwise: `RENAMED[class of then][field of then] = "field now"`; a field that is gone:
  `None`;
- values are called otherwise (a gate, a state): `WORDS`, old → new, for whole strings wherever they stand;
- a value that goes in has another shape: `CHANGED[class of then]`, a function from its fields, the new names
  already
  in place, to the fields that its class takes now;
- a value that comes out has another shape: `ANSWERS[class of then]`, a function from the value of now to the
  fields
  of then.

A recorded field that no class takes and no table names is an error that says so, never left out in silence. A
field that came since is no difference while it is at its default.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from conductor.model import calls, chains, decision, job_class, limits, receipt, report, snapshot, spec
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Snapshot

FILE = Path(__file__).parent / "data" / "mixed_run.jsonl.xz"

MODULES = (calls, decision, chains, job_class, limits, receipt, report, snapshot, spec)
#: Class of then → its class now, for those that are called otherwise.
CLASSES: dict[str, type[msgspec.Struct]] = {}
#: Class of then → field of then → field now; None: it is gone.
RENAMED: dict[str, dict[str, str | None]] = {
    "Volume": {"identity": None},
    "NodeReport": {"unserved": None},
}
#: Whole strings of then → now, as values and as keys.
WORDS: dict[str, str] = {}
#: Class of then → from its recorded fields to those that it has now.
CHANGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
#: Class of then → from its value of now to the fields of then.
ANSWERS: dict[str, Callable[[Any], dict[str, Any]]] = {}


TICK = "Tick"
REF = "#"


class Then(NamedTuple):
    """A value under the names of then, its fields as attributes; tuples are lists. `came_since`: fields of
    now.
    """

    of: str
    fields: dict[str, Any]
    came_since: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


class RecordedTick(NamedTuple):
    """The arguments of `decide` and its answer; the times that the loop adds to holds are left out of it."""

    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    limits: Limits
    #: As it was told then.
    decision: Any


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────


# ── reading, under the names of now ───────────────────────────────────────────────────────────────────────


def read(path: Path = FILE) -> Iterator[RecordedTick]:
    """Raises `LookupError` for a name of then that is unknown now and stands in no table."""
    lines = [msgspec.json.decode(line) for line in lzma.decompress(path.read_bytes()).split(b"\n")]
    now, then = dict[int, Any](), dict[int, Any]()

    def value(of: Any) -> Any:
        if isinstance(of, dict):
            its = cast("dict[str, Any]", of)
            if len(its) == 1 and REF in its:
                number: int = its[REF]
                if number not in now:
                    name, fields = lines[number]
                    now[number] = _made(name, {field: value(each) for field, each in fields.items()})
                return now[number]
            return {WORDS.get(key, key): value(each) for key, each in its.items()}
        if isinstance(of, list):
            return [value(each) for each in cast("list[Any]", of)]
        return WORDS.get(of, of) if isinstance(of, str) else of

    def as_told(of: Any) -> Any:
        if isinstance(of, dict):
            its = cast("dict[str, Any]", of)
            if len(its) == 1 and REF in its:
                number: int = its[REF]
                if number not in then:
                    name, fields = lines[number]
                    then[number] = Then(name, {field: as_told(each) for field, each in fields.items()})
                return then[number]
            return {key: as_told(each) for key, each in its.items()}
        return [as_told(each) for each in cast("list[Any]", of)] if isinstance(of, list) else of

    for name, fields in lines:
        if name == TICK:
            candidates = tuple(value(fields["candidates"]))
            given = (value(fields["snapshot"]), candidates, value(fields["limits"]))
            yield RecordedTick(*given, as_told(fields["decision"]))


def _made(name: str, told: dict[str, Any]) -> msgspec.Struct:
    kind = CLASSES.get(name) or next((getattr(m, name) for m in MODULES if hasattr(m, name)), None)
    if kind is None:
        raise LookupError(
            f"the recorded class {name} is unknown now: name its successor in CLASSES of {__file__}"
        )
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


# ── the answer of now under the names of then ─────────────────────────────────────────────────────────────


def as_then(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _told_as_then(value)
    if isinstance(value, dict):
        return {_word_of_then(key): as_then(each) for key, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, Then):
        return [as_then(each) for each in cast("Sequence[Any]", value)]
    return _word_of_then(value)


def _told_as_then(value: msgspec.Struct) -> Then:
    kind = type(value)
    name = next((then for then, now in CLASSES.items() if now is kind), kind.__name__)
    if name in ANSWERS:
        return Then(name, {field: as_then(each) for field, each in ANSWERS[name](value).items()})
    names = {now: then for then, now in RENAMED.get(name, {}).items()}
    fields = {names.get(field, field): as_then(getattr(value, field)) for field in kind.__struct_fields__}
    return Then(name, fields, _defaults(kind))


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Field of now → what it is where nobody says."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = as_then(field.default_factory())
        elif field.default is not msgspec.NODEFAULT:
            found[field.name] = as_then(field.default)
    return found


def _word_of_then(value: Any) -> Any:
    return next((then for then, now in WORDS.items() if now == value), value) if WORDS else value


# ── the first difference, in plain words ──────────────────────────────────────────────────────────────────


def difference(then: Any, now: Any) -> str | None:
    """«hold[3] (media.render …).verdicts[2] (vram …).need was 4096, now 8192»; None: the same, bit for
    bit.
    """
    # Most is the same: words are looked for where it is not.
    then = as_then(then)
    return None if _is_same(then, now, {}) else _differ(then, as_then(now), "")


def _is_same(then: Any, now: Any, known: dict[tuple[int, int], bool]) -> bool:
    """`known`: what was compared already; one answer is shared by many classes."""
    if isinstance(then, Then):
        pair = (id(then), id(now))
        if pair not in known:
            known[pair] = _is_same_value(then, now, known)
        return known[pair]
    if isinstance(then, list) and isinstance(now, (list, tuple)):
        one, other = cast("list[Any]", then), cast("Sequence[Any]", now)
        return len(one) == len(other) and all(map(_is_same, one, other, repeat(known)))
    if isinstance(then, dict) and isinstance(now, dict):
        its = {_word_of_then(key): each for key, each in cast("dict[Any, Any]", now).items()}
        return then.keys() == its.keys() and all(
            _is_same(each, its[key], known) for key, each in then.items()
        )
    return then == now or then == _word_of_then(now)


def _is_same_value(then: Then, now: Any, known: dict[tuple[int, int], bool]) -> bool:
    if then.of in ANSWERS and not isinstance(now, Then):
        its = ANSWERS[then.of](now)
        return all(_is_same(value, its.get(name), known) for name, value in then.fields.items())
    if isinstance(now, Then):
        return then.fields.keys() == now.fields.keys() and all(
            _is_same(value, now.fields[name], known) for name, value in then.fields.items()
        )
    recorded, since = _fields_of(type(now), then.of, tuple(then.fields))
    return all(
        _is_same(then.fields[name], getattr(now, today, ...), known) for name, today in recorded
    ) and all(getattr(now, name) == default for name, default in since)


def _plain(field: msgspec.structs.FieldInfo) -> Any:
    """Where nobody says; nothing is like what somebody has to say."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return object() if field.default is msgspec.NODEFAULT else field.default


@cache
def _fields_of(
    kind: type[Any], of: str, recorded: tuple[str, ...]
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, Any], ...]]:
    """(field of then, field now), and (field that came since, its default)."""
    names = RENAMED.get(of, {})
    pairs = tuple((name, today) for name in recorded if (today := names.get(name, name)) is not None)
    kept = {today for _, today in pairs}
    since = tuple(
        (field.name, _plain(field)) for field in msgspec.structs.fields(kind) if field.name not in kept
    )
    return pairs, since


def _differ(then: Any, now: Any, what: str) -> str | None:
    if isinstance(then, Then) and isinstance(now, Then):
        return _of_values(then, now, what)
    if isinstance(then, dict) and isinstance(now, dict):
        return _of_mappings(cast("dict[Any, Any]", then), cast("dict[Any, Any]", now), what)
    if isinstance(then, list) and isinstance(now, list):
        return _of_lists(cast("list[Any]", then), cast("list[Any]", now), what)
    return None if then == now else f"{what} was {_short(then)}; now {_short(now)}"


def _of_values(then: Then, now: Then, what: str) -> str | None:
    for name in (*then.fields, *(name for name in now.fields if name not in then.fields)):
        at = f"{what}.{name}" if what else name
        if name not in now.fields:
            if RENAMED.get(then.of, {}).get(name, "") is not None:
                return f"{at} is gone"
        elif name not in then.fields:
            if name not in now.came_since or now.fields[name] != now.came_since[name]:
                return f"{at} was not there; now it is {_short(now.fields[name])}"
        elif found := _differ(then.fields[name], now.fields[name], at):
            return found
    return None


def _of_mappings(then: dict[Any, Any], now: dict[Any, Any], what: str) -> str | None:
    for key in (*then, *(key for key in now if key not in then)):
        if key not in then or key not in now:
            return f"{what}[{key}] was {'there; now it is gone' if key in then else 'not there; now it is'}"
        if found := _differ(then[key], now[key], f"{what}[{key}]"):
            return found
    return None


def _of_lists(then: list[Any], now: list[Any], what: str) -> str | None:
    for at, (one, other) in enumerate(zip(then, now, strict=False)):
        if found := _differ(one, other, f"{what}[{at}]{_named(one)}"):
            return found
    if len(then) == len(now):
        return None
    more, rest = ("was", then[len(now) :]) if len(then) > len(now) else ("is now", now[len(then) :])
    return f"{what} had {len(then)} entries, now {len(now)}; {_short(rest[0])} {more} there too"


def _named(value: Any) -> str:
    """Who an entry is about."""
    if not isinstance(value, Then):
        return ""
    if value.of == "Hold":
        return f" ({value.task}, class {value.class_id}, {value.head} first)"
    if value.of == "Admission":
        return f" ({value.reservation.task} {value.reservation.job_id})"
    return f" ({value.gate} {value.where})" if value.of == "Verdict" else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
