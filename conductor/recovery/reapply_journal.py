"""What was said to Redis in the seconds that it forgot is said once more: dispatches, and the operator's
words.

Each of them is in the journal, which is synced, or in the receipts (`redo`). Nobody knows how much was
forgotten. So all notes are gone through since a leader was heard last; whatever the ledger knows already is
left as it is. Through the same doors as the first time: `rebuild` for what was dispatched, the ledger's own
steps for the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from loguru import logger
from msgspec import Struct

from conductor.base.logs.events import emit_event
from conductor.base.redis_keys import BACKLOG
from conductor.base.text import many
from conductor.dispatch.rerun_writers import send_back
from conductor.model.ledger_entries import FAILED_BY_OPERATOR, JobView
from conductor.model.limits import Limits
from conductor.model.spec import LANES, Lane, TaskDecl
from conductor.ports import Ledger
from conductor.record import manifest as manifests
from conductor.record.dispatched_manifests import content_of, ledger_match
from conductor.record.journal import Journal
from conductor.record.journal_notes import PUT, Note
from conductor.recovery.forget_needs import as_lines_ask
from conductor.recovery.priorities import last_priorities
from conductor.recovery.rebuild import rebuild
from conductor.recovery.reconcile import lately
from conductor.recovery.redo import dependants, record_of

PAUSES, DRAINS = ("paused", "resumed"), ("draining", "fed")


class Reapplied(Struct, frozen=True, kw_only=True):
    """What the ledger had forgotten."""

    #: Jobs that were put again.
    new: int = 0
    #: Jobs that were cancelled, failed, sent back or made again once more.
    jobs: int = 0
    #: Lanes, devices and nodes whose pause or drain was said again, or taken back; devices out of quarantine.
    places: int = 0
    #: Kinds that are to be tried at once.
    kinds: int = 0


class JournalReapply:
    """The leader's, while the ledger is not settled. Twice is once."""

    def __init__(
        self,
        ledger: Ledger,
        receipts_dir: Path,
        catalogue: Mapping[str, TaskDecl],
        lease_s: float,
        ephemeral_roots: Set[str],
        limits: Limits,
    ) -> None:
        """`lease_s`: so long workers claim what they run of jobs that were put again. `ephemeral_roots`:
        roots, as `rebuild`.
        """
        self._ledger = ledger
        self._folder = receipts_dir
        self._catalogue = catalogue
        self._lease_s = lease_s
        self._ephemeral_roots = ephemeral_roots
        self._limits = limits

    def reapply(self, since: float) -> Reapplied:
        """All that was said since then (epoch seconds by the clocks of the hosts that wrote it).

        Raises `Unreachable`, `OSError`, `ConductorError`: then it is simply called again."""
        notes = Journal(self._folder).notes_since(since)
        new = self._put(notes)
        places = sum(self._say_place(word) for word in last_words(notes))
        kinds = sum(self._try_kind(note) for note in notes if note.what == "tried")
        jobs = self._say_jobs(notes) + self._redo(since) + self._prioritise(notes)
        told = Reapplied(new=new, places=places, jobs=jobs, kinds=kinds)
        log_reapplied(told)
        return told

    def put_back(self, since: float) -> Reapplied:
        """What was to be taken from its worker, once all workers have said what they hold: only then the
        ledger has again what it was to be taken from."""
        last: dict[str, Note] = {}
        for note in Journal(self._folder).notes_since(since):
            if note.what in ("cancelled", "retried", "requeued"):
                last.update(dict.fromkeys(note.ids, note))
        asked = self._ledger.commands.asked()
        said = [
            (job_id, note) for job_id, note in last.items() if note.what == "requeued" and job_id not in asked
        ]
        told = Reapplied(jobs=sum(self._put_back(job_id, note) for job_id, note in said))
        log_reapplied(told)
        return told

    def _put_back(self, job_id: str, note: Note) -> bool:
        """Was it forgotten. Of a job that has had another attempt since, the word has been heard."""
        attempts = note.ids[job_id]
        view = self._ledger.jobs.job(job_id)
        if view is None or view.attempts != attempts:
            return False
        if note.words == "waiting":
            is_as_it_was = view.state == "waiting" and view.not_before is not None
        else:
            is_as_it_was = view.state in ("admitted", "running")
        return is_as_it_was and self._ledger.commands.requeue(job_id) is not None

    # ── dispatches ────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, notes: Sequence[Note]) -> int:
        # What went to another ledger is no matter of this one: `conductor rebuild` brings that back.
        mark = self._ledger.identity.generation()
        ours = (note for note in notes if note.what in PUT and note.generation == mark)
        known = self._ledger.intake.completed()
        sources = [
            source
            for source in ledger_match(ours, self._folder, mark).sources
            if known.get(content_of(source.sha256, source.backlog), 0) < source.order
        ]
        if not sources:
            return 0
        rebuilt = rebuild(
            self._ledger,
            self._folder,
            self._catalogue,
            sources,
            self._lease_s,
            ephemeral_roots=self._ephemeral_roots,
            limits=self._limits,
            is_lenient=True,
            is_behind=True,
        )
        for warning in rebuilt.warnings:
            logger.warning("{}", warning)
        return sum(one.new for one in rebuilt.manifests)

    # ── words on places ───────────────────────────────────────────────────────────────────────────────────

    def _say_place(self, word: Note) -> bool:
        """Was it forgotten."""
        place = word.place
        controls, control = self._ledger.control.controls(), self._ledger.control
        is_on = word.what in ("paused", "draining")
        if word.what in DRAINS:
            was_on = place in controls.draining_nodes if place else controls.is_draining
            if was_on != is_on:
                control.set_draining(is_on, place or None)
            return was_on != is_on
        if place.startswith(BACKLOG):
            backlog = place.removeprefix(BACKLOG)
            was_on = backlog in controls.paused_backlogs
            if was_on != is_on:
                control.set_backlog_paused(backlog, is_on)
            return was_on != is_on
        is_forgotten = bool(word.word) and control.say_resumed(place, word.word)
        lane: Lane | None = next((known for known in LANES if known == place), None)
        was_on = place in (controls.paused_lanes if lane else controls.paused_devices)
        if was_on == is_on:
            return is_forgotten
        if lane:
            control.set_paused(lane, is_on)
        else:
            control.set_device_paused(place, is_on)
        return True

    def _try_kind(self, note: Note) -> bool:
        """Was it forgotten: it is closed, and what failed last of it had failed by then."""
        closed = [s for s in self._ledger.kinds.states()[0] if s.opened_at is not None]
        meant = [s for s in closed if s.kind == note.kind or s.kind.startswith(f"{note.kind}:")]
        return any(0 < s.last_at < note.at for s in meant) and self._ledger.kinds.resume(note.kind) > 0

    def _prioritise(self, notes: Sequence[Note]) -> int:
        """Again where it was told already: that changes nothing."""
        said = last_priorities(notes)
        for job_id, (_, priority) in said.items():
            self._ledger.priorities.prioritise(job_id, priority)
        return len(said)

    # ── words on jobs ─────────────────────────────────────────────────────────────────────────────────────

    def _say_jobs(self, notes: Iterable[Note]) -> int:
        said: dict[str, Note] = {}
        for note in notes:
            if note.what in ("cancelled", "retried", "forgot"):
                said.update(dict.fromkeys(note.ids, note))
        asked = self._ledger.commands.asked()
        views = (
            (self._ledger.jobs.job(job_id), note) for job_id, note in said.items() if job_id not in asked
        )
        return sum(self._say_job(view, note) for view, note in views if view is not None)

    def _say_job(self, view: JobView, note: Note) -> bool:
        """Was it forgotten. A job that has had more attempts since then ended after the word."""
        commands, job_id = self._ledger.commands, view.job_id
        is_since = view.attempts > note.ids[job_id]
        if note.what == "cancelled":
            # Its last word: only `retry` takes it back, and that is a note too.
            if view.state in ("done", "cancelled") or (note.cause and view.state == "dead"):
                return False
            if note.cause:
                commands.fail(job_id, note.cause, FAILED_BY_OPERATOR)
            else:
                commands.cancel(job_id)
            return True
        if is_since:
            return False
        if note.what == "forgot":
            asks = as_lines_ask(self._ledger, view)
            return asks is not None and bool(asks.changes)
        if view.state == "review":
            # First, or what comes back is set aside again at once.
            self._ledger.kinds.resume(view.job_class.kind)
        return commands.retry(job_id)

    # ── what is made again ────────────────────────────────────────────────────────────────────────────────

    def _redo(self, since: float) -> int:
        """Jobs that the ledger has as done by a receipt that was taken back."""
        bodies: dict[str, set[str]] = {}
        for receipt in lately(self._folder, since):
            if receipt.outcome == "superseded":
                bodies.setdefault(receipt.job_id, set()).add(receipt.body)
        wanted = [job_id for job_id, gone in bodies.items() if self._is_done_by(job_id, gone)]
        if not wanted:
            return 0
        specs = {spec.id: spec for spec in self._specs()}
        after = dependants(specs.values(), wanted)
        count = 0
        for job_id in wanted:
            record, spec = record_of(self._folder, job_id), specs.get(job_id)
            if record.accepted is not None:
                continue
            before = (spec.after, spec.after_ended) if spec else ((), ())
            own = tuple(o for o in before[0] if o in after), tuple(o for o in before[1] if o in after)
            count += send_back(self._ledger, job_id, record, after[job_id], own)
        return count

    def _is_done_by(self, job_id: str, bodies: Set[str]) -> bool:
        view = self._ledger.jobs.job(job_id)
        return view is not None and view.state == "done" and view.accepted in bodies

    def _specs(self) -> Iterator[manifests.JobSpec]:
        """By all that was dispatched from here, the line that holds last."""
        sources = Journal(self._folder).ledger_match(None).sources
        for source in sorted(sources, key=lambda source: source.order):
            if source.file.is_file():
                yield from manifests.read(source.file)


def log_reapplied(told: Reapplied) -> None:
    if told == Reapplied():
        return
    words = (
        "Redis had forgotten what was said to it, and was told again: {} dispatched, the operator's word "
        "on {}, on {} "
        "and on {}"
    )
    emit_event("redis.told_again", words, many(told.new, "job"), many(told.jobs, "job"),
               many(told.places, "place"), many(told.kinds, "kind"), dispatched=told.new, jobs=told.jobs,
               places=told.places, kinds=told.kinds)  # fmt: skip


def last_words(notes: Iterable[Note]) -> tuple[Note, ...]:
    """The last one on each place."""
    words = {(note.what in DRAINS, note.place): note for note in notes if note.what in (*PAUSES, *DRAINS)}
    return tuple(words.values())
