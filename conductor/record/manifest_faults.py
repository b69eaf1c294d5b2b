"""Every fault of one manifest line, in words. The fast path never comes here: only a line that does not
decode, or that breaks a rule between its fields. Pure."""

from __future__ import annotations

import re
import types
import typing
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Union, cast, get_args, get_origin

import msgspec

from conductor.base.settings.settings import did_you_mean
from conductor.model.causes import CAUSES
from conductor.model.identity import id_of, is_template
from conductor.model.spec import LANES, JobSpec, TaskDecl

#: Staging of the workers, at the top of every root.
RESERVED = ".tmp"


class EveryTask(dict[str, TaskDecl]):
    """A catalogue for who asks whether lines are sound, and not whether they can be run: `verify`, years
    later.
    """

    def __contains__(self, key: object) -> bool:
        return True


_WORDS = {
    "id": "must be 8 to 64 letters, digits, «-» or «_»",
    "after": "must be ids of 8 to 64 letters, digits, «-» or «_»",
    "after_ended": "must be ids of 8 to 64 letters, digits, «-» or «_»",
    "workflow": "must be lower-case words joined by dots, as in «my_workflow»",
    "task": "must be lower-case words joined by dots, as in «media.cut»",
    "path": "must be «root:relative/path», as in «scratch:out/a.json»",
    "updates": "must be «root:relative/path», as in «corpus:mine.sqlite»",
    "tag": "must be up to 64 letters, digits, dots, «-» or «_»",
}


# ── the shape of a line ───────────────────────────────────────────────────────────────────────────────────


def line_faults(raw: bytes, catalogue: Mapping[str, TaskDecl]) -> list[str]:
    """All faults of a line as «field: what is wrong»; empty when there is none."""
    try:
        value = msgspec.json.decode(raw.decode())
    except UnicodeDecodeError:
        return ["line: is not UTF-8"]
    except RecursionError:
        return ["line: is nested too deeply"]
    except (msgspec.DecodeError, ValueError) as e:
        return [f"line: is not JSON ({str(e)[:120]})"]
    if not isinstance(value, dict):
        return ["line: must be one JSON object"]
    fields = cast(dict[str, Any], value)
    faults = list(struct_faults(fields, JobSpec, ""))
    bad = {re.split(r"[.\[:]", fault, maxsplit=1)[0] for fault in faults}
    return faults + rule_faults(_best_effort(fields, bad), catalogue, bad)


def struct_faults(value: Mapping[str, Any], kind: type[Any], at: str) -> Iterator[str]:
    """What is unknown, missing or of the wrong kind in a struct, and in the structs below it."""
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in value:
        if key not in known:
            yield f"{at}{_key(key)}: is not a field{did_you_mean(key, known)}"
    for name, field in known.items():
        if name in value:
            yield from value_faults(value[name], field.type, f"{at}{name}")
        elif field.required:
            yield f"{at}{name}: is missing"


def value_faults(value: Any, kind: Any, at: str) -> Iterator[str]:
    """Faults of one value; descends into what holds several, so that each part is named on its own."""
    kind = _without_none(kind) if value is not None else kind
    parts = list(_parts(value, kind, at))
    if parts:
        for part, part_kind, part_at in parts:
            yield from value_faults(part, part_kind, part_at)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        yield from struct_faults(cast(dict[str, Any], value), kind, f"{at}.")
    else:
        try:
            msgspec.convert(value, kind)
        except (msgspec.ValidationError, RecursionError) as e:
            yield f"{at}: {_in_words(at, value, str(e))}"
            return
        # A line broken elsewhere is still told about its paths.
        fault = _path_fault_at(at, value)
        if fault:
            yield f"{at}: {fault}"


def _path_fault_at(at: str, value: Any) -> str | None:
    if re.fullmatch(r"writes\[\d+\]\.path", at):
        return path_fault(value)
    if re.fullmatch(r"updates\[\d+\]", at):
        return path_fault(value)
    return read_fault(value) if re.fullmatch(r"reads\[\d+\]", at) else None


