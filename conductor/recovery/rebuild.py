"""Redis is disposable: manifests and receipts give back the same done, dead and waiting jobs. Idempotent.

Safe beside a live conductor and live workers: it only puts what is not known, and accepts what is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from msgspec.structs import replace

from conductor.adapters.files.receipt_log import accepted, read_receipts
from conductor.base.errors import ConductorError, ManifestError
from conductor.base.redis_keys import BACKLOG
from conductor.core.failures.history import (
    GENERATION_STEP,
    HistoryVerdict,
    lessons,
    next_generation_number,
    verdict,
)
from conductor.core.needs.learned_amounts import Largest, largest
from conductor.dispatch.dispatch import DEFAULT_FILES, batches
from conductor.dispatch.file_chains import FileWork
from conductor.dispatch.file_homes import FileHomes, homes_of
from conductor.dispatch.rerun_writers import Remade, remake, unsaid
from conductor.model.job_class import Classifier
from conductor.model.ledger_entries import Entry, JobState
from conductor.model.limits import Limits
from conductor.model.receipt import Receipt
from conductor.model.snapshot import JobClass
from conductor.model.spec import LANES, JobSpec, TaskDecl, Value, resolve
from conductor.ports import Ledger
from conductor.record.dispatched_manifests import Source
from conductor.record.journal import Journal, new_mark, places
from conductor.record.journal_notes import Note
from conductor.record.manifest import ManifestSummary, check, inherited_priorities, lifted, numbered
from conductor.record.open_reviews import OpenReviews
from conductor.recovery.priorities import prioritise_again
from conductor.recovery.rebuild_warnings import lost_files, warnings
from conductor.recovery.recorded_past import RecordedPast, past_of
from conductor.recovery.repeated_dispatch import Overlaps

UNDONE: tuple[JobState, ...] = ("waiting", "admitted", "running", "dead", "review", "cancelled")

OnProgress = Callable[[int, int], None]


class Restored(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One manifest. Of those that were `new` to the ledger so many were done, dead or cancelled already."""

    manifest: str
    backlog: str
    #: Without those whose line another one of them has, dispatched later.
    jobs: int
    new: int
    #: Of what was dispatched; empty where the manifest was named by hand.
    sha256: str = ""
    done: int = 0
    dead: int = 0
    cancelled: int = 0
    #: The rest, jobs that died for another's sake among them.
    waiting: int = 0
    #: They wait for a person's verdict.
    review: int = 0


class Rebuilt(Value, frozen=True, kw_only=True, omit_defaults=False):
    manifests: tuple[Restored, ...]
    #: Jobs the ledger had as not done, and whose receipt proves that they are.
    accepted: int
    #: The ledger had been emptied (or is another one); nothing is admitted for `settles_s`, in which workers
    #: claim what they still run.
    was_lost: bool
    settles_s: float = 0.0
    warnings: tuple[str, ...] = ()


def read_of_others(works: Sequence[FileWork], overlaps: Overlaps, past: RecordedPast) -> dict[str, list[str]]:
    """Path of a file that a job of another source made → the jobs that are still to read it."""
    read: dict[str, list[str]] = {}
    for at, work in enumerate(works):
        others = overlaps.elsewhere(at, work.jobs)
        for path, ids in work.read_of_others(past.accepted, past.highest, others).items():
            read.setdefault(path, []).extend(ids)
    return read


def note_rebuilt(
    journal: Journal, sources: Sequence[Source], summaries: Sequence[ManifestSummary], mark: str
) -> None:
    for source, summary in zip(sources, summaries, strict=True):
        if source.sha256:
            journal.rebuilt(source, summary.jobs, mark)
        if source.kept is None:
            # Named by hand, or not as it was: from now on this is what was dispatched.
            journal.dispatched(source.manifest, source.backlog, summary.jobs, mark)


