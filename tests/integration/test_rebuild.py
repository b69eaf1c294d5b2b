"""Redis is disposable: after a FLUSHALL, manifests and receipts give back what was done, dead and waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_report, a_spec
from node_scene import NodeScene as NodeScene
from node_scene import configure, until
from rebuild_scene import CATALOGUE, RebuildScene
from redis import Redis

from conductor.adapters.files.receipt_log import accepted, read_receipts
from conductor.base.errors import ConfigError, ManifestError
from conductor.base.settings.settings import Settings
from conductor.core.failures.history import GENERATION_STEP
from conductor.dispatch.dispatch import dispatch
from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.model.spec import JobSpec, Needs
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.record.dispatched_manifests import Source
from conductor.record.journal import Journal, Word
from conductor.record.ledger_identity import Guard


@pytest.fixture
def place(ledger: Ledger, tmp_path: Path, redis_url: str) -> RebuildScene:
    return RebuildScene(ledger, tmp_path, redis_url)


# ── the same sets ─────────────────────────────────────────────────────────────────────────────────────────


def test_done_dead_cancelled_and_waiting_come_back_as_they_were(place: RebuildScene) -> None:
    done, dead, tired, fresh = (a_spec(n) for n in range(4))
    behind = a_spec(5, after=(dead.id,))
    ready = a_spec(6, after=(done.id,))
    stopped = a_spec(7)
    place.dispatch(done, dead, tired, fresh, behind, ready, stopped)
    place.receipt(done)
    place.receipt(dead, "failed", cause="bad_input", message="not a video")
    place.receipt(tired, "failed", cause="task_error", message="once")
    place.receipt(stopped, "failed", cause="cancelled")
    place.flush()

    result = place.rebuild()

    assert place.states(done, dead, tired, fresh, behind, ready, stopped) == [
        "done", "dead", "waiting", "waiting", "dead", "waiting", "cancelled",
    ]  # fmt: skip
    (one,) = result.manifests
    assert (one.new, one.done, one.dead, one.cancelled, one.waiting) == (7, 1, 1, 1, 4)
    view = place.ledger.jobs.job(dead.id)
    assert view is not None and (view.cause, view.message) == ("bad_input", "not a video")
    weary = place.ledger.jobs.job(tired.id)
    assert weary is not None and weary.failures == {"task_error": 1}, "the budget goes on where it was"
    waiting = place.ledger.jobs.job(ready.id)
    assert waiting is not None and waiting.waits_for == ()


def test_the_budget_of_the_line_decides_as_it_did_live(place: RebuildScene) -> None:
    strict, lenient = a_spec(0, retry={"task_error": 1}), a_spec(1, retry={"task_error": 5})
    place.dispatch(strict, lenient)
    for attempt in (1, 2):
        for spec in (strict, lenient):
            place.receipt(spec, "failed", attempt, "task_error", "no")
    place.flush()
    place.rebuild()
    assert place.states(strict, lenient) == ["dead", "waiting"]


def test_twice_is_once_also_beside_a_ledger_that_is_whole(place: RebuildScene) -> None:
    specs = [a_spec(n) for n in range(3)]
    place.dispatch(*specs)
    place.receipt(specs[0])
    place.flush()
    place.rebuild()
    before = place.sets()

    again = place.rebuild()

    assert place.sets() == before
    assert (again.was_lost, again.settles_s, again.accepted) == (False, 0, 0)
    assert [one.new for one in again.manifests] == [0]
    assert len(Journal(place.receipts).notes()) == 2, "nothing new to note"


def test_each_manifest_goes_back_to_the_backlog_it_was_dispatched_to(place: RebuildScene) -> None:
    first, second = a_spec(1), a_spec(2, after=(a_spec(1).id,))
    place.dispatch(first, backlog="day")
    place.dispatch(second, name="n.jsonl", backlog="night")
    place.flush()
    place.rebuild()
    assert place.ledger.tallies.counts("day")["waiting"] == 1
    assert place.ledger.tallies.counts("night")["waiting"] == 1
    view = place.ledger.jobs.job(second.id)
    assert view is not None and view.waits_for == (first.id,)


def test_no_number_is_given_out_twice_over_several_lives(place: RebuildScene) -> None:
    spec = a_spec()
    place.dispatch(spec)
    seen: list[int] = []
    for _ in range(3):
        place.flush()
        place.rebuild()
        view = place.ledger.jobs.job(spec.id)
        assert view is not None
        seen.append(view.attempts)
    assert seen == [GENERATION_STEP, 2 * GENERATION_STEP, 3 * GENERATION_STEP]


def test_what_the_operator_said_is_not_forgotten(place: RebuildScene) -> None:
    sent_back, called_off = a_spec(0), a_spec(1)
    place.dispatch(sent_back, called_off)
    place.receipt(sent_back, "failed", cause="bad_input")
    Journal(place.receipts).operator("retried", {sent_back.id: 1})
    Journal(place.receipts).operator("cancelled", {called_off.id: 0})
    place.flush()
    place.rebuild()
    assert place.states(sent_back, called_off) == ["waiting", "cancelled"]


def test_a_receipt_that_came_while_the_jobs_went_in_is_accepted(
    place: RebuildScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = a_spec()
    place.dispatch(spec)
    place.flush()
    put = place.ledger.intake.put

    def put_late(backlog: str, entries: object) -> object:
        # Its worker was just told «gone»: the receipt is on disk, and was not when the receipts were read.
        place.receipt(spec)
        return put(backlog, entries)  # type: ignore[arg-type]

    monkeypatch.setattr(place.ledger.intake, "put", put_late)
    result = place.rebuild()
    assert (result.accepted, place.states(spec)) == (1, ["done"])


def test_a_bad_manifest_is_refused_before_anything_is_put(place: RebuildScene) -> None:
    good = place.dispatch(a_spec(1))
    place.flush()
    bad = place.manifest.with_name("bad.jsonl")
    bad.write_text("{}\n")
    with pytest.raises(ManifestError):
        place.rebuild(Source(manifest=good, backlog="b"), Source(manifest=bad, backlog="b"))
    assert place.ledger.tallies.backlogs() == () and place.ledger.identity.generation() is None


# ── it is noticed ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_emptied_ledger_is_noticed_until_all_of_the_rebuild_is_through(place: RebuildScene) -> None:
    assert place.guard.reason() is None, "nothing was ever dispatched"
    spec = a_spec()
    place.dispatch(spec)
    assert place.guard.reason() is None
    place.flush()
    lost = place.guard.reason()
    assert lost is not None and "conductor rebuild" in lost and "emptied" in lost
    place.ledger.identity.generation("half of a rebuild")
    assert place.guard.reason() == lost
    place.rebuild()
    time.sleep(0.01)
    until(lambda: place.guard.reason() is None)


def test_dispatch_into_an_emptied_ledger_is_refused_with_the_remedy(place: RebuildScene) -> None:
    path = place.dispatch(a_spec(1))
    place.flush()
    with pytest.raises(ConfigError, match="conductor rebuild"):
        dispatch(place.ledger, path, "night", CATALOGUE, place.receipts)
    place.rebuild()
    assert dispatch(place.ledger, path, "night", CATALOGUE, place.receipts).known == 1


def test_one_manifest_of_two_brought_back_is_no_reason_to_stand_still(place: RebuildScene) -> None:
    first = place.dispatch(a_spec(1))
    place.dispatch(a_spec(2), name="n.jsonl")
    place.flush()
    place.rebuild(Source(manifest=first, backlog="night"))
    ledger_match = Journal(place.receipts).ledger_match(place.ledger.identity.generation())
    assert not ledger_match.is_lost
    assert ledger_match.sentence is not None and ledger_match.sentence.startswith(
        "n.jsonl was dispatched and is not in"
    )


def test_a_host_without_the_journal_notices_as_well(place: RebuildScene, tmp_path: Path) -> None:
    place.dispatch(a_spec(1))
    elsewhere = Guard(place.ledger, tmp_path / "elsewhere")
    assert elsewhere.reason() is None
    place.flush()
    assert "emptied" in (elsewhere.reason() or "")
    place.rebuild()
    assert "just rebuilt" in (elsewhere.reason() or "")
    until(lambda: elsewhere.reason() is None)


# ── the whole of it, in the middle of a run ───────────────────────────────────────────────────────────────


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[NodeScene]:
    text = 'node = "here"\n[lanes]\ncpu.workers = 2\nio.workers = 0\ncloud.workers = 0\ngpu.workers = 0\n'
    text += "[timing]\nlease_s = 3.0\nreport_every_s = 0.5\n[web]\nis_on = false\n[dashboard]\nport = 0\n"
    scene = NodeScene(ledger, configure(project, text))
    yield scene
    scene.close()


def test_flushall_in_the_middle_of_a_run_and_rebuild(scene: NodeScene, redis_url: str) -> None:
    settings = scene.settings
    quick = [a_spec(n, task="diagnostics.sleep", args={"seconds": 0.02, "n": n}) for n in range(30)]
    slow = [scene.waiting_spec(n, priority=9) for n in (100, 101)]
    path = settings.project / "m.jsonl"
    manifest.write(path, [*quick, *slow])
    dispatch(scene.ledger, path, "night", scene.catalogue, settings.receipts_dir)
    scene.run("node")
    conduct = scene.run("conduct")
    for n in (100, 101):
        scene.until_begun(n)

    with Redis.from_url(redis_url, protocol=2) as client:
        client.flushall()

    until(lambda: "Starting nothing: " in conduct.said)
    refused = scene.run("dispatch", "m.jsonl")
    assert refused.wait() == 3 and "conductor rebuild" in refused.said
    assert "conductor rebuild" in said(scene, "status")
    rebuilt = scene.run("rebuild")
    assert rebuilt.wait() == 0, rebuilt.said
    until(lambda: all(scene.job(spec.id).state == "running" for spec in slow))
    scene.release(100, 101)
    until(lambda: all(scene.job(spec.id).state == "done" for spec in (*quick, *slow)), 60)

    receipts = list(read_receipts(settings.receipts_dir))
    assert len(accepted(receipts)) == 32
    assert [r.attempt for r in receipts if r.job_id in {s.id for s in slow}] == [1, 1], (
        "what ran went on, and once"
    )
    assert "goes on" in "".join(p.read_text() for p in settings.logs_dir.glob("*") if p.is_file())
    assert "The ledger is whole again" in conduct.said


def said(scene: NodeScene, *words: str) -> str:
    command = scene.run(*words)
    assert command.wait() == 0, command.said
    return command.said


# ── what was said, and what was learned ───────────────────────────────────────────────────────────────────


def test_pauses_and_drains_come_back_as_the_operator_left_them(place: RebuildScene) -> None:
    place.dispatch(a_spec(1))
    journal = Journal(place.receipts)
    words: tuple[tuple[Word, str], ...] = (
        ("paused", "gpu"), ("paused", "cloud"), ("resumed", "cloud"), ("paused", "studio2/gpu0"),
        ("paused", "backlog:night"),
        ("draining", "studio3"), ("draining", "studio2"), ("fed", "studio2"), ("draining", ""),
    )  # fmt: skip
    for what, where in words:
        journal.place(what, where)
    place.flush()

    place.rebuild()

    controls = place.ledger.control.controls()
    assert (controls.paused_lanes, controls.paused_devices) == (("gpu",), ("studio2/gpu0",))
    assert controls.paused_backlogs == ("night",)
    assert (controls.is_draining, controls.draining_nodes) == (True, ("studio3",))
    assert place.ledger.control.resumed() == {}, "a device in quarantine stays there"


def test_what_was_said_since_stands_beside_a_ledger_that_is_whole(place: RebuildScene) -> None:
    place.dispatch(a_spec(1))
    Journal(place.receipts).place("paused", "gpu")

    place.rebuild()

    assert place.ledger.control.controls().paused_lanes == (), "this ledger was not emptied: it knows better"


def a_hungry_spec(number: int) -> JobSpec:
    return a_spec(number, needs=Needs(vram_mib=4000))


def out_of_memory(place: RebuildScene, spec: JobSpec, attempt: int, asked: int, peak: int | None) -> None:
    place.receipt(
        spec, "failed", attempt, "cuda_oom", "out of memory", usage=Usage(vram_mib=peak),
        asked=AdmittedNeeds(needs=Needs(vram_mib=asked)), ended_at=time.time(),
    )  # fmt: skip


def test_needs_raised_by_an_out_of_memory_are_raised_again(place: RebuildScene) -> None:
    twice, never, fresh = (a_hungry_spec(n) for n in range(3))
    place.dispatch(twice, never, fresh)
    place.ledger.reports.publish(a_report("studio1", devices=1, sent_at=time.time()), 60)
    out_of_memory(place, twice, 1, 4000, 4800)
    out_of_memory(place, twice, 2, 6144, None)
    out_of_memory(place, never, 1, 24_576 - 512, None)
    before = place.ledger.jobs.job(fresh.id)
    place.flush()
    place.ledger.reports.publish(a_report("studio1", devices=1, sent_at=time.time()), 60)

    place.rebuild()

    first, hopeless, other = (place.ledger.jobs.job(spec.id) for spec in (twice, never, fresh))
    assert first is not None and first.job_class.needs.vram_mib == 9216, "4800 × 1.25 in steps of 256, × 1.5"
    assert hopeless is not None and (hopeless.state, hopeless.cause) == ("dead", "cuda_oom")
    assert other is not None and before is not None and other.job_class == before.job_class


def test_needs_are_not_raised_where_no_node_says_how_much_there_is(place: RebuildScene) -> None:
    spec = a_hungry_spec(1)
    place.dispatch(spec)
    out_of_memory(place, spec, 1, 4000, 4800)
    place.flush()

    place.rebuild()

    view = place.ledger.jobs.job(spec.id)
    assert view is not None and view.job_class.needs.vram_mib == 4000


def test_a_back_off_goes_on_where_it_was(place: RebuildScene) -> None:
    full, old, forgiven = (a_spec(n) for n in range(3))
    place.dispatch(full, old, forgiven)
    now = time.time()
    place.receipt(full, "failed", cause="no_space", ended_at=now)
    place.receipt(old, "failed", cause="no_space", ended_at=now - 100)
    place.receipt(forgiven, "failed", cause="no_space", ended_at=now)
    Journal(place.receipts).operator("retried", {forgiven.id: 1})
    place.flush()

    place.rebuild()

    views = [place.ledger.jobs.job(spec.id) for spec in (full, old, forgiven)]
    assert [view and view.not_before for view in views] == [pytest.approx(now + 30, abs=0.01), None, None]
