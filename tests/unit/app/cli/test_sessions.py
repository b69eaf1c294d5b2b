"""Parameter sessions: options of a plan under a handle, until it expires."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_tools import Cli

from conductor.base.errors import UsageError
from conductor.base.settings.settings import Settings
from conductor.record.journal import Journal
from conductor.record.plan_sessions import PlanSessions


def opened(cli: Cli, *options: str) -> str:
    done = cli("sessions", "open", "system_test", *options)
    assert done.code == 0, done.err
    return done.out.strip()


def test_a_plan_takes_the_options_of_its_session_and_its_own_after_them(cli: Cli, project: Settings):
    handle = opened(cli, "--mode", "debug", "--count", "3")

    assert cli("plan", "system_test", "--session", handle).out.endswith("system_test_debug_3.jsonl: 3 jobs\n")
    both = cli("plan", "system_test", f"--session={handle}", "--count", "4")
    assert both.out.endswith("system_test_debug_4.jsonl: 4 jobs\n")
    said = [(note.kind, note.words, note.jobs) for note in Journal(project.receipts_dir).notes()]
    assert said == [
        ("open session", "system_test --mode debug --count 3", 0),
        ("plan with session", handle, 3),
        ("plan with session", handle, 4),
    ]
    assert all("@" in note.who for note in Journal(project.receipts_dir).notes())


def test_options_that_the_plan_refuses_open_no_session(cli: Cli):
    assert cli("sessions", "open", "system_test", "--mode", "nonsense").code == 2
    assert json.loads(cli("sessions", "dump", "--json").out) == []


def test_an_expired_session_is_refused_and_pruned_and_the_others_stay(project: Settings, cli: Cli):
    sessions = PlanSessions(project.state_dir)
    stale = sessions.open("system_test", ["--count", "1"], "anna@studio", lasts_s=60, now=1000.0)
    handle = opened(cli, "--count", "2")

    refused = cli("plan", "system_test", "--session", stale.handle)
    assert (refused.code, refused.out) == (2, "")
    assert f"the session {stale.handle} expired at" in refused.err
    assert [each["handle"] for each in json.loads(cli("sessions", "dump", "--json").out)] == [
        stale.handle,
        handle,
    ]
    assert cli("sessions", "prune-stale").out.splitlines()[-1] == "1 session removed"
    assert [session.handle for session in sessions.all()] == [handle]


@pytest.mark.parametrize(
    "handle", ["", "../../etc/passwd", "system_test-000000000000", "system_test-0/../../x"]
)
def test_a_handle_that_is_none_is_refused(project: Settings, handle: str):
    with pytest.raises(UsageError, match="there is no session"):
        PlanSessions(project.state_dir).find(handle, "system_test", 0.0)


def test_a_session_is_its_own_plans_alone(project: Settings):
    session = PlanSessions(project.state_dir).open("population", [], "anna", 60, 0.0)

    with pytest.raises(UsageError, match="is one of population, not of system_test"):
        PlanSessions(project.state_dir).find(session.handle, "system_test", 1.0)


def test_what_nobody_wrote_is_no_session(project: Settings):
    folder: Path = project.state_dir / "sessions"
    folder.mkdir(parents=True)
    (folder / "junk.json").write_text("{")
    (folder / "system_test-00000000000a.json").write_text("[]")

    assert PlanSessions(project.state_dir).all() == []
