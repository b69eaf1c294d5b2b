"""status, top, explain, audit: what they say of a ledger with a night's work in it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from builders import a_class, a_report, a_spec
from cli_tools import Cli

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.settings.settings import Settings
from conductor.model.decision import Verdict
from conductor.model.ledger_entries import Entry, HeldReport
from conductor.model.reason import Reason
from conductor.model.spec import to_line

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

CPU_SHUT = Verdict(gate="cpu", passed=False, reason=Reason.NO_ROOM, where="node1", need=4, have=1.5, limit=8,
                   unit="cores", holders=("job-7",))  # fmt: skip


def test_status_of_nothing_says_what_to_do(cli: Cli):
    shown = cli("status")

    assert shown.code == 0
    assert "no backlog holds a job" in shown.out


def test_status_counts_states_and_names_the_dead_by_cause(cli: Cli, night: NightScene):
    night.finish(0)
    night.fail(1, "no_space", "the disk is full")

    shown = cli("status")

    first, _, _, counts, *_ = shown.out.splitlines()
    assert first.startswith("Waiting: 1 of 4 jobs done") and "1 dead: 1 no_space (`conductor jobs" in first
    assert counts.split() == ["night", "2", "0", "0", "1", "1", "0", "0"]
    assert "1  no_space" in shown.out
    assert "led by studio-1" in shown.out
    assert "no node is running" in shown.out


def test_status_shows_what_is_held_by_which_gate_with_its_numbers(cli: Cli, night: NightScene):
    night.ledger.reports.publish(a_report(notes=("no NVIDIA driver",)), 60)
    night.hold(CPU_SHUT)

    shown = cli("status")

    assert "3 jobs of diagnostics.echo (cpu, backlog night):" in shown.out
    assert "cpu needs 4 cores, node1 has 1.5 cores free (held by job-7)" in shown.out
    assert "node1: 16 cores, RAM 64.0 GiB free of 64.0 GiB" in shown.out
    assert "note: node1: no NVIDIA driver" in shown.out


def test_status_shows_what_is_in_flight_and_where(cli: Cli, night: NightScene):
    night.start(0)
    night.ledger.attempts.renew(
        "w1", 60, [HeldReport(job_id=night.ids[0], attempt=1, progress=0.45, note="frame 12\nof 40")]
    )

    row = next(line for line in cli("status").out.splitlines() if night.ids[0][:8] in line)

    assert "node1" in row
    assert "running" in row
    assert "45% frame 12\\nof 40" in row


def test_what_runs_and_what_is_dead_is_shown_by_its_file_its_id_beside_it(cli: Cli, night: NightScene):
    for n in (91, 92):
        spec = a_spec(n, reads=(f"scratch:night/clip\n{n}.mp4",))
        night.ids.append(spec.id)
        night.specs.append(spec)
        entry = Entry(job_id=spec.id, line=to_line(spec), job_class=night.job_class)
        night.ledger.intake.put("night", [entry])
    night.start(4)
    night.fail(5, "bad_input", "cut off")
    runs, dead = night.ids[4], night.ids[5]

    shown = cli("status")

    row = next(line for line in shown.out.splitlines() if runs[:8] in line)
    assert row.split("  ")[1:3] == ["diagnostics.echo · clip\\n91.mp4", runs[:8]]
    assert f"  diagnostics.echo · clip\\n92.mp4 ({dead[:8]}): bad_input: cut off" in shown.out
    assert cli("status", "--json").json["files"][runs] == "clip\n91.mp4"


def test_status_of_one_backlog_leaves_the_others_out(cli: Cli, night: NightScene):
    spec = a_spec(9)
    job_class = a_class("cpu", id="c9", backlog="other")
    night.ledger.intake.put("other", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
    shown = cli("status", "--backlog", "backlog:other", "--json").json

    assert list(shown["backlogs"]) == ["other"]
    assert cli("status", "--backlog", "night").code == 2


def test_status_as_json_has_every_field(cli: Cli, night: NightScene):
    night.finish(0)
    night.hold(CPU_SHUT)

    shown = cli("status", "--json").json

    assert shown["backlogs"]["night"]["done"] == 1
    (verdict,) = shown["holds"][0]["verdicts"]
    assert (verdict["reason"], verdict["have"], verdict["detail"]["others"]) == ("no_room", 1.5, 0.0)
    assert shown["leader"] == "studio-1"


def test_a_paused_lane_and_a_drain_are_said(cli: Cli, night: NightScene):
    cli("pause", "gpu")
    cli("drain")

    shown = cli("status").out

    assert any(line.split()[:1] == ["gpu"] and "paused" in line for line in shown.splitlines())
    assert "draining: what runs is finished" in shown


def test_top_in_a_pipe_is_one_line(cli: Cli, night: NightScene):
    night.finish(0)
    night.hold(CPU_SHUT)

    assert cli("top").out == "1 of 4 done, 3 waiting; nobody can say yet when it is done; held by cpu\n"
    assert cli("top", "--json").json["backlogs"]["night"]["waiting"] == 3


def test_explain_of_a_held_job_gives_the_gate_and_the_numbers(cli: Cli, night: NightScene):
    night.hold(CPU_SHUT)

    shown = cli("explain", night.ids[2][:8])

    assert shown.out.startswith(
        f"{night.ids[2]}  diagnostics.echo of system_test, backlog night\n  waiting, dispatched "
    )
    assert "cpu needs 4 cores, node1 has 1.5 cores free" in shown.out


def test_explain_has_every_number_as_json_and_what_the_gate_has_cost(cli: Cli, night: NightScene):
    now = night.ledger.bell.now()
    night.hold(
        CPU_SHUT, closed_since={"cpu": now - 840}, lost_s={"cpu": 840.0, "lane": 12.0}, head=night.ids[0]
    )

    shown = cli("explain", night.ids[0])
    (asked,) = cli("explain", night.ids[0], "--json").json["waiting"]["gates"]

    assert "cpu needs 4 cores, node1 has 1.5 cores free (held by job-7)" in shown.out
    assert "-2.5 cores" in shown.out
    assert "14 min 00 s" in shown.out
    assert (asked["need"], asked["have"], asked["margin"], asked["limit"]) == (4, 1.5, -2.5, 8)
    assert (asked["lost_s"], asked["holders"], asked["closed_since"]) == (840.0, ["job-7"], now - 840)
    assert (asked["reason"], asked["detail"]["words"], asked["words"]) == ("no_room", "", "")


def test_explain_of_a_job_behind_others_of_its_class_says_its_place(cli: Cli, night: NightScene):
    night.hold(CPU_SHUT, head=night.ids[0], starts_by=night.ledger.bell.now() + 600)

    shown = cli("explain", night.ids[2])
    waiting = cli("explain", night.ids[2], "--json").json["waiting"]

    first = f"diagnostics.echo ({night.ids[0][:8]})"
    assert f"2 jobs with the same needs go before it, the first is {first}, which waits for: cpu" in shown.out
    assert "; that one: starts no later than about " in shown.out, "not this one"
    assert "that one" not in cli("explain", night.ids[0]).out
    assert (waiting["ahead"], waiting["of"], waiting["first"]) == (2, 3, night.ids[0])
    assert cli("explain", night.ids[0], "--json").json["waiting"]["ahead"] == 0


def test_what_can_never_run_is_no_waiting_job_and_stands_apart(cli: Cli, night: NightScene):
    night.hold(CPU_SHUT, is_infeasible=True)

    shown = cli("status").out

    assert "can never run here:\n  3 jobs of diagnostics.echo" in shown
    assert "held:" not in shown


def test_explain_names_the_root_of_what_a_job_waits_for_and_why_that_one_waits(cli: Cli, night: NightScene):
    night.hold(CPU_SHUT, head=night.ids[0])
    chain = [a_spec(90)]
    for n, after in ((91, night.ids[0]), (92, ""), (93, "")):
        spec = a_spec(n, after=(after or chain[-1].id,))
        chain.append(spec)
        night.ledger.intake.put(
            "night", [Entry(job_id=spec.id, line=to_line(spec), job_class=night.job_class, after=spec.after)]
        )

    shown = cli("explain", chain[-1].id)
    story = cli("explain", chain[-1].id, "--json").json

    assert f"  waits for diagnostics.echo ({chain[-2].id}): waiting" in shown.out
    root = f"in the end for diagnostics.echo ({night.ids[0]}) (3 jobs deep)"
    assert f"{root}: waiting: cpu needs 4 cores, node1 has 1.5" in shown.out
    assert [(root["job_id"], root["state"], root["depth"]) for root in story["roots"]] == [
        (night.ids[0], "waiting", 3)
    ]
    night.admit(0)
    assert "in the end for" in (said := cli("explain", chain[-1].id).out)
    assert "(3 jobs deep): admitted: on node1 for " in said


def behind(night: NightScene, n: int, *others: str) -> str:
    """A job of that number that comes after these: its id."""
    spec = a_spec(n, after=others)
    entry = Entry(job_id=spec.id, line=to_line(spec), job_class=night.job_class, after=others)
    night.ledger.intake.put("night", [entry])
    return spec.id


def test_explain_of_a_job_after_ten_thousand_says_counts(cli: Cli, night: NightScene):
    last = behind(night, 90, night.ids[0], night.ids[1], *(f"elsewhere-{n:05}" for n in range(10_000)))
    night.start(1)

    shown = cli("explain", last)
    story = cli("explain", last, "--json")

    assert "  waits for 10,002 jobs: 10,000 unknown, 1 running, 1 waiting; the first:\n" in shown.out
    assert len(shown.out.splitlines()) < 20
    assert "and for others beside" in shown.out
    assert story.json["job"]["waits"] == {"unknown": 10_000, "running": 1, "waiting": 1}
    assert len(story.out) < 20_000


def test_status_names_those_that_died_of_themselves_apart_from_those_behind_them(cli: Cli, night: NightScene):
    for n in range(90, 120):
        behind(night, n, night.ids[0])
    night.fail(0, "task_error", "RuntimeError: the switch is on")

    shown = cli("status")
    found = cli("status", "--json").json

    assert found["dead"] == {"task_error": 1, "dependency_dead": 30}
    assert [grave["job_id"] for grave in found["graves"]] == [night.ids[0]]
    dead = shown.out.partition("dead, by cause")[2].splitlines()
    assert [line.split() for line in dead[1:3]] == [
        ["1", "task_error"],
        ["30", "dependency_dead", "behind", "those"],
    ]
    assert dead[3] == f"  diagnostics.echo ({night.ids[0][:8]}): task_error: RuntimeError: the switch is on"


def went_down(night: NightScene) -> str:
    """One job runs and its worker is heard no more, the others are held by a gate, and the conductor is gone:
    the minute of the last tick."""
    attempt = night.admit(3).attempt
    night.ledger.attempts.start(night.ids[3], attempt, "w1", 0.001)
    night.hold(CPU_SHUT, head=night.ids[0])
    at = time.strftime("%H:%M", time.localtime(night.ledger.gate_record.gates().at))
    night.ledger.leadership.resign("studio-1")
    return at


def test_nothing_of_a_system_that_is_down_is_shown_as_now(cli: Cli, night: NightScene):
    at = went_down(night)

    shown, found = cli("status"), cli("status", "--json").json

    down = f", as of {at} (no conductor since {at})"
    assert f"\nheld{down}:\n" in shown.out
    assert f"\nin flight when it stopped{down}:\n" in shown.out
    row = next(line for line in shown.out.splitlines() if night.ids[3][:8] in line)
    assert "running" not in row and f"began {at}, no word since {at}" in row
    assert f"note: nothing is running now: no conductor since {at} (`conductor up`, or" in shown.out
    assert f"0 nodes, no conductor since {at}" in shown.out
    assert "nobody can say when it is done: no conductor is running" in shown.out
    assert found["ledger_age"]["has_leader"] is False
    assert found["ledger_age"]["as_of"] == night.ledger.gate_record.gates().at
    assert found["ledger_age"]["heard_at"] == night.ledger.leadership.heard_at()
    assert list(found["ledger_age"]["unheard"]) == [night.ids[3]]
    assert found["end"]["at"] is None
    assert sum(lane["running"] for lane in found["lanes"]) == 0


def test_the_line_of_top_and_explain_mark_what_is_old_too(cli: Cli, night: NightScene):
    at = went_down(night)

    assert f"; nothing is running now: no conductor since {at}\n" in cli("top").out
    held = cli("explain", night.ids[0]).out
    assert f"\n  as of {at} (no conductor since {at}):\n" in held
    runs = cli("explain", night.ids[3])
    unheard = f"no word from its worker since {at}; no conductor since {at}, so nobody takes it back"
    assert f"was running on node1, attempt 1: {unheard}\n" in runs.out
    assert cli("explain", night.ids[3], "--json").json["ledger_age"]["has_leader"] is False


def test_without_a_conductor_what_runs_goes_on_and_is_shown_so(cli: Cli, night: NightScene):
    night.start(3)
    night.ledger.leadership.resign("studio-1")

    shown = cli("status").out

    assert "\nin flight:\n" in shown
    assert "note: what runs is finished, and nothing new starts: no conductor since " in shown


def test_explain_of_a_job_that_nobody_feeds_says_so(cli: Cli, night: NightScene):
    night.ledger.leadership.resign("studio-1")

    assert "no conductor is running, so nobody hands it over" in cli("explain", night.ids[0]).out


def test_explain_of_a_job_that_is_not_held_says_that_its_turn_comes(cli: Cli, night: NightScene):
    assert "no gate holds it" in cli("explain", night.ids[0]).out


def test_explain_of_a_done_job_tells_from_its_receipt(cli: Cli, night: NightScene, project: Settings):
    receipt = night.finish(0)
    project.receipts_dir.mkdir()
    FileReceiptLog(project.receipts_dir, "w1").append(receipt)

    shown = cli("explain", night.ids[0])

    assert re.search(r"^  done, dispatched [0-9.]+ s ago", shown.out, re.MULTILINE)
    assert "attempt 1: ok, 12 s on node1" in shown.out
    assert cli("explain", night.ids[0], "--json").json["receipts"][0]["outcome"] == "ok"


def test_explain_of_a_failed_attempt_names_the_line_of_the_own_task(
    cli: Cli, night: NightScene, project: Settings
):
    log = FileReceiptLog(project.receipts_dir, "w1")
    words = {"cause": "task_error", "message": "KeyError: 'fps'", "raised_at": "KeyError at render.py:17"}
    log.append(night.receipt(0, 1, outcome="failed", **words))
    log.close()

    assert (
        "attempt 1: failed, 12 s on node1: task_error: KeyError: 'fps' (render.py:17)"
        in cli("explain", night.ids[0]).out
    )


def test_explain_of_a_dead_job_gives_cause_and_message_on_their_line(cli: Cli, night: NightScene):
    night.fail(1, "bad_input", "clip\n.mp4 is cut off")

    assert (
        "  last failure: bad_input: clip\\n.mp4 is cut off" in cli("explain", night.ids[1]).out.splitlines()
    )


def test_a_beginning_that_fits_two_jobs_is_refused_with_both(cli: Cli, night: NightScene):
    twins = [
        Entry(job_id=f"twin-000{n}", line=to_line(night.specs[0]), job_class=night.job_class)
        for n in range(2)
    ]
    night.ledger.intake.put("night", twins)

    ended = cli("explain", "twin-")

    assert ended.code == 2
    assert "twin- could be twin-0000, twin-0001: give more letters" in ended.err


def test_a_beginning_that_fits_no_job_is_a_usage_error(cli: Cli, night: NightScene):
    ended = cli("explain", "zzzzzzzz")

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "no job's id begins with zzzzzzzz" in ended.err
    assert cli("explain", "").code == 2


def test_explain_counts_the_tries_and_not_the_numbers_that_a_rebuild_left_out(
    cli: Cli, night: NightScene, project: Settings
):
    spec = a_spec(9)
    night.ids.append(spec.id)
    rebuilt = Entry(job_id=spec.id, line=to_line(spec), job_class=night.job_class, attempts=100)
    night.ledger.intake.put("night", [rebuilt])
    log = FileReceiptLog(project.receipts_dir, "w1")
    for attempt in (1, 2):
        log.append(night.receipt(4, attempt, outcome="failed", cause="task_error", message="once more"))
    log.close()
    night.start(4)

    shown = cli("explain", spec.id).out

    assert "attempt 3 (numbered 101)" in shown.splitlines()[1]
    assert "  attempt 2: failed" in shown
    assert cli("explain", spec.id, "--json").json["tries"] == 3