def rebuild(
    ledger: Ledger,
    receipts_dir: Path,
    catalogue: Mapping[str, TaskDecl],
    sources: Sequence[Source],
    lease_s: float,
    on_progress: OnProgress | None = None,
    *,
    ephemeral_roots: Set[str] = DEFAULT_FILES.ephemeral_roots,
    limits: Limits | None = None,
    is_lenient: bool = False,
    is_behind: bool = False,
) -> Rebuilt:
    """Put back what is missing of `sources`. Raises `ManifestError` before anything is put (`is_lenient`:
    what can no more be dispatched is left out, and said), `Unreachable`.

    `is_behind`: the ledger stepped back, and hands nothing out yet. It may have forgotten the end of these
    dispatches: jobs that it knows take their lines once more.

    Broken off in the middle, it is simply called again: until its end the ledger counts as lost, and nothing
    runs.
    """
    journal = Journal(receipts_dir)
    before = ledger.identity.generation()
    ledger_match = journal.ledger_match(before)
    is_lost = before is None or ledger_match.is_lost
    sources, summaries, left_out = checked(sources, catalogue, is_lenient)
    overlaps = Overlaps(sources, [summary.ids for summary in summaries])
    wanted = {job_id for summary in summaries for job_id in summary.ids}
    outside = {other for summary in summaries for other in summary.outside} - wanted
    # The order matters. The mark: until the journal names it, every conductor knows this ledger for a lost
    # one and holds. The pause comes before the first job, for conductors that do not see the journal.
    mark = ledger.identity.generation(new_mark()) or ""
    # In a ledger that knows all of it nothing is new, and nothing has to be waited for.
    settles_s = lease_s if is_lost or ledger_match.missing else 0.0
    if settles_s:
        ledger.identity.settle(settles_s)
    if is_lost:
        say_again(ledger, journal.notes())
    past = past_of(receipts_dir, wanted | outside, journal.notes())
    works = [FileWork(summary, catalogue, ephemeral_roots, receipts_dir) for summary in summaries]
    # A dispatch that was cut off may not have sent back all who made what is gone and is still to be read.
    read = read_of_others(works, overlaps, past)
    in_turn = sorted(sources, key=lambda source: source.order)
    remade = remake(ledger, receipts_dir, ephemeral_roots, read, (source.file for source in in_turn), wanted)
    if remade.ids:
        past = past_of(receipts_dir, wanted | outside, journal.notes())
    homes = homes_of(ledger, receipts_dir, read)
    most = largest(ledger.reports.live(), limits or Limits())
    total, seen = len(wanted), 0
    restored: list[Restored] = []
    for at, (source, work) in enumerate(zip(sources, works, strict=True)):
        put = Putter(
            ledger,
            source,
            catalogue,
            past,
            GENERATION_STEP * max(0, ledger_match.lives - 1),
            work,
            remade,
            homes,
            most,
        )
        put.passes_over = overlaps.elsewhere(at, summaries[at].ids)
        put.is_revising = is_behind
        for batch in batches(put.entries()):
            put.add(batch)
            seen += len(batch)
            if on_progress:
                on_progress(min(seen, total), total)
        restored.append(put.restored())
        # As a dispatch does: what they failed of before their lines were corrected is settled.
        journal.operator("retried", put.risen)
    if is_behind and any(one.new for one in restored):
        # Bodies of what was forgotten may still run.
        settles_s = lease_s
    prioritise_again(ledger, journal.notes(), sources, wanted)
    proved = accept_proved(ledger, receipts_dir, wanted, past.highest)
    if settles_s:
        ledger.identity.settle(settles_s)
    if ledger.identity.generation() != mark:
        raise ConductorError("Redis was emptied again while it was rebuilt: call `conductor rebuild` again")
    note_rebuilt(journal, sources, summaries, mark)
    ledger.bell.ring()
    return Rebuilt(
        manifests=tuple(restored),
        accepted=proved,
        was_lost=is_lost,
        settles_s=settles_s,
        warnings=(*left_out, *lost_files(remade), *warnings(ledger, sources, outside - past.accepted.keys())),
    )


def checked(
    sources: Sequence[Source], catalogue: Mapping[str, TaskDecl], is_lenient: bool
) -> tuple[list[Source], list[ManifestSummary], list[str]]:
    """Those that are sound, what they hold, and words on those that were left out."""
    found: list[Source] = []
    summaries: list[ManifestSummary] = []
    left_out: list[str] = []
    for source in sources:
        try:
            summaries.append(check(source.file, catalogue))
            found.append(source)
        except ManifestError as e:
            if not is_lenient:
                raise
            left_out.append(f"{source.manifest} cannot be dispatched any more, and was left out: {e}")
    return found, summaries, left_out


def say_again(ledger: Ledger, notes: Sequence[Note]) -> None:
    """The operator's pauses and drains, into a ledger that was emptied."""
    paused, draining = places(notes)
    for lane in LANES:
        if lane in paused:
            ledger.control.set_paused(lane, True)
    for place in sorted(paused - {*LANES}):
        if place.startswith(BACKLOG):
            ledger.control.set_backlog_paused(place.removeprefix(BACKLOG), True)
        else:
            ledger.control.set_device_paused(place, True)
    for node in sorted(draining):
        ledger.control.set_draining(True, node or None)


