"""The table of events: what is emitted stands in it, and what stands in it is emitted; its page is made
from it.
"""

from __future__ import annotations

import ast
import os
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from builders import NOW, a_reservation
from loguru import logger
from msgspec.structs import replace

from conductor.base.logs.events import emit_event
from conductor.model.decision import Admission, Hold, Verdict
from conductor.model.event_fields import FIELDS
from conductor.model.events import EVENTS
from conductor.model.events_page import events_page
from conductor.model.reason import Reason
from conductor.model.spec import JobSpec, Output, to_line
from conductor.model.subject import FileNames, subject_of, subject_of_line, with_subjects
from conductor.tick.apply import Applied
from conductor.tick.log import TickLog

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "events.md"
TYPES: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "list[str]": list}


class Site(NamedTuple):
    """One call of `emit_event`."""

    where: str
    event: ast.expr
    words: ast.expr
    #: Of the template's «{}».
    also: int
    fields: frozenset[str]
    templates: frozenset[str]


def sources(*words: str) -> Iterator[tuple[Path, ast.Module]]:
    """Those in which one of the words occurs: to read them all is a second of each test process."""
    for room in ("conductor", "workers", "workflows"):
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if any(word in text for word in words):
                yield path, ast.parse(text)


def calls_of(tree: ast.Module, name: str) -> Iterator[tuple[ast.Call, list[ast.expr]]]:
    """Calls of the function, and such as hand it on to be called (`partial`), with their arguments."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == name:
            yield node, node.args
        elif node.func.id == "partial" and node.args and getattr(node.args[0], "id", "") == name:
            yield node, node.args[1:]


def sites() -> Iterator[Site]:
    for path, tree in sources("emit_event", "tell_event"):
        texts: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                    texts.setdefault(name, set()).add(text)
        told = ((call, args[1:]) for call, args in calls_of(tree, "tell_event"))
        for call, args in (*calls_of(tree, "emit_event"), *told):
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            words = args[1]
            known = (
                {words.value}
                if isinstance(words, ast.Constant)
                else texts.get(getattr(words, "id", ""), set())
            )
            assert all(keyword.arg for keyword in call.keywords), (
                f"{where}: fields are named, not handed on in a dict"
            )
            fields = frozenset(str(keyword.arg) for keyword in call.keywords)
            yield Site(where, args[0], words, len(args) - 2, fields, frozenset(known))


SITES = [site for site in sites() if not site.where.startswith("conductor/base/logs/events.py")]


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.where)
def test_what_is_emitted_stands_in_the_table(site: Site) -> None:
    assert isinstance(site.event, ast.Constant), "the name of an event is written where it is emitted"
    kind = EVENTS.get(site.event.value)
    assert kind is not None, f"no event is named {site.event.value!r}"
    assert set(kind.fields) <= site.fields, "fields that are missing"
    assert site.fields <= {*kind.fields, *kind.known}, "fields that the event does not have"
    assert site.templates, "the words are a text, here or in a name beside it"


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.where)
def test_the_words_name_only_what_is_handed_in(site: Site) -> None:
    for template in site.templates:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        if len(site.templates) == 1:
            assert {name for name in names if name} <= site.fields
            assert names.count("") == site.also


#: What lies in a queue of RQ and is not Conductor's has an id alone.
STRANGE = {"entry.refused", "entry.broken"}


def test_a_job_is_named_by_what_it_is_about_wherever_an_event_has_its_id() -> None:
    with_id = {name for name, kind in EVENTS.items() if "job_id" in (*kind.fields, *kind.known)} - STRANGE
    assert {name for name in with_id if "about" not in (*EVENTS[name].fields, *EVENTS[name].known)} == set()
    for site in SITES:
        assert isinstance(site.event, ast.Constant)
        if site.event.value in with_id:
            for template in site.templates:
                names = {name for _, name, _, _ in string.Formatter().parse(template)}
                assert "job_id" not in names, f"{site.where}: the id stands beside it, its first letters do"


def test_what_stands_in_the_table_is_emitted_and_has_its_fields_explained() -> None:
    emitted = {site.event.value for site in SITES if isinstance(site.event, ast.Constant)}
    assert set(EVENTS) == emitted
    used = {field for kind in EVENTS.values() for field in (*kind.fields, *kind.known)}
    assert used == set(FIELDS)


def test_nobody_else_gives_a_line_a_name() -> None:
    """Fields beside a line are an event's, and an event's come from the table."""
    binding = {
        str(path.relative_to(ROOT))
        for path, tree in sources(".bind")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind"
        if isinstance(node.func.value, ast.Name) and node.func.value.id in ("logger", "log")
    }
    assert binding == {"conductor/base/logs/events.py"}


def test_the_page_is_that_of_the_table() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(events_page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == events_page(), (
        "UPDATE_DOCS=1 python -m pytest tests/unit/test_events.py"
    )


# ── as it is written ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def records() -> Iterator[list[Any]]:
    found: list[Any] = []
    sink = logger.add(lambda message: found.append(message.record), level="DEBUG")
    yield found
    logger.remove(sink)


def test_an_event_has_its_name_its_level_and_its_fields_and_braces_in_them_are_text(
    records: list[Any],
) -> None:
    emit_event("job.proved", "Done: {task} {job_id} {}", "{once}", job_id="a{b}", attempt=2, task="media.cut")

    (record,) = records
    assert (record["message"], record["level"].name) == ("Done: media.cut a{b} {once}", "INFO")
    assert record["extra"] == {"event": "job.proved", "job_id": "a{b}", "attempt": 2, "task": "media.cut"}
    assert record["file"].name == "test_events.py", "the line is the emitter's"


def test_what_a_tick_says_is_of_the_types_in_the_table(records: list[Any]) -> None:
    log = TickLog()
    full = Verdict(gate="lane", passed=False, reason=Reason.QUEUE_FULL, where="node1")
    never = Verdict(
        gate="cpu", passed=False, reason=Reason.TOO_LARGE, where="node1", need=9, limit=4, unit="cores"
    )
    for n, verdict in enumerate((full, never)):
        hold = Hold(
            class_id=f"c{n}", backlog="b", task="media.cut", lane="cpu", waiting=3, verdicts=(verdict,)
        )
        log.held([hold], NOW)
    admission = Admission(reservation=a_reservation("job-1"), backlog="b")
    log.applied(Applied(fed=(admission,), refused=((admission, "over ceiling"),), reviewed={"media.cut": 2}))

    for record in records:
        fields = dict(record["extra"])
        kind = EVENTS[fields.pop("event")]
        assert record["level"].name == kind.level
        assert all(type(value) in (str, int, float, list) for value in fields.values())
        assert all(isinstance(value, TYPES[FIELDS[name].type]) for name, value in fields.items())
    assert [record["extra"]["event"] for record in records] == [
        *("lane.full", "gate.closed", "job.admitted", "job.not_admitted", "kind.reviewed"),
    ]


def test_a_job_is_shown_by_its_task_and_a_file() -> None:
    spec = JobSpec(v=1, id="a" * 12, workflow="w", task="media.cut", reads=("scratch:night/clip7.mp4",))
    made = JobSpec(
        v=1,
        id="a" * 12,
        workflow="w",
        task="media.cut",
        writes=(Output(path="published:b/out.mp4", bytes=1),),
    )
    bare = JobSpec(v=1, id="a" * 12, workflow="w", task="shell")

    assert [subject_of(each) for each in (spec, made, bare)] == [
        "media.cut · clip7.mp4",
        "media.cut · out.mp4",
        "shell",
    ]
    assert subject_of_line(b"{of another version}", "media.cut") == "media.cut"


def test_in_the_answer_of_a_gate_jobs_are_called_by_what_they_are_about():
    subjects = {
        "k3v7abcdefgh": "media.cut · clip7.mp4",
        "q2w4abcdefgh": "media.cut · k3v7abcd.mp4",
        "x" * 12: "",
    }
    words = "gpu0 has 6.1 GiB (held by k3v7abcd, q2w4abcd until about 14:05), first xxxxxxxx, k3v7abcdx"
    named = "held by media.cut · clip7.mp4 (k3v7abcd), media.cut · k3v7abcd.mp4 (q2w4abcd) until about 14:05"
    assert with_subjects(words, subjects) == f"gpu0 has 6.1 GiB ({named}), first xxxxxxxx, k3v7abcdx"
    assert with_subjects(words, {}) == words


def test_the_file_of_a_job_is_read_once_for_as_long_as_it_is_asked_for():
    a, b = "a" * 12, "b" * 12
    spec = JobSpec(v=1, id=a, workflow="w", task="media.cut", reads=("scratch:night/clip7.mp4",))
    there, asked = {a: to_line(spec)}, list[list[str]]()

    def read(ids: Sequence[str]) -> dict[str, bytes]:
        asked.append(list(ids))
        return {job_id: there[job_id] for job_id in ids if job_id in there}

    names = FileNames(read)
    assert names.of([a, "", b, a]) == {a: "clip7.mp4", b: ""}
    there[b] = to_line(replace(spec, id=b))
    assert names.of([a, b]) == {a: "clip7.mp4", b: "clip7.mp4"}
    assert names.of([a, b]) == {a: "clip7.mp4", b: "clip7.mp4"}
    assert asked == [[a, b], [b]]
    assert names.of([]) == {} and names.of([a]) == {a: "clip7.mp4"}
    assert asked == [[a, b], [b], [a]], "what nobody asks for any more is forgotten"
    assert names.subjects([a], [b, "c" * 12]) == ({a: "clip7.mp4"}, {b: "media.cut · clip7.mp4"})