def _parts(value: Any, kind: Any, at: str) -> Iterator[tuple[Any, Any, str]]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, list):
        for n, item in enumerate(cast(list[Any], value)):
            yield item, arguments[0], f"{at}[{n}]"
    elif origin is dict and arguments[1] is not Any and isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield key, arguments[0], f"{at}.{_key(key)}"
            yield item, arguments[1], f"{at}.{_key(key)}"


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        rest = [k for k in get_args(kind) if k is not types.NoneType]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _in_words(at: str, value: Any, message: str) -> str:
    name = re.split(r"[.\]]", at.rstrip("]"))[-1].split("[")[0]
    if at == "v":
        return f"this conductor reads version 1, not {_shown(value)}"
    if at == "lane":
        return f"must be gpu, cpu, io or cloud, not {_shown(value)}{did_you_mean(str(value), LANES)}"
    if at.startswith("retry.") and "enum value" in message:
        return f"is not a cause{did_you_mean(str(value), CAUSES)}"
    if "matching regex" in message and name in _WORDS:
        return f"{_WORDS[name]}, not {_shown(value)}"
    return re.sub(r" - at `.*`$", "", message).replace("`", "").replace("Expected", "expected", 1)


def _shown(value: Any) -> str:
    text = str(value)
    text = text if len(text) <= 60 else text[:60] + "…"
    return repr(text) if isinstance(value, str) else text


def _key(key: str) -> str:
    return key if key.isidentifier() else _shown(key)


def _best_effort(fields: Mapping[str, Any], bad: set[str]) -> JobSpec:
    """The line with what is sound in it, so that the rules can be asked even where other fields are
    broken.
    """
    stand_in = {"v": 1, "id": "unreadable", "workflow": "unreadable", "task": "unreadable"}
    sound = {k: v for k, v in fields.items() if k in JobSpec.__struct_fields__ and k not in bad}
    return msgspec.convert({**stand_in, **sound}, JobSpec)


# ── the rules between fields ──────────────────────────────────────────────────────────────────────────────


def rule_faults(spec: JobSpec, catalogue: Mapping[str, TaskDecl], bad: typing.AbstractSet[str]) -> list[str]:
    """What a well-formed line may still get wrong; a rule that needs a field of `bad` is not asked."""
    return [fault for needed, rule in _RULES if not needed & bad for fault in rule(spec, catalogue)]


def is_sound(spec: JobSpec, catalogue: Mapping[str, TaskDecl]) -> bool:
    """The rules as one question: what the fast path asks of each line."""
    has_more = spec.writes or spec.updates or spec.reads or spec.inputs or spec.after or spec.after_ended
    for _, rule in _RULES if has_more else _OF_ALL:
        for _fault in rule(spec, catalogue):
            return False
    return True


Rule = Callable[[JobSpec, Mapping[str, TaskDecl]], Iterator[str]]


def _task_is_known(spec: JobSpec, catalogue: Mapping[str, TaskDecl]) -> Iterator[str]:
    if spec.task not in catalogue:
        yield f"task: {spec.task!r} is not a task{did_you_mean(spec.task, catalogue)}"


def _id_is_content(spec: JobSpec, _: Mapping[str, TaskDecl]) -> Iterator[str]:
    try:
        expected = id_of(spec)
    except (TypeError, ValueError) as e:
        yield f"args: cannot be hashed ({e})"
        return
    if spec.id != expected:
        yield (
            f"id: is {spec.id}, but workflow, task, args, inputs, reads and the paths of writes "
            f"give {expected} "
            f"(edited, or planned by an older Conductor): plan again: conductor plan {spec.workflow}"
        )


def _inputs_are_read(spec: JobSpec, _: Mapping[str, TaskDecl]) -> Iterator[str]:
    reads = frozenset(spec.reads) if spec.inputs else frozenset[str]()
    for path in spec.inputs:
        if path not in reads:
            yield f"inputs: {_shown(path)} is not among the reads"


