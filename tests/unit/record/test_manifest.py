"""Manifests: every fault of every line is named, and nothing that is wrong gets through."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest
from builders import a_spec

from conductor.base.errors import ConfigError, ManifestError
from conductor.model.identity import content_id
from conductor.model.spec import JobSpec, Output, TaskDecl, to_line
from conductor.planning import job
from conductor.record import manifest
from conductor.record.manifest_faults import EveryTask, line_faults

CATALOGUE = {
    "diagnostics.echo": TaskDecl(name="diagnostics.echo", lane="cpu", module="x"),
    "media.cut": TaskDecl(name="media.cut", lane="cpu", module="x"),
}


def written(folder: Path, lines: Iterable[JobSpec | bytes]) -> Path:
    path = folder / "m.jsonl"
    path.write_bytes(b"".join((to_line(x) if isinstance(x, JobSpec) else x) + b"\n" for x in lines))
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        manifest.check(path, CATALOGUE)
    assert "nothing of it was dispatched" in str(caught.value)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def refused(path: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        manifest.check(path, CATALOGUE)
    return str(caught.value)


def test_what_is_written_is_read_back_and_the_summary_counts_it(tmp_path: Path) -> None:
    specs = [a_spec(n) for n in range(3)]

    count = manifest.write(tmp_path / "sub" / "m.jsonl", specs)
    summary = manifest.check(tmp_path / "sub" / "m.jsonl", CATALOGUE)

    assert count == summary.jobs == 3
    assert list(manifest.read(tmp_path / "sub" / "m.jsonl")) == specs
    assert summary.tasks == {"diagnostics.echo": 3} and summary.workflows == ("system_test",)
    assert summary.ids == {spec.id: n for n, spec in enumerate(specs, 1)}


def test_the_same_specs_give_the_same_bytes(tmp_path: Path) -> None:
    specs = [a_spec(args={"b": 1, "a": {"z": 1, "y": [1.0, "ü"]}}, expect={"q": 1, "p": 2})]

    manifest.write(tmp_path / "1", specs)
    manifest.write(tmp_path / "2", specs)

    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    manifest.write(path, [a_spec(1)])
    before = path.read_bytes()

    def breaks() -> Iterable[JobSpec]:
        yield a_spec(2)
        raise ValueError("plan broke")

    with pytest.raises(ValueError, match="plan broke"):
        manifest.write(path, breaks())

    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"cannot write .*: its folder is a file; name another place with -o"
    ):
        manifest.write(tmp_path / "file" / "m.jsonl", [a_spec()])


def test_every_fault_of_every_line_is_named_with_file_and_line(tmp_path: Path) -> None:
    bad = (
        b'{"v":2,"id":"x","workflow":"A","tsk":"b","lane":"gpuu","needs":{"vram":1,"ram_mib":"x"},'
        b'"writes":[{"path":"x"},{"path":"scratch:../x"}],"retry":{"timout":2,"timeout":-1},"after":["a"]}'
    )
    path = written(tmp_path, [a_spec(1), bad, a_spec(2), b"not json"])

    found = problems(path)

    assert found == [
        "2: tsk: is not a field, did you mean task?",
        "2: v: this conductor reads version 1, not 2",
        "2: id: must be 8 to 64 letters, digits, «-» or «_», not 'x'",
        "2: workflow: must be lower-case words joined by dots, as in «my_workflow», not 'A'",
        "2: task: is missing",
        "2: lane: must be gpu, cpu, io or cloud, not 'gpuu', did you mean gpu?",
        "2: needs.vram: is not a field, did you mean vram_mib?",
        "2: needs.ram_mib: expected int, got str",
        "2: writes[0].path: must be «root:relative/path», as in «scratch:out/a.json», not 'x'",
        "2: writes[1].path: 'scratch:../x' has an empty, «.» or «..» part, which could leave its root",
        "2: after[0]: must be ids of 8 to 64 letters, digits, «-» or «_», not 'a'",
        "2: retry.timout: is not a cause, did you mean timeout?",
        "2: retry.timeout: expected int >= 0",
        "4: line: is not JSON (JSON is malformed: invalid character (byte 4))",
    ]


def test_an_unknown_task_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    spec = a_spec(task="media.cutt")
    assert problems(written(tmp_path, [spec])) == [
        "1: task: 'media.cutt' is not a task, did you mean media.cut?"
    ]


def test_a_tampered_id_is_refused_and_the_right_one_named(tmp_path: Path) -> None:
    spec = a_spec(1)
    tampered = to_line(spec).replace(b'"n":1', b'"n":2')

    (found,) = problems(written(tmp_path, [tampered]))

    expected = content_id("system_test", "diagnostics.echo", {"n": 2}, {})
    assert found == (
        f"1: id: is {spec.id}, but workflow, task, args, inputs, reads and the paths of writes "
        f"give {expected} "
        "(edited, or planned by an older Conductor): plan again: conductor plan system_test"
    )


@pytest.mark.parametrize(
    "field", [b'"priority":5', b'"timeout_s":9', b'"needs":{"ram_mib":7}', b'"lane":"io"']
)
def test_what_does_not_determine_the_result_may_be_edited(tmp_path: Path, field: bytes) -> None:
    edited = to_line(a_spec(1))[:-1] + b"," + field + b"}"
    assert manifest.check(written(tmp_path, [edited]), CATALOGUE).jobs == 1


def test_a_changed_fingerprint_changes_the_id(tmp_path: Path) -> None:
    inputs = {"/videos/a.mp4": "10-20"}
    spec = a_spec(inputs=inputs, reads=tuple(inputs))
    assert manifest.check(written(tmp_path, [spec]), CATALOGUE).jobs == 1

    (found,) = problems(written(tmp_path, [to_line(spec).replace(b"10-20", b"10-21")]))
    assert found.startswith("1: id: is ")


def test_an_input_that_is_not_read_is_refused(tmp_path: Path) -> None:
    inputs = {"/videos/a.mp4": "10-20"}
    spec = a_spec(inputs=inputs)
    assert problems(written(tmp_path, [spec])) == ["1: inputs: '/videos/a.mp4' is not among the reads"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("scratch:../x", "could leave its root"),
        ("scratch:a/../../x", "could leave its root"),
        ("scratch:a//x", "could leave its root"),
        ("scratch:a/", "could leave its root"),
        ("scratch:./a", "could leave its root"),
        ("scratch:/etc/passwd", "absolute behind its root"),
        ("scratch:.tmp/a", "the workers keep for themselves"),
        ("/etc/passwd", "must be «root:relative/path»"),
        ("a/b", "must be «root:relative/path»"),
        ("scratch:" + "x" * 300, "more than 255 bytes"),
    ],
)
def test_paths_that_leave_their_root_are_refused(tmp_path: Path, path: str, why: str) -> None:
    assert any(why in found for found in problems(written(tmp_path, [a_spec(writes=(Output(path=path),))])))


@pytest.mark.parametrize(
    "path", ["scratch:a b/%03d.mp4", "nas:ü/new\nline'\".mp4", "scratch:..a/...", "scratch:.tmpx/a"]
)
def test_odd_names_are_paths_like_any_other(tmp_path: Path, path: str) -> None:
    assert (
        manifest.check(
            written(tmp_path, [a_spec(writes=(Output(path=path),), reads=(path,))]), CATALOGUE
        ).jobs
        == 1
    )


def test_reads_may_be_absolute_but_not_climb(tmp_path: Path) -> None:
    assert manifest.check(written(tmp_path, [a_spec(reads=("/v/a.mp4",))]), CATALOGUE).jobs == 1
    assert "holds «..»" in problems(written(tmp_path, [a_spec(reads=("/v/../a.mp4",))]))[0]


def test_an_id_twice_and_an_output_twice_are_refused(tmp_path: Path) -> None:
    shared = (Output(path="scratch:same.json"),)
    found = problems(
        written(tmp_path, [a_spec(1), a_spec(1), a_spec(2, writes=shared), a_spec(3, writes=shared * 2)])
    )

    assert found[0] == f"2: id: {a_spec(1).id} is already on line 1"
    assert "4: writes: 'scratch:same.json' is written twice" in found
    assert "4: writes: 'scratch:same.json' is already written by line 3" in found


def test_a_circle_is_refused_and_what_waits_for_it_is_not_blamed(tmp_path: Path) -> None:
    a, b, c, d = (a_spec(n).id for n in range(4))
    circle = [
        a_spec(0, after=(b,)),
        a_spec(1, after_ended=(c,)),
        a_spec(2, after=(a,)),
        a_spec(3, after=(a,)),
    ]

    found = problems(written(tmp_path, circle))

    assert found == [
        f"{n}: after: {job} waits, through others, for itself" for n, job in ((1, a), (2, b), (3, c))
    ]
    assert d not in " ".join(found)


def test_a_job_may_wait_for_a_later_line_and_for_one_outside(tmp_path: Path) -> None:
    later, outside = a_spec(1).id, a_spec(99).id
    summary = manifest.check(written(tmp_path, [a_spec(0, after=(later, outside)), a_spec(1)]), CATALOGUE)
    assert summary.outside == {outside: 1}


def test_a_job_that_waits_for_itself_or_for_one_twice_is_refused(tmp_path: Path) -> None:
    me, other = a_spec(0).id, a_spec(1).id
    found = problems(written(tmp_path, [a_spec(1), a_spec(0, after=(me, other, other))]))
    assert found == ["2: after: the job waits for itself", "2: after: names a job twice"]


def test_editors_are_forgiven_bom_crlf_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + to_line(a_spec(1)) + b"\r\n\r\n  \n" + to_line(a_spec(2)))
    assert list(manifest.check(path, CATALOGUE).ids.values()) == [1, 4]
    assert [spec.id for spec in manifest.read(path)] == [a_spec(1).id, a_spec(2).id]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\xff\xfa{}", "line: is not UTF-8"),
        (b'{"v":1,"id":"\xff"}', "line: is not UTF-8"),
        (b"[1]", "line: must be one JSON object"),
        (b'{"v":1', "line: is not JSON"),
        (b'{"v":1,"args":{"x":NaN}}', "line: is not JSON"),
        (b'{"v":1,"args":{"x":' + b"[" * 100_000, "line: is "),
    ],
)
def test_lines_that_are_no_objects_get_one_clear_sentence(tmp_path: Path, line: bytes, why: str) -> None:
    (found,) = problems(written(tmp_path, [line]))
    assert found.startswith(f"1: {why}")


def test_numbers_beyond_64_bits_cannot_be_hashed_and_are_refused(tmp_path: Path) -> None:
    line = to_line(a_spec(1)).replace(b'"n":1', b'"n":123456789012345678901234567890')
    assert problems(written(tmp_path, [line])) == ["1: args: cannot be hashed (Integer exceeds 64-bit range)"]


def test_an_id_with_a_line_break_behind_it_is_refused(tmp_path: Path) -> None:
    line = to_line(a_spec(0, after=(a_spec(1).id,))).replace(
        a_spec(1).id.encode(), a_spec(1).id.encode() + b"\\n"
    )
    assert "after[0]: must be ids" in problems(written(tmp_path, [line]))[0]


def test_a_line_of_50_mib_is_refused_without_being_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(to_line(a_spec(1)) + b"\n" + b"x" * (50 << 20) + b"\n" + to_line(a_spec(2)) + b"\n")
    tracemalloc.start()

    found = problems(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["2: line: is longer than 1 MiB"]
    assert peak < 20 << 20


def test_files_that_are_no_manifests_get_one_clear_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    handle = os.open(tmp_path / "pipe", os.O_RDWR)
    assert "does not exist: plan it first" in refused(tmp_path / "none.jsonl")
    assert "is a folder" in refused(tmp_path)
    assert "is not a regular file" in refused(tmp_path / "pipe")
    os.close(handle)


def test_an_empty_manifest_is_sound_and_holds_nothing(tmp_path: Path) -> None:
    assert manifest.check(written(tmp_path, []), CATALOGUE).jobs == 0


def test_a_flood_of_faults_is_counted_and_not_all_kept(tmp_path: Path) -> None:
    path = written(tmp_path, [b"x"] * (manifest.MAX_PROBLEMS + 234))
    with pytest.raises(ManifestError, match="has 1234 problems in 1234 lines") as caught:
        manifest.check(path, CATALOGUE)
    assert caught.value.problems[-1] == f"{path}: and 234 more" and len(caught.value.problems) == 1001


def test_a_hundred_thousand_lines_stream_with_flat_memory(tmp_path: Path) -> None:
    count, path = 100_000, tmp_path / "m.jsonl"

    def specs() -> Iterable[JobSpec]:
        for n in range(count):
            yield a_spec(
                n, writes=(Output(path="scratch:t/{id}/x.json", bytes=1),), expect={"filler": "x" * 600}
            )

    manifest.write(path, specs())
    assert path.stat().st_size > 75 << 20

    # In a process of its own: what the file costs beyond what the program costs anyway.
    peaks = subprocess.run(
        [sys.executable, "-c", PEAKS, str(path)], capture_output=True, check=True, text=True
    ).stdout
    before, checked, streamed = (int(peak) for peak in peaks.split())

    assert checked - before < 30_000, "an id a job, not a line a job"
    assert streamed - checked < 2_000


PEAKS = """
import resource, sys
from pathlib import Path
from conductor.record import manifest
from conductor.model.spec import TaskDecl
def peak():
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (1024 if sys.platform == "darwin" else 1)
path = Path(sys.argv[1])
tasks = {"diagnostics.echo": TaskDecl(name="diagnostics.echo", lane="cpu", module="x")}
print(peak())
assert manifest.check(path, tasks).jobs == 100_000
print(peak())
assert sum(1 for _ in manifest.read(path)) == 100_000
print(peak())
"""


def test_what_a_job_changes_in_place_is_declared_confined_and_part_of_its_id() -> None:
    plain = job("w", "diagnostics.echo", {})
    changing = job("w", "diagnostics.echo", {}, updates=["corpus:c.sqlite"])
    assert changing.id != plain.id and not line_faults(to_line(changing), EveryTask())

    for path, why in [
        ("corpus:../c", "«..»"),
        ("/etc/passwd", "root:relative"),
        ("corpus:.tmp/c", "keep for themselves"),
    ]:
        line = to_line(changing).replace(b"corpus:c.sqlite", path.encode())
        assert any(
            fault.startswith("updates[0]: ") and why in fault for fault in line_faults(line, EveryTask())
        ), path
    both = job("w", "diagnostics.echo", {}, updates=["corpus:c"], writes={"corpus:c": 1})
    assert line_faults(to_line(both), EveryTask()) == ["writes: 'corpus:c' is written twice"]
