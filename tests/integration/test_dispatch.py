"""Dispatch on a real Valkey: all of a manifest or nothing of it, twice is once, and receipts are believed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from builders import a_class, a_report, a_spec

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.errors import ManifestError, UsageError
from conductor.dispatch.backlog_name import backlog_name
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dead_ends import DeadEnds, DeadRoot
from conductor.dispatch.dispatch import BATCH, batches, dispatch
from conductor.dispatch.dispatch_report import Dispatched, notes, summed
from conductor.model.chains import FileJob
from conductor.model.ledger_entries import Entry, EntryFiles, JobView, Revised
from conductor.model.receipt import Outcome, Receipt
from conductor.model.snapshot import Lookahead
from conductor.model.spec import JobSpec, Needs, to_line
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.record.index.history import HistoryIndex
from conductor.record.journal import Journal
from conductor.views.explain_job import explained

CATALOGUE = load_catalogue()


class Dispatcher:
    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.path = folder / "m.jsonl"
        self.receipts = folder / "receipts"

    def __call__(self, specs: Iterable[JobSpec], **options: object) -> Dispatched:
        manifest.write(self.path, specs)
        return self.again(**options)

    def again(self, **options: object) -> Dispatched:
        backlog = str(options.pop("backlog", "b"))
        return dispatch(self.ledger, self.path, backlog, CATALOGUE, self.receipts, **options)  # type: ignore[arg-type]

    def receipt(self, spec: JobSpec, outcome: Outcome, attempt: int = 1) -> None:
        log = FileReceiptLog(self.receipts, f"w{attempt}")
        log.append(
            Receipt(
                v=1,
                job_id=spec.id,
                attempt=attempt,
                workflow=spec.workflow,
                task=spec.task,
                outcome=outcome,
                started_at=1,
                ended_at=2,
                node="n",
                worker="w",
            )
        )
        log.close()


@pytest.fixture(params=["ledger", "memory_ledger"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Dispatcher:
    return Dispatcher(request.getfixturevalue(request.param), tmp_path)


def test_all_jobs_go_in_and_twice_is_once(put: Dispatcher) -> None:
    told: list[tuple[int, int]] = []
    count = 2 * BATCH + 7

    first = put((a_spec(n) for n in range(count)), on_progress=lambda done, total: told.append((done, total)))
    second = put.again()

    assert (first.new, first.known) == (count, 0) and (second.new, second.known) == (0, count)
    assert put.ledger.tallies.counts("b")["waiting"] == count
    assert told == [(BATCH, count), (2 * BATCH, count), (count, count)]


def test_lines_arrive_byte_for_byte_and_in_order(put: Dispatcher) -> None:
    specs = [a_spec(n) for n in range(5)]
    put(specs)

    (candidate,) = put.ledger.waiting.candidates(Lookahead(heads=10))

    assert [head.job_id for head in candidate.heads] == [spec.id for spec in specs]
    job = put.ledger.jobs.job(specs[3].id)
    assert job is not None and job.line == to_line(specs[3]) and job.class_id == candidate.job_class.id


def test_one_bad_line_at_the_end_and_nothing_is_dispatched(put: Dispatcher) -> None:
    manifest.write(put.path, (a_spec(n) for n in range(BATCH + 1)))
    with put.path.open("ab") as file:
        file.write(b'{"v":1}\n')

    with pytest.raises(ManifestError, match="nothing of it was dispatched"):
        put.again()

    assert sum(put.ledger.tallies.counts().values()) == 0


def test_a_dry_run_counts_and_writes_nothing(put: Dispatcher) -> None:
    put([a_spec(0)])
    result = put([a_spec(n) for n in range(3)], is_dry_run=True)
    assert (result.new, result.known) == (2, 1)
    assert sum(put.ledger.tallies.counts().values()) == 1


def test_jobs_with_an_accepted_receipt_go_in_as_done(put: Dispatcher) -> None:
    done, failed, taken_back = (a_spec(n) for n in range(3))
    waiting = a_spec(3, after=(done.id,))
    put.receipt(done, "ok", attempt=2)
    put.receipt(failed, "failed", attempt=3)
    put.receipt(taken_back, "ok")
    put.receipt(taken_back, "superseded")

    result = put([done, failed, taken_back, waiting])

    assert put.again() == Dispatched(new=0, known=4, done=0)
    counts = put.ledger.tallies.counts("b")
    assert (result.new, result.done, counts["done"], counts["waiting"]) == (4, 1, 1, 3)
    views = [put.ledger.jobs.job(spec.id) for spec in (failed, waiting)]
    assert [view.attempts for view in views if view] == [3, 0]
    assert views[1] is not None and views[1].waits_for == ()


def test_a_job_may_wait_for_one_of_an_earlier_manifest_but_not_for_nobody(put: Dispatcher) -> None:
    earlier, proved, nobody = a_spec(0), a_spec(1), a_spec(2)
    put([earlier])
    put.receipt(proved, "ok")

    assert put([a_spec(3, after=(earlier.id, proved.id))]).new == 1
    view = put.ledger.jobs.job(a_spec(3).id)
    assert view is not None and view.waits_for == (earlier.id,), "what a receipt proves is in no backlog"
    with pytest.raises(ManifestError) as caught:
        put([a_spec(4), a_spec(5, after=(earlier.id, nobody.id))])

    problem = f"{put.path}:2: after: {nobody.id} is neither in this manifest nor known to the backlog"
    assert caught.value.problems == (problem,)
    assert put.ledger.jobs.job(a_spec(4).id) is None


def test_a_job_may_wait_for_a_later_line(put: Dispatcher) -> None:
    later = a_spec(1)
    put([a_spec(0, after=(later.id,)), later])
    view = put.ledger.jobs.job(a_spec(0).id)
    assert view is not None and view.waits_for == (later.id,)


def test_what_no_live_node_can_ever_run_is_refused_with_its_line(put: Dispatcher) -> None:
    put.ledger.reports.publish(a_report(), ttl_s=60)
    huge = a_spec(1, lane="gpu", needs=Needs(vram_mib=1 << 20))

    with pytest.raises(ManifestError) as caught:
        put([a_spec(0), huge])

    (problem,) = caught.value.problems
    assert problem.startswith(
        f"{put.path}:2: needs: can never run here: diagnostics.echo needs 1048576 MiB of VRAM"
    )
    assert sum(put.ledger.tallies.counts().values()) == 0


def test_without_a_live_node_the_same_goes_in_with_a_warning(put: Dispatcher) -> None:
    result = put([a_spec(1, lane="gpu", needs=Needs(vram_mib=1 << 20))])
    assert result.new == 1 and "1048576 MiB of VRAM" in result.warnings[0]
    assert put.again(is_gpu_on_cpu=True).warnings == ()
    assert put([a_spec(2)]).warnings == ()


def test_an_edited_line_is_said_and_taken_by_a_dry_run_and_in_earnest(put: Dispatcher) -> None:
    put([a_spec(0, needs=Needs(ram_mib=900_000_000)), a_spec(1)])
    right = [a_spec(0, needs=Needs(ram_mib=50), timeout_s=60, priority=7), a_spec(1)]

    would, did, again = put(right, is_dry_run=True), put(right), put(right)

    assert (would.revised, did.revised, again.revised) == (Revised(changed=1), Revised(changed=1), Revised())
    view = put.ledger.jobs.job(right[0].id)
    assert view is not None and (view.line, view.job_class.priority) == (to_line(right[0]), 7)
    assert "1 changed" in summed(did, "b", False) and (did.new, did.known) == (0, 2)


def test_a_dead_job_put_right_is_sent_back_and_stays_so_for_a_rebuild(put: Dispatcher) -> None:
    dead, behind = a_spec(0), a_spec(1, after=(a_spec(0).id,))
    put([dead, behind])
    put.ledger.commands.fail(dead.id, "host_oom", "too little")
    right = [a_spec(0, needs=Needs(ram_mib=50)), behind]
    assert put.again().ends == DeadEnds(
        jobs=2, roots=(DeadRoot(job_id=dead.id, cause="host_oom", message="too little", jobs=2),)
    )

    would, did = put(right, is_dry_run=True), put(right)

    assert would.ends.jobs == did.ends.jobs == 0 and dict(did.revised.risen) == {dead.id: 0}
    assert put.ledger.tallies.counts()["waiting"] == 2
    said = Journal(put.receipts).notes()
    assert [(note.what, note.ids) for note in said if note.what == "retried"] == [("retried", {dead.id: 0})]


def test_jobs_behind_a_dead_one_are_named_with_it_and_with_what_to_do(put: Dispatcher) -> None:
    put([a_spec(0)])
    put.ledger.commands.fail(a_spec(0).id, "task_error", "the switch is on")
    behind = [a_spec(1, after=(a_spec(0).id,)), a_spec(2, after=(a_spec(1).id,)), a_spec(3)]

    would, did = put(behind, is_dry_run=True), put(behind)

    assert would.ends == did.ends and did.ends.jobs == 2 and (would.new, did.new) == (3, 3)
    assert "3 new, 0 known, 2 dead or cancelled" in summed(did, "b", False)
    (said,) = notes(did, "b")
    assert f"{a_spec(0).id[:8]} (task_error: the switch is on)" in said
    assert said.endswith(f"put it right, then: conductor retry {a_spec(0).id[:8]}")


def test_jobs_of_another_backlog_are_named_and_can_be_moved(put: Dispatcher) -> None:
    put([a_spec(0), a_spec(1)])
    other = put([a_spec(0), a_spec(1), a_spec(2)], backlog="other")
    assert other.revised.elsewhere == {"b": 2} and other.exit_code == 1
    assert "known in backlog:b" in next(notes(other, "other"))

    moved = put.again(backlog="other", is_moving=True)

    assert (moved.revised.moved, moved.exit_code) == (2, 0)
    assert put.ledger.tallies.counts("other")["waiting"] == 3


def test_what_an_urgent_job_waits_for_is_as_urgent(put: Dispatcher) -> None:
    """Through however many, whatever order they stand in; and with a line that was edited meanwhile."""
    lows = [a_spec(n) for n in range(3)]
    first, second = a_spec(10), a_spec(11, after_ended=(a_spec(10).id,))
    calm, urgent = (a_spec(12, after=(second.id,), priority=priority) for priority in (0, 100))

    def priorities() -> list[int]:
        views = [put.ledger.jobs.job(spec.id) for spec in (lows[0], first, second, calm)]
        return [view.job_class.priority for view in views if view is not None]

    put([*lows, first, second, calm])
    assert priorities() == [0, 0, 0, 0]
    assert put([*lows, first, second, urgent], is_dry_run=True).revised.changed == 1 and priorities() == [
        0,
        0,
        0,
        0,
    ]
    assert put([*lows, first, second, urgent]).revised == Revised(changed=1)
    assert priorities() == [0, 100, 100, 100]
    assert [c.job_class.priority for c in put.ledger.waiting.candidates(Lookahead(heads=9))] != [0]
    history = HistoryIndex(put.receipts, put.receipts)
    story = explained(put.ledger, view_of(put.ledger, first), history, put.receipts)
    assert (
        "goes as of priority 100, which jobs that come after it hand down to it (its own is 0)" in story.notes
    )
    put([*lows, first, second, calm])
    assert priorities() == [0, 0, 0, 0], "and taken back"


def view_of(ledger: Ledger, spec: JobSpec) -> JobView:
    view = ledger.jobs.job(spec.id)
    assert view is not None
    return view


def test_a_manifest_without_jobs_is_said(put: Dispatcher) -> None:
    assert list(notes(put([]), "b")) == ["the manifest holds no jobs: nothing was dispatched"]


def test_a_manifest_that_changes_between_the_passes_is_not_half_believed(put: Dispatcher) -> None:
    manifest.write(put.path, (a_spec(n) for n in range(2 * BATCH)))

    def edit(done: int, total: int) -> None:
        with put.path.open("ab") as file:
            file.write(b"garbage\n")

    with pytest.raises(ManifestError, match="changed while it was being dispatched"):
        put.again(on_progress=edit)
    assert put.ledger.tallies.counts("b")["waiting"] == BATCH


@pytest.mark.parametrize(
    "target", ["system_test", "backlog:", "backlogs:x", "backlog:a b", "backlog:é", "backlog:a:b"]
)
def test_targets_that_are_none_are_refused(target: str) -> None:
    with pytest.raises(UsageError, match="write it as backlog:NAME"):
        backlog_name(target)
    assert backlog_name("backlog:night-1_x") == "night-1_x"


def test_no_call_keeps_the_server_long_however_heavy_its_lines() -> None:
    """By weight, not by time: long lines, jobs with waits and with files go in fewer at once, in order and
    whole.
    """
    plain = Entry(job_id="job-00000000", line=b"{}", job_class=a_class("cpu"))
    file = EntryFiles(
        job=FileJob(job_id="job-00000000", reads=("scratch:x",)), readers={"scratch:y": ("a", "b")}
    )
    kinds = {
        "plain": (plain, BATCH),
        "long": (msgspec.structs.replace(plain, line=b"x" * 20_480), 42),
        "longest": (msgspec.structs.replace(plain, line=b"x" * (1 << 20)), 1),
        "waits": (msgspec.structs.replace(plain, after=("a", "b"), after_ended=("c",)), 50),
        "files": (msgspec.structs.replace(plain, files=file), 20),
        "over": (msgspec.structs.replace(plain, over="dead", failures={"task_error": 1}), 63),
    }
    for name, (entry, most) in kinds.items():
        items = [msgspec.structs.replace(entry, job_id=f"job-{n:08d}") for n in range(2 * most + 1)]
        found = list(batches(iter(items)))
        assert [len(batch) for batch in found] == [most, most, 1], name
        assert [entry for batch in found for entry in batch] == items