class Putter:
    """One manifest on its way back."""

    def __init__(
        self,
        ledger: Ledger,
        source: Source,
        catalogue: Mapping[str, TaskDecl],
        past: RecordedPast,
        above: int,
        work: FileWork,
        remade: Remade,
        homes: FileHomes,
        most: Largest,
    ) -> None:
        """`above`: all that was handed out in earlier lives of the ledger, but the last, lies below."""
        self._ledger = ledger
        self._source = source
        self._catalogue = catalogue
        self._past = past
        self._above = above
        self._work = work
        self._behind, self._homes = remade.behind, homes
        self._classify = Classifier(catalogue, source.backlog)
        self._most = most
        #: Jobs of it whose line another one has.
        self.passes_over: Set[str] = frozenset()
        self.is_revising = False
        #: Dead or in review, and sent back because their line is another now → attempts.
        self.risen: dict[str, int] = {}
        self._jobs = 0
        self._new: dict[str, int] = {"done": 0, "dead": 0, "cancelled": 0, "review": 0, "waiting": 0}

    def entries(self) -> Iterator[Entry]:
        proofs = self._past.accepted
        inherited = inherited_priorities(self._source.file)
        for _, line, spec in numbered(self._source.file):
            if spec.id in self.passes_over:
                continue
            proof = proofs.get(spec.id)
            job_class = self._classify(self._homes.classed(lifted(spec, inherited)))
            shown = None if proof else self._past.shown.get(spec.id)
            receipt = proof or shown
            judged, job_class = (HistoryVerdict(), job_class) if receipt else self._judged(spec, job_class)
            yield Entry(
                job_id=spec.id,
                line=line,
                job_class=job_class,
                # What a receipt proves is not waited for: its line may be in no backlog.
                after=tuple(
                    other
                    for other in spec.after + unsaid(spec, self._behind.get(spec.id, ()))
                    if other not in proofs
                ),
                after_ended=tuple(other for other in spec.after_ended if other not in proofs),
                is_done=proof is not None,
                attempts=receipt.attempt if receipt else self._number(spec.id),
                token=receipt.token if receipt else "",
                shown=shown.review if shown else None,
                verdicts=shown.verdicts if shown else (),
                over=judged.over,
                failures=judged.failures,
                cause=judged.cause,
                message=judged.message,
                not_before=judged.not_before,
                files=self._work.of(spec.id, proofs),
                own_priority=spec.priority if spec.id in inherited else None,
            )

    def _judged(self, spec: JobSpec, job_class: JobClass) -> tuple[HistoryVerdict, JobClass]:
        past = self._past
        failed, cancelled = past.failed.get(spec.id, ()), past.cancelled.get(spec.id)
        if not failed and cancelled is None:
            return HistoryVerdict(), job_class
        _, hopeless = lessons(job_class, failed, self._most)
        untaught = past.forgotten.get(spec.id, 0)
        job_class, _ = lessons(
            job_class, (failure for failure in failed if failure.attempt > untaught), self._most
        )
        budgets = resolve(spec, self._catalogue[spec.task]).retry
        return verdict(failed, budgets, past.forgiven.get(spec.id, 0), cancelled, hopeless), job_class

    def _number(self, job_id: str) -> int:
        return next_generation_number(max(self._past.highest.get(job_id, 0), self._above))

    def add(self, batch: list[Entry]) -> None:
        self._jobs += len(batch)
        # One call per kind, so that each says how many of it were new.
        for kind in self._new:
            entries = [entry for entry in batch if kind_of(entry) == kind]
            if entries:
                self._new[kind] += self._ledger.intake.put(self._source.backlog, entries).new
        if self.is_revising:
            going = [entry for entry in batch if not entry.is_done and entry.shown is None]
            revised = self._ledger.intake.revise(self._source.backlog, going, is_moving=self._source.is_move)
            self.risen.update(revised.risen)

    def restored(self) -> Restored:
        return Restored(
            manifest=str(self._source.manifest),
            backlog=self._source.backlog,
            sha256=self._source.sha256,
            jobs=self._jobs,
            new=sum(self._new.values()),
            done=self._new["done"],
            dead=self._new["dead"],
            cancelled=self._new["cancelled"],
            waiting=self._new["waiting"],
            review=self._new["review"],
        )


def kind_of(entry: Entry) -> str:
    """As what it goes in."""
    return "done" if entry.is_done else "review" if entry.shown is not None else entry.over or "waiting"


def accept_proved(ledger: Ledger, receipts_dir: Path, wanted: set[str], known: Mapping[str, int]) -> int:
    """Receipts that came while the jobs went in (their workers were told «gone»), and what an older ledger
    missed. `known`: job → the highest attempt that was known of when they went in.
    """
    reviews = OpenReviews()

    def theirs() -> Iterator[Receipt]:
        for receipt in read_receipts(receipts_dir):
            if receipt.job_id in wanted:
                reviews.add(receipt)
                yield receipt

    proofs = accepted(theirs())
    for job_id, receipt in reviews.found(known).items():
        ledger.attempts.accept(replace(receipt, verdicts=()))
        ledger.reviews.judge(job_id, receipt.body, receipt.verdicts)
    undone = {job_id for state in UNDONE for job_id in ledger.jobs.ids(state) if job_id in proofs}
    return sum(ledger.attempts.accept(proofs[job_id]) == "accepted" for job_id in sorted(undone))
