"""The sequence by hand, as a user types it: an empty folder, nothing running, one command after the other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cli_tools import conductor

from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import load
from conductor.model.identity import content_id
from conductor.model.spec import JobSpec, to_line

MANIFEST = "manifests/system_test_backlog_12.jsonl"


def wait_for(is_so: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def a_project(folder: Path, lanes: Sequence[str]) -> Path:
    """One worker in each of these lanes: several tests share two cores."""
    workers = "".join(f"{lane}.workers = {int(lane in lanes)}\n" for lane in ("cpu", "io", "cloud"))
    roots = "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
    (folder / "conductor.toml").write_text(f"[lanes]\n{workers}{roots}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_project(tmp_path, ["cpu"])


def test_plan_dispatch_conduct_verify_with_nothing_else_running(tmp_path: Path):
    folder = a_project(tmp_path, ["cpu", "io", "cloud"])
    planned = conductor("plan", "system_test", "--mode", "backlog", "--count", "12", cwd=folder)
    assert (planned.code, planned.out) == (0, f"{MANIFEST}: 12 jobs\n")
    first = (folder / MANIFEST).read_bytes()
    conductor("plan", "system_test", "--mode", "backlog", "--count", "12", cwd=folder)
    assert (folder / MANIFEST).read_bytes() == first

    put = conductor("dispatch", MANIFEST, "--target", "backlog:system_test", cwd=folder)
    assert (put.code, put.out) == (0, "backlog:system_test: 12 new, 0 known\n")
    again = conductor("dispatch", MANIFEST, "--target", "backlog:system_test", "--json", cwd=folder)
    known = {
        "backlog": "system_test",
        "dry_run": False,
        "new": 0,
        "known": 12,
        "done": 0,
        "again": 0,
        "changed": 0,
    }
    assert again.json == known | {"sent_back": [], "keep_their_line": 0, "moved": 0, "elsewhere": {}} | {
        "dead": 0,
        "dead_of": [],
    }
    early = conductor("verify", MANIFEST, cwd=folder)
    assert early.code == 1
    assert "12 missing" in early.out

    ran = conductor("conduct", "--backlog", "backlog:system_test", "--until-done", cwd=folder)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("12 done in ")
    assert "held back, by gate: " in ran.out
    assert "Fed cpu diagnostics.echo" in ran.err

    verified = conductor("verify", MANIFEST, cwd=folder)
    assert verified.code == 0, verified.out
    assert verified.out.startswith(f"{MANIFEST}: 12 of 12 jobs verified")

    idle = conductor(
        "conduct", "--backlog", "backlog:system_test", "--until-done", "--json", cwd=folder, timeout=20
    )
    assert (idle.code, idle.json["done"], idle.json["left"]) == (0, 0, 0)
    assert "starting one" not in idle.err, "nothing to run: no node is needed"
    assert not (folder / ".conductor" / "valkey" / "valkey.sock").exists(), "nothing stays behind"


def test_a_dead_job_ends_the_run_with_1_and_its_cause(folder: Path):
    with (folder / "conductor.toml").open("r+") as file:
        toml = file.read()
        file.seek(0)
        file.write(f"shell_programs = ['false']\n{toml}")
    spec = JobSpec(
        v=1,
        id=content_id("mine", "shell", {"argv": ["false"]}, {}),
        workflow="mine",
        task="shell",
        args={"argv": ["false"]},
        retry={"task_error": 0},
    )
    (folder / "one.jsonl").write_bytes(to_line(spec) + b"\n")

    assert conductor("dispatch", "one.jsonl", cwd=folder).out == "backlog:mine: 1 new, 0 known\n"
    ran = conductor("conduct", "--until-done", cwd=folder)

    assert ran.code == 1
    assert ran.out.startswith("0 done, 1 dead in ")
    assert f"shell ({spec.id[:8]}): task_error: " in ran.out
    explained = conductor("explain", spec.id[:6], cwd=folder)
    assert "last failure: task_error" in explained.out
    later = conductor("conduct", "--until-done", "--json", cwd=folder)
    assert (later.code, later.json["dead"], later.json["dead_before"]) == (1, 0, 1), (
        "it died in the run before"
    )
    assert later.json["causes_before"] == {"task_error": 1}
    assert conductor("cancel", spec.id, cwd=folder).code == 0
    given_up = conductor("conduct", "--until-done", cwd=folder)
    assert given_up.code == 0 and "nothing was left to do (1 cancelled before)" in given_up.out


def test_a_backlog_without_jobs_and_one_that_has_them_elsewhere_are_said(folder: Path):
    conductor("plan", "system_test", "--count", "2", cwd=folder)
    manifest = "manifests/system_test_debug_2.jsonl"
    assert conductor("dispatch", manifest, "--target", "backlog:one", cwd=folder).code == 0

    elsewhere = conductor("dispatch", manifest, "--target", "backlog:two", cwd=folder)
    idle = conductor("conduct", "--backlog", "backlog:two", "--until-done", cwd=folder)
    moved = conductor("dispatch", manifest, "--target", "backlog:two", "--move", "--json", cwd=folder)

    assert elsewhere.code == 1 and "2 jobs are known in backlog:one and are not put here" in elsewhere.err
    assert idle.code == 1 and "no job is in backlog:two" in idle.out
    assert (moved.code, moved.json["moved"], moved.json["elsewhere"]) == (0, 2, {})
    assert conductor("conduct", "--backlog", "backlog:two", "--until-done", cwd=folder).code == 0


def test_an_interrupted_run_is_130_and_the_next_one_goes_on(folder: Path):
    conductor("plan", "system_test", "--mode", "sleep", "--count", "6", "--seconds", "0.5", cwd=folder)
    conductor("dispatch", "manifests/system_test_sleep_6.jsonl", cwd=folder)
    argv = [sys.executable, "-m", "conductor", "conduct", "--until-done"]
    log = folder / "stderr"
    with log.open("wb") as sink:
        run = subprocess.Popen(argv, cwd=folder, stderr=sink, stdout=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: b"Done: " in log.read_bytes())

    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)

    assert run.returncode == 130
    assert b" left in " in out
    assert b"the same command goes on from here" in log.read_bytes()
    audit = conductor("audit", cwd=folder)
    assert audit.code == 0, audit.out
    rest = conductor("conduct", "--until-done", cwd=folder)
    assert rest.code == 0, rest.err
    assert conductor("verify", "manifests/system_test_sleep_6.jsonl", cwd=folder).code == 0


def test_a_dispatch_that_is_interrupted_says_how_far_it_came_and_the_same_command_does_the_rest(folder: Path):
    conductor("plan", "system_test", "--mode", "backlog", "--count", "40000", cwd=folder)
    manifest = "manifests/system_test_backlog_40000.jsonl"
    argv = [sys.executable, "-m", "conductor", "dispatch", manifest, "--target", "backlog:night"]
    with open_ledger(load(folder)) as ledger:
        run = subprocess.Popen(
            argv,
            cwd=folder,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            # Below a shell's background job it would be ignored, in every child.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

        def is_under_way() -> bool:
            """Looked at while it stands still: it must not be through before it is interrupted."""
            run.send_signal(signal.SIGSTOP)
            if ledger.tallies.counts()["waiting"] > 1000:
                return True
            run.send_signal(signal.SIGCONT)
            return False

        wait_for(is_under_way)
        run.send_signal(signal.SIGINT)
        run.send_signal(signal.SIGCONT)
        _, err = run.communicate(timeout=60)
        put = ledger.tallies.counts()["waiting"]

    assert run.returncode == 130
    found = re.search(
        r"interrupted: the first ([\d,]+) jobs are in backlog:night; the same command again puts", err
    )
    assert found and 0 < int(found[1].replace(",", "")) <= put < 40_000, err
    rest = conductor("dispatch", manifest, "--target", "backlog:night", cwd=folder)
    assert rest.out == f"backlog:night: {40_000 - put} new, {put} known\n"


def test_bad_lines_are_all_named_and_nothing_is_dispatched(folder: Path):
    (folder / "bad.jsonl").write_text('{"v":1}\n{"v":1,"id":"x","workflow":"w","task":"nope"}\nnot json\n')

    put = conductor("dispatch", "bad.jsonl", "--target", "backlog:night", cwd=folder)

    assert put.code == 3
    assert put.err.startswith("conductor: bad.jsonl has ")
    assert all(f"bad.jsonl:{line}: " in put.err for line in (1, 2, 3))
    assert "Traceback" not in put.err
    assert conductor("status", "--json", cwd=folder).json["backlogs"] == {}


def test_a_dry_run_puts_nothing(folder: Path):
    conductor("plan", "system_test", "--mode", "debug", cwd=folder)
    manifest = next((folder / "manifests").glob("*.jsonl"))

    dry = conductor("dispatch", str(manifest), "--dry-run", cwd=folder)

    assert "would put" in dry.out
    assert conductor("status", "--json", cwd=folder).json["backlogs"] == {}


@pytest.mark.skipif(sys.platform != "linux", reason="script(1) differs elsewhere")
def test_on_a_terminal_the_view_is_live_and_log_lines_stand_above_it(folder: Path):
    conductor("plan", "system_test", "--mode", "sleep", "--count", "3", "--seconds", "0.3", cwd=folder)
    conductor("dispatch", "manifests/system_test_sleep_3.jsonl", cwd=folder)

    shown = on_a_terminal([sys.executable, "-m", "conductor", "conduct", "--until-done"], folder)

    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "waiting" in plain
    assert "Fed cpu diagnostics.sleep" in plain
    assert "3 done in " in plain


def on_a_terminal(argv: list[str], cwd: Path) -> str:
    """What a program writes to a terminal of its own."""
    import pty

    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    run = subprocess.Popen(
        argv, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the last writer is gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert run.wait(timeout=30) == 0
    return shown.decode("utf-8", "replace")
