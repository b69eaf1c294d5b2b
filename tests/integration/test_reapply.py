"""A Redis that stepped back is told again what it forgot: dispatches, the operator's words, what is made
again.

It steps back as a disk of yesterday does: all keys as they were, under another history of the server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from msgspec.structs import replace
from rebuild_scene import CATALOGUE, LEASE_S, RebuildScene
from redis import Redis

from conductor.adapters.rates.rates import memory_rates
from conductor.base.errors import Unreachable
from conductor.base.settings.sections import Timing
from conductor.core.needs.escalation import placed
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import FAILED_BY_OPERATOR, JobView
from conductor.model.limits import Limits
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, Needs
from conductor.ports import Ledger
from conductor.record.journal import Journal
from conductor.recovery.forget_needs import forget
from conductor.recovery.reapply_journal import JournalReapply, Reapplied
from conductor.recovery.reconcile import Reconciler
from conductor.tick.loop import Conductor


class Forgetful(RebuildScene):
    """A place whose Redis can be put back to what it was."""

    def __init__(self, ledger: Ledger, folder: Path, redis_url: str, lease_s: float = LEASE_S) -> None:
        super().__init__(ledger, folder, redis_url)
        self.journal = Journal(self.receipts)
        self.journal_reapply = JournalReapply(
            ledger, self.receipts, CATALOGUE, lease_s, frozenset({"scratch"}), Limits()
        )
        self._was: dict[bytes, bytes] = {}

    def remember(self) -> None:
        with Redis.from_url(self.url, protocol=2) as client:
            self._was = {key: client.dump(key) for key in client.scan_iter()}  # type: ignore[misc]

    def steps_back(self) -> None:
        with Redis.from_url(self.url, protocol=2) as client:
            client.flushall()
            for key, value in self._was.items():
                client.restore(key, 0, value)
            client.set("conductor:settled_history", "another.one")

    def admit(self, spec: JobSpec, attempt: int = 1, **more: Any) -> None:
        view = self.ledger.jobs.job(spec.id)
        epoch = self.ledger.leadership.lead("test", 60.0)
        assert view is not None and epoch is not None
        reservation = Reservation(
            job_id=spec.id,
            attempt=attempt,
            class_id=view.class_id,
            task=spec.task,
            node="node1",
            queue="cpu-node1",
            lane="cpu",
            kind=view.job_class.kind,
            **more,
        )
        admission = Admission(reservation=reservation, backlog="night")
        assert self.ledger.handover.admit(epoch, [admission]) == (None,)

    def run(self, spec: JobSpec, attempt: int = 1, **more: Any) -> None:
        self.admit(spec, attempt, **more)
        self.ledger.attempts.start(spec.id, attempt, "w1", 60.0)

    def reapply(self) -> Reapplied:
        """By all notes that there are."""
        return self.journal_reapply.reapply(0.0)

    def conductor(self) -> Conductor:
        timing = Timing(tick_s=0.05, leader_ttl_s=2.0, lease_s=LEASE_S)
        return Conductor(
            self.ledger,
            memory_rates(self.ledger.calls, {}),
            Limits(),
            timing,
            "one",
            reconciler=Reconciler(self.ledger, self.receipts),
            reapply=self.journal_reapply,
        )


@pytest.fixture
def place(ledger: Ledger, tmp_path: Path, redis_url: str) -> Forgetful:
    return Forgetful(ledger, tmp_path, redis_url)


def test_the_leader_puts_again_what_was_dispatched_in_what_was_forgotten(
    ledger: Ledger, tmp_path: Path, redis_url: str
) -> None:
    place = Forgetful(ledger, tmp_path, redis_url, lease_s=60.0)  # Not over before it is asked for.
    early, late = a_spec(0), a_spec(1)
    place.dispatch(early)
    conductor = place.conductor()
    conductor.tick()
    place.remember()
    place.dispatch(late, name="late.jsonl")
    place.ledger.control.set_paused("cpu", True)
    place.journal.place("paused", "cpu")
    place.steps_back()
    assert place.states(early, late) == ["waiting", None]

    conductor.tick()

    assert place.states(early, late) == ["waiting", "waiting"]
    assert place.ledger.control.controls().paused_lanes == ("cpu",)
    assert place.ledger.leadership.is_settled or place.ledger.identity.pulse().unsettled is None
    assert place.ledger.identity.pulse().rebuilt_s > 0, "what runs of it is claimed before it is handed out"


def test_what_was_said_before_the_leader_was_heard_is_not_gone_through(place: Forgetful) -> None:
    place.dispatch(a_spec(0))
    assert place.journal_reapply.reapply(time.time() + 60) == Reapplied()


def test_a_line_that_was_edited_is_taken_again_and_the_dead_rise(place: Forgetful) -> None:
    waiting, dead = a_spec(0), a_spec(1)
    place.dispatch(waiting, dead)
    place.ledger.commands.fail(dead.id, "bad_input", "no")
    place.remember()
    edited = [_with_more(spec) for spec in (waiting, dead)]
    place.dispatch(*edited)
    place.steps_back()
    assert place.states(waiting, dead) == ["waiting", "dead"]

    assert place.reapply() == Reapplied()

    assert place.states(waiting, dead) == ["waiting", "waiting"]
    for spec in edited:
        view = place.ledger.jobs.job(spec.id)
        assert view is not None and view.job_class.priority == 7


def _with_more(spec: JobSpec) -> JobSpec:
    return replace(spec, priority=7)


def test_the_operators_last_word_on_each_job_holds(place: Forgetful) -> None:
    stopped, failed, again, back = (a_spec(n) for n in range(4))
    place.dispatch(stopped, failed, again, back)
    place.ledger.commands.cancel(again.id)
    place.journal.operator("cancelled", {again.id: 0})
    place.remember()
    commands, said = place.ledger.commands, place.journal.operator
    commands.cancel(stopped.id), said("cancelled", {stopped.id: 0})
    commands.fail(failed.id, "stalled", FAILED_BY_OPERATOR), said("cancelled", {failed.id: 0}, "stalled")
    commands.retry(again.id), said("retried", {again.id: 0})
    commands.cancel(back.id), said("cancelled", {back.id: 0})
    commands.retry(back.id), said("retried", {back.id: 0})
    after = place.states(stopped, failed, again, back)
    assert after == ["cancelled", "dead", "waiting", "waiting"]
    assert place.reapply() == Reapplied(), "where nothing was forgotten nothing is said"
    assert place.states(stopped, failed, again, back) == after
    place.steps_back()
    assert place.states(stopped, failed, again, back) == ["waiting", "waiting", "cancelled", "waiting"]

    assert place.reapply() == Reapplied(jobs=3)

    assert place.states(stopped, failed, again, back) == after
    view = place.ledger.jobs.job(failed.id)
    assert view is not None and (view.cause, view.message) == ("stalled", FAILED_BY_OPERATOR)
    assert place.reapply() == Reapplied()


def test_a_job_that_was_to_be_taken_from_its_worker_is_and_one_in_its_back_off_goes_at_once(
    place: Forgetful,
) -> None:
    taken, handed, delayed, later = (a_spec(n) for n in range(4))
    place.dispatch(taken, handed, delayed, later)
    commands, said = place.ledger.commands, place.journal.requeued
    for spec in (taken, delayed, later):
        place.run(spec)
    place.admit(handed)
    for spec in (delayed, later):
        place.ledger.attempts.fail(
            place.receipt(spec, "failed", cause="server_error", message="no"), Retry(delay_s=60.0)
        )
    place.remember()
    for spec, was in ((taken, "running"), (handed, "admitted"), (delayed, "waiting"), (later, "waiting")):
        assert commands.requeue(spec.id) == was
        said({spec.id: 1}, was)
    # It was cancelled after that: then nothing is put back.
    commands.cancel(later.id), place.journal.operator("cancelled", {later.id: 1})
    place.steps_back()
    assert commands.asked() == {} and place.states(handed) == ["admitted"]

    assert place.reapply() == Reapplied(jobs=1) and place.states(later) == ["cancelled"]
    assert place.journal_reapply.put_back(0.0) == Reapplied(jobs=3)

    assert commands.asked() == {taken.id: "requeue"}
    assert place.states(taken, handed, delayed, later) == ["running", "waiting", "waiting", "cancelled"]
    view = place.ledger.jobs.job(delayed.id)
    assert view is not None and view.not_before is None
    assert place.journal_reapply.put_back(0.0) == Reapplied(), "twice is once"


def test_a_word_on_an_attempt_that_is_over_is_left_alone(place: Forgetful) -> None:
    spec = a_spec(0)
    place.dispatch(spec)
    place.run(spec)
    place.journal.requeued({spec.id: 1}, "running")
    place.ledger.orphans.give_back(spec.id, 1)
    place.ledger.orphans.rescue(spec.id, 1, "gone", Retry())
    place.run(spec, 2)
    assert place.journal_reapply.put_back(0.0) == Reapplied()


def test_a_kind_that_was_to_be_tried_at_once_is_and_not_where_it_was_tried_since(place: Forgetful) -> None:
    specs = [a_spec(n) for n in range(2)]
    place.dispatch(*specs)
    place.run(specs[0], breaker=1)
    place.ledger.attempts.fail(place.receipt(specs[0], "failed", cause="task_error", message="no"), Dead())
    kinds = place.ledger.kinds
    (closed,) = kinds.states()[0]
    assert closed.opened_at is not None
    place.remember()
    assert kinds.resume(closed.kind) == 1
    place.journal.tried(closed.kind, place.ledger.bell.now())
    assert place.reapply() == Reapplied(), "it is known"
    place.steps_back()

    assert place.reapply() == Reapplied(kinds=1)

    assert kinds.states()[0][0].last_at == 0
    assert place.reapply() == Reapplied()


def test_a_device_that_was_to_be_used_although_it_keeps_memory_is(place: Forgetful) -> None:
    place.dispatch(a_spec(0))
    control = place.ledger.control
    place.remember()
    word = control.set_device_paused("node1/gpu0", False)
    place.journal.place("resumed", "node1/gpu0", word)
    assert place.reapply() == Reapplied()
    place.steps_back()
    assert control.resumed() == {}

    assert place.reapply() == Reapplied(places=1)

    assert control.resumed() == {"node1/gpu0": word}, (
        "the very word: a quarantine that came after it is not lifted"
    )
    assert place.reapply() == Reapplied()


def test_a_job_that_died_after_it_was_sent_back_stays_dead(place: Forgetful) -> None:
    spec = a_spec(0)
    place.dispatch(spec)
    place.journal.operator("retried", {spec.id: 0})
    place.flush()
    place.receipt(spec, "failed", cause="bad_input", message="no")
    place.rebuild()
    assert place.states(spec) == ["dead"]

    assert place.reapply() == Reapplied()

    assert place.states(spec) == ["dead"]


def test_last_words_on_places_hold(place: Forgetful) -> None:
    place.dispatch(a_spec(0))
    control, said = place.ledger.control, place.journal.place
    control.set_paused("gpu", True), said("paused", "gpu")
    control.set_draining(True, "node2"), said("draining", "node2")
    place.remember()
    control.set_paused("gpu", False), said("resumed", "gpu")
    control.set_draining(False, "node2"), said("fed", "node2")
    control.set_device_paused("node1/gpu0", True), said("paused", "node1/gpu0")
    control.set_backlog_paused("night", True), said("paused", "backlog:night")
    control.set_draining(True, None), said("draining", "")
    after = control.controls()
    place.steps_back()
    assert control.controls() != after

    assert place.reapply() == Reapplied(places=5)

    assert control.controls() == after
    assert place.reapply() == Reapplied()


def test_what_was_to_be_made_again_is(place: Forgetful) -> None:
    spec, other = a_spec(0), a_spec(1)
    place.dispatch(spec, other)
    for one in (spec, other):
        receipt = place.receipt(one, ended_at=time.time())
        place.ledger.attempts.accept(receipt)
    place.remember()
    place.receipt(spec, "superseded", ended_at=time.time())
    assert place.ledger.commands.redo(spec.id, 1)
    assert place.states(spec, other) == ["waiting", "done"]
    place.steps_back()
    assert place.states(spec, other) == ["done", "done"]

    assert place.reapply() == Reapplied(jobs=1)

    assert place.states(spec, other) == ["waiting", "done"]


def test_needs_that_were_forgotten_are(place: Forgetful) -> None:
    spec = a_spec(0, needs=Needs(vram_mib=20_000))
    place.dispatch(spec)
    view = _view(place, spec)
    assert place.ledger.commands.reclass(spec.id, placed(view.job_class, Needs(vram_mib=24_000)))
    place.remember()
    forget(place.ledger, place.receipts, [_view(place, spec)])
    assert _view(place, spec).job_class.needs.vram_mib == 20_000
    place.steps_back()
    assert _view(place, spec).job_class.needs.vram_mib == 24_000

    assert place.reapply() == Reapplied(jobs=1)

    assert _view(place, spec).job_class.needs.vram_mib == 20_000


def _view(place: RebuildScene, spec: JobSpec) -> JobView:
    view = place.ledger.jobs.job(spec.id)
    assert view is not None
    return view


def test_a_call_that_went_on_where_another_was_cut_off_is_noted(place: Forgetful) -> None:
    first, second = a_spec(0), a_spec(1)
    put = place.ledger.intake.put
    place.ledger.intake.put = lambda backlog, entries: put(
        backlog, [e for e in entries if e.job_id == first.id]
    )  # type: ignore[method-assign]
    place.dispatch(first, second)
    place.ledger.intake.put = put  # type: ignore[method-assign]
    assert place.states(first, second) == ["waiting", None]
    since = time.time()
    place.remember()
    place.dispatch(first, second)
    assert place.states(first, second) == ["waiting", "waiting"]
    place.steps_back()

    assert place.journal_reapply.reapply(since) == Reapplied(new=1)

    assert place.states(first, second) == ["waiting", "waiting"]


def test_a_dispatch_that_is_known_to_be_whole_is_not_gone_through_again(place: Forgetful) -> None:
    spec = a_spec(0)
    place.dispatch(spec)
    with Redis.from_url(place.url, protocol=2) as client:
        client.hdel("conductor:state", spec.id)
        assert place.reapply() == Reapplied()
        client.delete("conductor:complete_dispatches")
    assert place.reapply() == Reapplied(new=1)


def test_a_dispatch_during_which_redis_steps_back_says_so(
    place: Forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place.ledger.identity, "history", lambda: "that.before")
        with pytest.raises(Unreachable, match="dispatch it again"):
            place.dispatch(a_spec(0))
    assert place.ledger.intake.completed() == {}
    assert place.dispatch(a_spec(0)).is_file(), "and then it goes"
    assert len(place.ledger.intake.completed()) == 1