def _paths_stay_inside(spec: JobSpec, _: Mapping[str, TaskDecl]) -> Iterator[str]:
    for n, output in enumerate(spec.writes):
        if fault := path_fault(output.path):
            yield f"writes[{n}].path: {fault}"
        elif is_template(output.path):
            yield f"writes[{n}].path: {_shown(output.path)} stands for the job's id, which a plan puts in"
    for n, path in enumerate(spec.reads):
        if fault := read_fault(path):
            yield f"reads[{n}]: {fault}"
    for n, path in enumerate(spec.updates):
        if fault := path_fault(path):
            yield f"updates[{n}]: {fault}"


def _outputs_differ(spec: JobSpec, _: Mapping[str, TaskDecl]) -> Iterator[str]:
    if len(spec.writes) + len(spec.updates) > 1:
        seen = {same_file(path) for path in spec.updates}
        for output in spec.writes:
            if (key := same_file(output.path)) in seen:
                yield f"writes: {_shown(output.path)} is written twice"
            seen.add(key)


def _waits_make_sense(spec: JobSpec, _: Mapping[str, TaskDecl]) -> Iterator[str]:
    for name, ids in (("after", spec.after), ("after_ended", spec.after_ended)):
        if not ids:
            continue
        if spec.id in ids:
            yield f"{name}: the job waits for itself"
        if len(set(ids)) < len(ids):
            yield f"{name}: names a job twice"


_RULES: tuple[tuple[frozenset[str], Rule], ...] = (
    (frozenset({"task"}), _task_is_known),
    (
        frozenset({"id", "workflow", "task", "args", "inputs", "reads", "writes", "updates", "tag"}),
        _id_is_content,
    ),
    (frozenset({"inputs", "reads"}), _inputs_are_read),
    (frozenset({"writes", "reads", "updates"}), _paths_stay_inside),
    (frozenset({"writes", "updates"}), _outputs_differ),
    (frozenset({"id", "after", "after_ended"}), _waits_make_sense),
)

#: Those that say something of a job without files and waits.
_OF_ALL = _RULES[:2]

_PLAIN = re.compile(r"[a-z][a-z0-9_]*:(?!/|\.tmp/)(?:(?!\.{1,2}(?:/|\Z))[^/\x00]+(?:/(?!\Z)|\Z))+\Z")


def same_file(path: str) -> str:
    """Equal for names that a file system may take for one: macOS does not tell «é» from «e» with an
    accent.
    """
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def path_fault(path: str) -> str | None:
    """Why `root:relative` cannot be a path of a job, or None."""
    if _PLAIN.match(path):
        return _too_long(path) if len(path) > 60 else None
    root, colon, relative = path.partition(":")
    if not colon or not re.fullmatch(r"[a-z][a-z0-9_]*", root):
        return f"must be «root:relative/path», not {_shown(path)}"
    if relative.startswith("/"):
        return f"{_shown(path)} is absolute behind its root; it must be relative to it"
    return relative_fault(path, relative)


def _too_long(path: str) -> str | None:
    is_long = any(len(part.encode(errors="replace")) > 255 for part in path.partition(":")[2].split("/"))
    return f"{_shown(path)} has a name of more than 255 bytes" if is_long else None


def relative_fault(path: str, relative: str) -> str | None:
    parts = relative.split("/")
    if "\x00" in relative:
        return f"{_shown(path)} holds a NUL character"
    if any(part in ("", ".", "..") for part in parts):
        return f"{_shown(path)} has an empty, «.» or «..» part, which could leave its root"
    if parts[0] == RESERVED:
        return f"{_shown(path)} lies in {RESERVED}, which the workers keep for themselves"
    return None


def read_fault(path: str) -> str | None:
    """As `path_fault`, for what is only read: an absolute path is allowed, without «..»."""
    if not path.startswith("/"):
        return path_fault(path)
    if "\x00" in path or ".." in path.split("/"):
        return f"{_shown(path)} holds «..» or a NUL character"
    return None
