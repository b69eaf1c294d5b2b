"""Lines written to hurt: refused with a sentence, in time and memory that do not follow their malice."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest

from conductor.base.errors import ManifestError
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.spec import Output, to_line
from conductor.record import manifest
from tests.builders import a_spec

CATALOGUE = load_catalogue(())
LIMIT_S = 3.0


def line(**changes: object) -> bytes:
    return orjson.dumps({**orjson.loads(to_line(a_spec())), **changes})


def faults(folder: Path, *lines: bytes) -> list[str]:
    file = folder / "m.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    began = time.process_time()
    try:
        manifest.check(file, CATALOGUE)
        found: list[str] = []
    except ManifestError as e:
        found = [problem.removeprefix(f"{file}:") for problem in e.problems]
    assert time.process_time() - began < LIMIT_S
    return found


def raw(args: bytes) -> bytes:
    return to_line(a_spec()).replace(b'"args":{"n":0}', b'"args":' + args)


CASES: dict[str, tuple[bytes, str]] = {
    "args of 2 MiB": (line(args={"text": "x" * (2 << 20)}), "line: is longer than 1 MiB"),
    "a million jobs waited for": (line(after=["a" * 24] * 1_000_000), "line: is longer than 1 MiB"),
    "waits for one job ten thousand times": (line(after=["a" * 24] * 10_000), "after: names a job twice"),
    "args 100,000 levels deep": (raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply"),
    "args 400 levels deep": (raw(b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"), "args: cannot be hashed"),
    "a limit beyond all time": (line(timeout_s=1e300), "timeout_s: expected float <= 10000000"),
    "a limit that is no number": (
        raw(b"{}").replace(b'"v":1', b'"timeout_s":NaN,"v":1'),
        "line: is not JSON",
    ),
    "infinite": (raw(b"{}").replace(b'"v":1', b'"timeout_s":1e999,"v":1'), "line: is not JSON"),
    "a negative limit": (line(timeout_s=-1), "timeout_s: expected float >= 0"),
    "more memory than there is": (
        line(needs={"ram_mib": 2**60}),
        "needs.ram_mib: expected int <= 9007199254740992",
    ),
    "negative memory": (line(needs={"ram_mib": -1}), "needs.ram_mib: expected int >= 0"),
    "a thousand devices": (line(needs={"devices": 1000}), "needs.devices: expected int <= 64"),
    "a priority above all": (line(priority=10**9), "priority: expected int <= 1000"),
    "endless retries": (line(retry={"task_error": 10**6}), "retry.task_error: expected int <= 1000"),
    "an id that climbs": (line(id="../../../etc/passwd"), "id: must be 8 to 64 letters"),
    "an id with a NUL": (line(id="abcdefgh\x00"), "id: must be 8 to 64 letters"),
    "an id that looks like ASCII": (line(id="аbcdefgh"), "id: must be 8 to 64 letters"),
    "an id of digits from elsewhere": (line(id="١٢٣٤٥٦٧٨"), "id: must be 8 to 64 letters"),
    "an id that is too long": (line(id="a" * 65), "id: must be 8 to 64 letters"),
    "a task in another alphabet": (line(task="сrud.cycle"), "task: must be lower-case words"),
    "a path of a megabyte": (line(writes=[{"path": "scratch:" + "x" * 900_000}]), "writes[0].path: "),
    "a path that climbs in disguise": (line(writes=[{"path": "scratch:a/../../x"}]), "could leave its root"),
    "a path into the staging": (line(writes=[{"path": "scratch:.tmp/x"}]), "lies in .tmp"),
    "one name in two spellings": (
        line(writes=[{"path": "scratch:\u00e9.txt"}, {"path": "scratch:e\u0301.txt"}]),
        "is written twice",
    ),
    "twenty thousand equal writes": (line(writes=[{"path": "scratch:a"}] * 20_000), "is written twice"),
    "a key twice": (raw(b'{"n":0},"task":"crud.cycle","args":{"n":1}'), "id: is "),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_a_sentence(tmp_path: Path, name: str):
    text, words = CASES[name]
    found = faults(tmp_path, text)
    assert found and any(words in fault for fault in found)
    assert all(len(fault) < 300 for fault in found), "however long the line is"


def test_thousands_of_different_writes_and_inputs_take_no_more_than_their_number(tmp_path: Path):
    writes = [{"path": f"scratch:{n}"} for n in range(20_000)]
    inputs = {f"/v/{n}": "1-1" for n in range(15_000)}
    assert all(fault.startswith("1: id: is ") for fault in faults(tmp_path, line(writes=writes)) if fault)
    found = faults(tmp_path, line(inputs=inputs, reads=list(inputs)))
    assert len(found) == 1 and found[0].startswith("1: id: is ")


def test_one_name_in_two_spellings_on_two_lines(tmp_path: Path):
    names = ("\u00e9.txt", "e\u0301.txt")
    lines = [to_line(a_spec(n, writes=(Output(path=f"scratch:{name}"),))) for n, name in enumerate(names)]
    assert "is already written by line 1" in faults(tmp_path, *lines)[0]


def test_a_line_of_just_under_the_limit_is_a_line(tmp_path: Path):
    spec = a_spec(args={"text": "x" * 1_000_000})
    assert faults(tmp_path, to_line(spec)) == []


def test_a_fault_cannot_forge_a_line_on_the_terminal(tmp_path: Path):
    from conductor.base.text import printable

    evil = "x\n3: all is well\x1b[2J\u2028\u202e"
    found = faults(tmp_path, line(workflow=evil), line(**{evil: 1}))
    assert found and all(printable(fault) == printable(printable(fault)) for fault in found)
    assert all("\n" not in printable(fault) and "\x1b" not in printable(fault) for fault in found)
