"""pause, resume, drain, cancel, retry: the operator's word reaches the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders import a_report, a_spec
from cli_tools import Cli

from conductor.model.ledger_entries import Entry, HeldReport
from conductor.model.report import Device, NodeReport
from conductor.model.spec import to_line
from conductor.record.journal import Journal, places

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene


def test_a_paused_lane_is_fed_again_after_resume(cli: Cli, night: NightScene):
    assert cli("pause", "gpu").out == "lane gpu is paused: what runs is finished\n"
    assert night.ledger.control.controls().paused_lanes == ("gpu",)

    assert cli("resume", "gpu", "--json").json == {"lane": "gpu", "is_paused": False}
    assert night.ledger.control.controls().paused_lanes == ()


def test_a_drain_of_one_node_or_all_can_be_taken_back(cli: Cli, night: NightScene):
    night.start(0)

    assert cli("drain").out == "every node drains: 1 in flight, nothing new starts\n"
    assert night.ledger.control.controls().is_draining
    cli("drain", "--undo")
    night.ledger.reports.publish(a_report("studio2"), 60.0)
    assert cli("drain", "studio2").out == "studio2 drains: 0 in flight, nothing new starts\n"
    assert night.ledger.control.controls().draining_nodes == ("studio2",)
    assert not night.ledger.control.controls().is_draining


def test_cancel_takes_a_waiting_job_out_and_retry_sends_it_back(cli: Cli, night: NightScene):
    assert (
        cli("cancel", night.ids[0][:8]).out
        == f"diagnostics.echo ({night.ids[0][:8]}): was waiting, is cancelled\n"
    )
    assert night.view(0).state == "cancelled"

    assert cli("retry", night.ids[0]).out == "1 job is waiting again\n"
    assert night.view(0).state == "waiting"


def test_cancel_of_a_running_job_has_its_body_stopped(cli: Cli, night: NightScene):
    night.start(0)

    assert "was running, is being stopped" in cli("cancel", night.ids[0]).out
    assert night.ledger.attempts.renew("w1", 60, [HeldReport(job_id=night.ids[0], attempt=1)]).answers == (
        "cancel",
    )


def test_cancel_of_a_done_job_changes_nothing_and_is_1(cli: Cli, night: NightScene):
    night.finish(0)

    ended = cli("cancel", night.ids[0])

    assert (ended.code, ended.out) == (1, f"diagnostics.echo ({night.ids[0][:8]}) is done\n")


def test_retry_by_cause_takes_those_and_no_others(cli: Cli, night: NightScene):
    night.fail(0, "no_space", "full")
    night.fail(1, "bad_input", "cut off")
    night.fail(2, "no_space", "full")

    assert cli("retry", "--cause", "no_space").out == "2 jobs are waiting again\n"

    assert [night.view(n).state for n in range(3)] == ["waiting", "dead", "waiting"]


def test_retry_of_what_was_cancelled_takes_all_of_it(cli: Cli, night: NightScene):
    night.fail(0, "no_space", "full")
    cli("cancel", night.ids[1])
    cli("cancel", night.ids[2])

    assert cli("retry", "--cause", "cancelled").out == "2 jobs are waiting again\n"

    assert [night.view(n).state for n in range(3)] == ["dead", "waiting", "waiting"]


def test_retry_wants_a_job_or_a_cause_that_exists(cli: Cli, night: NightScene):
    assert cli("retry").code == 2
    assert cli("retry", night.ids[0], "--cause", "no_space").code == 2
    ended = cli("retry", "--cause", "nospace")
    assert ended.code == 2
    assert "did you mean no_space?" in ended.err


def test_retry_of_a_job_that_waits_is_1(cli: Cli, night: NightScene):
    assert cli("retry", night.ids[0]).code == 1


def test_who_died_with_another_is_not_sent_back_alone_and_that_one_is_named(cli: Cli, night: NightScene):
    spec, further = (a_spec(n) for n in (90, 91))
    for child, parent in ((spec.id, night.ids[0]), (further.id, spec.id)):
        entry = Entry(job_id=child, line=to_line(spec), job_class=night.job_class, after=(parent,))
        night.ledger.intake.put("night", [entry])
    night.fail(0, "task_error", "RuntimeError: no")

    kept = cli("retry", further.id)

    assert kept.code == 1
    assert kept.out == (
        f"0 jobs are waiting again; diagnostics.echo ({further.id[:8]}) comes after "
        f"diagnostics.echo ({night.ids[0][:8]}), which is dead (task_error: RuntimeError: "
        f"no): `conductor retry {night.ids[0][:8]}` brings back both\n"
    )
    assert night.ids[0][:8] in cli("retry", "--cause", "dependency_dead", "--json").json["kept"]

    assert cli("cancel", further.id).out == f"diagnostics.echo ({further.id[:8]}): was dead, is cancelled\n"
    assert cli("retry", night.ids[0]).code == 0

    states = [night.ledger.jobs.job(job_id) for job_id in (night.ids[0], spec.id, further.id)]
    assert [view.state for view in states if view] == ["waiting", "waiting", "cancelled"], "given up for good"


def test_a_backlog_is_paused_and_resumed_by_its_name(cli: Cli, night: NightScene):
    assert cli("pause", "night").out == "backlog night is paused: what runs of it is finished\n"
    assert night.ledger.control.controls().paused_backlogs == ("night",)
    assert any(
        row.split()[:1] == ["night"] and row.endswith("paused") for row in cli("status").out.splitlines()
    )
    assert cli("resume", "backlog:night", "--json").json == {"backlog": "night", "is_paused": False}
    assert night.ledger.control.controls().paused_backlogs == ()
    assert cli("resume", "night").out == "backlog night was not paused\n"

    lost = cli("pause", "backlog:nigt")
    assert lost.code == 2 and "no backlog is called nigt (there are: night), did you mean night?" in lost.err


def test_a_device_is_paused_and_resumed_by_its_place_or_by_its_name_alone_where_one_node_has_it(
    cli: Cli, night: NightScene
):
    here = NodeReport(
        node="here", host="h", devices=(Device(index=0, uuid="u", name="Stub", vram_total_mib=24576),)
    )
    night.ledger.reports.publish(here, 60.0)

    assert cli("pause", "gpu0").out == "here/gpu0 is paused: what runs there is finished\n"
    assert night.ledger.control.controls().paused_devices == ("here/gpu0",)
    assert "here/gpu0 is paused" in cli("status").out
    assert cli("resume", "here/gpu0").out == "here/gpu0 is used again\n"
    assert night.ledger.control.controls().paused_devices == ()

    lost = cli("pause", "gpu7")
    assert lost.code == 2
    assert (
        "gpu7 is no lane (gpu, cpu, io, cloud), no backlog (night) and no device that reports (here/gpu0)"
        in lost.err
    )


def test_pauses_and_drains_are_written_down_for_a_rebuild(cli: Cli, night: NightScene):
    night.ledger.reports.publish(a_report("studio2"), 60.0)
    said = ("pause gpu", "pause io", "resume io", "drain studio2", "drain", "drain --undo")
    assert [cli(*words.split()).code for words in said] == [0] * len(said)

    assert places(Journal(cli.project / "receipts").notes()) == ({"gpu"}, {"studio2"})
