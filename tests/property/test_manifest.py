"""Whatever a plan may say survives the way to the file and back, and no way of spoiling it goes unnoticed."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from conductor.base.errors import ManifestError
from conductor.model.identity import content_id, id_of, identified, template_of, with_id
from conductor.model.spec import JobSpec, Output, TaskDecl, from_line, to_line
from conductor.planning import job, rounded_up
from conductor.record import manifest
from conductor.record.manifest_faults import is_sound, line_faults, path_fault

CATALOGUE = {"t.a": TaskDecl(name="t.a", lane="cpu", module="x")}

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3),
    max_leaves=8,
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..", ".tmp") and "{" not in name
)
PATHS = st.builds(lambda parts: "scratch:" + "/".join(parts), st.lists(NAMES, min_size=1, max_size=3))


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    return job(
        "w",
        "t.a",
        draw(st.dictionaries(TEXT, JSON, max_size=4)),
        reads=draw(st.lists(PATHS, max_size=2)),
        inputs=draw(st.dictionaries(NAMES.map(lambda name: f"/videos/{name}"), TEXT, max_size=2)),
        writes={f"scratch:{{id}}/{name}": 1 for name in draw(st.sets(NAMES, max_size=2))},
        priority=draw(st.integers(-1000, 1000)),
        tag=draw(st.sampled_from(["", "20260330T003000Z"])),
    )


@given(specs())
def test_a_line_comes_back_as_it_went_and_is_sound(spec: JobSpec) -> None:
    line = to_line(spec)
    assert b"\n" not in line
    assert from_line(line) == spec and to_line(from_line(line)) == line
    assert is_sound(from_line(line), CATALOGUE) and line_faults(line, CATALOGUE) == []


@given(
    specs(),
    st.sampled_from(["workflow", "task", "args", "inputs", "reads", "writes", "tag"]),
    TEXT,
    st.data(),
)
def test_changing_what_the_id_stands_for_is_always_noticed(
    spec: JobSpec, field: str, word: str, data: st.DataObject
) -> None:
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    was = fields.get(field, [] if field in ("reads", "writes") else "" if field == "tag" else {})
    fields[field] = changed(was, field, word, data)
    if fields[field] != was:
        assert line_faults(msgspec.json.encode(fields), CATALOGUE)


def changed(was: Any, field: str, word: str, data: st.DataObject) -> Any:
    """One file more, in another order, or another word."""
    if isinstance(was, list):
        more = data.draw(PATHS)
        return data.draw(
            st.permutations([*was, {"path": more} if field == "writes" else more] if word else was)
        )
    return {**was, word: "changed"} if isinstance(was, dict) else f"{was}x"


PARTS = st.sampled_from(["{id}", "{short}", "{", "}", "id", "a", "/x.", "{{id}}"])


@given(st.lists(PARTS, min_size=1, max_size=6).map("".join))
def test_a_template_is_read_back_from_the_path_it_gave(template: str) -> None:
    job_id = content_id("w", "t.a", {}, {}, (), [template])
    assert template_of(with_id(template, job_id), job_id) == template


@given(specs(), PATHS)
def test_an_id_put_into_a_path_by_hand_is_noticed(spec: JobSpec, path: str) -> None:
    """The id is put in where the plan had none: the line would name another file under the same id."""
    (output,) = identified(msgspec.structs.replace(spec, writes=(Output(path=path),))).writes
    planned = identified(msgspec.structs.replace(spec, writes=(Output(path=path),)))
    for word in (planned.id, planned.id[:8], "{id}", "{short}"):
        forged = msgspec.structs.replace(planned, writes=(Output(path=f"{output.path}{word}"),))
        assert line_faults(to_line(forged), CATALOGUE)
    assert id_of(planned) == planned.id


@given(st.binary(max_size=200))
def test_any_bytes_at_all_get_an_answer_and_never_a_crash(raw: bytes) -> None:
    assert line_faults(raw, CATALOGUE)


@given(specs(), st.sampled_from(sorted(JobSpec.__struct_fields__)), JSON)
def test_any_value_in_any_field_gets_an_answer_that_names_the_field(
    spec: JobSpec, field: str, value: Any
) -> None:
    raw = msgspec.json.encode({**msgspec.to_builtins(spec), field: value})
    try:
        is_good = is_sound(from_line(raw), CATALOGUE)
    except ValueError:
        is_good = False
    faults = line_faults(raw, CATALOGUE)
    assert (faults == []) == is_good
    assert all(fault.split(":")[0] for fault in faults)


@given(st.text(st.sampled_from([*"./:~ ", "\0", "\n", *string.ascii_lowercase[:3]]), max_size=14))
def test_a_path_without_fault_never_leaves_its_root(path: str) -> None:
    if path_fault(path) is None:
        root, _, relative = path.partition(":")
        inside = Path("/base") / relative
        assert root.isidentifier() and not relative.startswith("/") and "\0" not in relative
        assert ".." not in inside.parts and inside != Path("/base")


@given(st.lists(specs(), max_size=5))
def test_a_manifest_holds_each_job_once_or_is_refused(listed: list[JobSpec]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        assert manifest.write(path, listed) == len(listed)
        ids = [spec.id for spec in listed]
        try:
            summary = manifest.check(path, CATALOGUE)
        except ManifestError as e:
            assert len(set(ids)) < len(ids) and "is already on line" in e.problems[0]
        else:
            assert list(summary.ids) == ids and list(manifest.read(path)) == listed


@given(st.integers(0, 2**50))
def test_rounding_up_never_loses_bytes_and_costs_at_most_a_half(size: int) -> None:
    assert size <= rounded_up(size) <= max(1 << 20, size * 3 // 2 + 1)
