"""What becomes of an attempt once its body has ended: publish, receipt, accept or fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from conductor.adapters.files import suspect_roots
from conductor.base.errors import JobError, Unreachable
from conductor.base.files import paths
from conductor.base.logs.events import emit_event
from conductor.base.text import duration
from conductor.core.failures.retry import after_failure
from conductor.core.needs.escalation import Raised, as_reserved, raised
from conductor.core.needs.learned_amounts import RAN_OUT_OF, largest
from conductor.core.needs.running_usage import held_by_kind
from conductor.model.calls import Call
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.receipt import Receipt, Usage
from conductor.model.review import ReviewAsked
from conductor.model.subject import SHORT_ID, subject_of, subject_of_line
from workers.attempt import device_check, outputs, publish, saved_outputs
from workers.attempt.api_calls import ApiCalls
from workers.attempt.attempt import Attempt, AttemptRefused, Scribe, Unknown
from workers.attempt.end_events import tell_ended
from workers.attempt.saved_outputs import SavedResult
from workers.isolation import output_check
from workers.isolation.protocol import BodyEnded
from workers.isolation.usage import larger, with_calls
from workers.task_api import failure_causes
from workers.task_api.failure_causes import AttemptFault
from workers.task_api.review import by_eye

if TYPE_CHECKING:
    from conductor.model.ledger_entries import FinishAnswer, Started
    from conductor.model.report import NodeReport
    from workers.attempt.parts import Parts

T = TypeVar("T")

#: Redis is away: asked again so often, for as long as it takes. The work in hand is worth the wait.
_AGAIN_S = 0.5
#: A task that is not known here is tried again after so long.
_UNKNOWN_S = 20.0
#: What only the place for the outputs lacked: they are kept, the next attempt does not compute them again.
#: Also what only could not say what it had done: whoever retries it by hand gets the files.
KEEPING = frozenset({"publish_failed", "no_space", "bad_result"})
#: In the result of a job whose own could not be written down: why not.
LOST = "result_lost"


class Done(NamedTuple):
    """An attempt whose outputs are in place, on the way to the ledger."""

    attempt: Attempt
    receipt: Receipt
    computed: SavedResult


class Unpublished(NamedTuple):
    """An attempt of which nothing is in place, and the ledger does not know."""

    attempt: Attempt
    #: None: it was given to another worker, and is dropped.
    fault: AttemptFault | None = None
    usage: Usage = Usage()
    calls: tuple[Call, ...] = ()
    #: It was in place, but its receipt cannot be written.
    done: Done | None = None


class Runner:
    """What becomes of attempts once their bodies have ended: published, written down, failed, dropped."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._attempts = parts.ledger.attempts
        self._scribe = Scribe(parts.node, parts.worker)
        self.api_calls = ApiCalls(parts.ledger, self.patiently)

    def refuse(self, started: Started, error: AttemptRefused) -> Receipt:
        """An attempt that this worker must not or cannot run."""
        if isinstance(error, Unknown):
            # Not its fault, and no end of it: without a receipt, or a rebuild would take it for one.
            receipt = self._scribe.refused(started, error)
            self.patiently(lambda: self._attempts.fail(receipt, Retry(delay_s=_UNKNOWN_S)))
            emit_event("attempt.unknown_task", "Given back for {seconds:g} s: {about} ({}): {error}",
                       receipt.job_id[:SHORT_ID], seconds=_UNKNOWN_S, job_id=receipt.job_id,
                       attempt=receipt.attempt, task=receipt.task,
                       about=subject_of_line(started.line, receipt.task), error=str(error))  # fmt: skip
            return receipt
        receipt = self._scribe.refused(started, error)
        return self._give_back(receipt, Dead(), subject_of_line(started.line, receipt.task))

    def conclude(self, attempt: Attempt, ended: BodyEnded | AttemptFault) -> Done | Unpublished:
        """After its body. The ledger hears of neither here: `Done` waits to be handed in, the other for
        `settle`.
        """
        if isinstance(ended, AttemptFault) and (ended.is_uncalled or ended.is_elsewhere):
            return Unpublished(attempt, ended)
        attempt.body_ended_at = time.time()
        # Before the ledger hears of its end: what it used is settled by these words, not by what it was
        # thought to use.
        calls = self.api_calls.tell(attempt, ended) if isinstance(ended, BodyEnded) else ()
        held, layout, spec, earlier = attempt.held, self._parts.settings.layout, attempt.spec, attempt.earlier
        usage = held.meter.finish(
            *(
                (ended.rss_mib, ended.cpu_s)
                if isinstance(ended, BodyEnded)
                else (self._parts.host.peak_mib, None)
            )
        )
        usage = with_calls(usage, calls)
        # Late is late, whatever became of the body: somebody else has the job, and its files are theirs to
        # publish.
        if not self._is_ours(attempt):
            return Unpublished(attempt)
        fault = self._fault_of(attempt, ended)
        if fault is None and isinstance(ended, BodyEnded):
            computed = earlier or saved_outputs.computed(
                layout, spec, attempt.body, ended.result, usage, ended.review, ended.media
            )
            done = self._published(attempt, computed, is_again=earlier is not None)
            if not isinstance(done, AttemptFault):
                usage = larger(done.usage, usage)
                shown = shown_by(attempt, done)
                return Done(attempt, self._scribe.ok(attempt, done, usage, shown), done)
            fault = done
        return Unpublished(attempt, fault, usage, calls)

    def settle(self, what: Unpublished) -> Receipt | None:
        """Its failure's receipt, which the ledger knows of; None: it is another worker's."""
        attempt, fault = what.attempt, what.fault
        if fault is None:
            return self._drop(attempt)
        if fault.is_uncalled or fault.is_elsewhere:
            return self._not_called(attempt, fault)
        # It may have failed just because the next attempt has swept our files away.
        if not self._is_ours(attempt, is_doubtful=True):
            return self._drop(attempt)
        if what.done is not None:
            saved_outputs.keep(self._parts.settings.layout, attempt.spec, what.done.computed)
            ok = what.done.receipt
            failed = msgspec.structs.replace(ok, outcome="failed", cause=fault.cause, message=fault.message)
            return self._failed(attempt, failed, fault)
        fault = self.api_calls.waiting_out(fault, what.calls)
        if fault.cause == "bad_result":
            fault = self._with_files_kept(attempt, fault, what.usage)
        return self._failed(attempt, self._scribe.failed(attempt, fault, what.usage), fault)

    def kept_back(self, attempt: Attempt) -> AttemptFault | None:
        """Why it goes back unbegun: its cards are not there, or the API that it would call is closed."""
        return device_check.fault_of(attempt.started.reservation) or self.api_calls.closed(attempt)

    def _not_called(self, attempt: Attempt, fault: AttemptFault) -> Receipt:
        """Goes back at no cost, unbegun: its place in the budget is given back too."""
        receipt = self._scribe.failed(attempt, fault, Usage())
        self.api_calls.tell_uncalled((attempt,))
        then = Retry(delay_s=fault.retry_after_s or 0.0, is_free=fault.is_elsewhere)
        self.patiently(lambda: self._attempts.fail(receipt, then))
        emit_event("attempt.given_back", "Given back: {about} ({}): {why}", receipt.job_id[:SHORT_ID],
                   job_id=receipt.job_id, attempt=receipt.attempt, task=receipt.task,
                   about=subject_of(attempt.spec), why=fault.message)  # fmt: skip
        return receipt

    def _is_ours(self, attempt: Attempt, is_doubtful: bool = False) -> bool:
        return self._parts.keeper.is_ours(attempt.held, is_doubtful) or attempt.held.verdict == "cancel"

    def _drop(self, attempt: Attempt) -> None:
        # Some of its files may have their names: then whoever has the job now ends what it began.
        if not saved_outputs.is_kept(self._parts.settings.layout, attempt.spec, attempt.body):
            publish.clean(self._parts.settings.layout, attempt.spec, (attempt.body,))
        # A successor begins before the ledger is asked; that one may have let in another meanwhile.
        why = (
            "was given to another worker"
            if attempt.behind is None
            else "began too soon: another job goes first"
        )
        words = "Dropped: {about} ({}) attempt {attempt} {why}"
        emit_event("attempt.dropped", words, attempt.job_id[:SHORT_ID],
                   job_id=attempt.job_id, attempt=attempt.number, task=attempt.spec.task,
                   about=subject_of(attempt.spec), why=why)  # fmt: skip

    def _fault_of(self, attempt: Attempt, ended: BodyEnded | AttemptFault) -> AttemptFault | None:
        if isinstance(ended, AttemptFault):
            return ended
        if ended.cause is not None:
            return AttemptFault(
                ended.cause,
                ended.message,
                ended.rate_key,
                ended.retry_after_s,
                is_lasting=ended.is_lasting,
                raised_at=ended.raised_at,
                stays_with=ended.stays_with,
            )
        return failure_causes.CANCELLED if attempt.held.verdict == "cancel" else None

    def _published(
        self, attempt: Attempt, computed: SavedResult, is_again: bool
    ) -> SavedResult | AttemptFault:
        """Whose files stand there now, or why none do. What is computed is not thrown away for want of a
        place.
        """
        layout, spec = self._parts.settings.layout, attempt.spec
        try:
            if attempt.started.reservation.role:
                output_check.check(layout, spec, computed.body, computed.result)
            return outputs.put_in_place(layout, spec, computed)
        except JobError as e:
            fault = failure_causes.of_exception(e, bool(attempt.devices))
        if fault.cause in KEEPING:
            saved_outputs.keep(layout, spec, computed)
        elif is_again:
            publish.clean(layout, spec, (computed.body,))
        return fault

    def _with_files_kept(self, attempt: Attempt, fault: AttemptFault, usage: Usage) -> AttemptFault:
        layout, spec = self._parts.settings.layout, attempt.spec
        done = saved_outputs.computed(layout, spec, attempt.body, {LOST: fault.message}, usage)
        if not done.files or not all(done.files.values()) or not saved_outputs.keep(layout, spec, done):
            return fault
        then = f"its files are kept: `conductor retry {attempt.job_id}` publishes them without it"
        return fault._replace(message=failure_causes.cut(f"{fault.message}; {then}"))

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────

    def write(self, done: Sequence[Done]) -> tuple[Unpublished, ...]:
        """On disk when this returns, but for these: their receipts cannot be written."""
        try:
            self._parts.receipts.extend(each.receipt for each in done)
        except OSError:
            faults = [(each, self._write_down(each.attempt, each.receipt)) for each in done]
            return tuple(
                Unpublished(each.attempt, fault, done=each) for each, fault in faults if fault is not None
            )
        return ()

    def handed_in(self, done: Sequence[Done], answers: Sequence[FinishAnswer | None]) -> None:
        """The ledger has their receipts; None: it could not be asked, the receipts stay."""
        for each, answer in zip(done, answers, strict=True):
            if answer == "already":
                self._note(
                    msgspec.structs.replace(each.receipt, outcome="superseded"), subject_of(each.attempt.spec)
                )
            publish.clean(
                self._parts.settings.layout, each.attempt.spec, {each.attempt.body, each.computed.body}
            )
        tell_ended(
            [
                (each.receipt, subject_of(each.attempt.spec), answer or "unsaid")
                for each, answer in zip(done, answers, strict=True)
            ]
        )

    def _write_down(self, attempt: Attempt, receipt: Receipt) -> AttemptFault | None:
        """Waits for room rather than throw the result away; whoever looks at the job sees what it waits
        for.
        """
        held, is_said = attempt.held, False
        while True:
            try:
                self._parts.receipts.append(receipt)
                return None
            except OSError as e:
                words = f"the receipt cannot be written: {e.strerror or e}"
            if not is_said:
                emit_event("receipt.waits", "{about} ({}): {error} (trying again)",
                           receipt.job_id[:SHORT_ID], job_id=receipt.job_id,
                           attempt=receipt.attempt, task=receipt.task, about=subject_of(attempt.spec),
                           error=words)  # fmt: skip
                held.note, held.is_news, is_said = words, True, True
            if self._parts.stopping.is_urgent or held.verdict is not None:
                return (
                    failure_causes.CANCELLED
                    if held.verdict == "cancel"
                    else AttemptFault("publish_failed", words)
                )
            self._parts.stopping.sleep(_AGAIN_S)

    def _failed(self, attempt: Attempt, receipt: Receipt, fault: AttemptFault) -> Receipt:
        """A failed attempt: receipt, then the ledger decides by the table where the job goes."""
        if attempt.held.verdict == "cancel" and fault.cause == "cancelled":
            fault = self._as_asked(attempt.job_id, fault)
            receipt = msgspec.structs.replace(receipt, cause=fault.cause, message=fault.message)
        if fault.cause == "publish_failed" and not fault.is_lasting:
            # Before the ledger hears of it: the next job that writes there may be handed out in the same
            # breath.
            roots = {paths.split(output.path)[0] for output in attempt.spec.writes}
            suspect_roots.tell(suspect_roots.folder_of(self._parts.settings.layout), roots)
        is_crowded = fault.cause == "cuda_oom" and attempt.held.meter.is_others_fault()
        is_free = is_crowded or fault == failure_causes.TAKEN_BACK
        receipt = msgspec.structs.replace(receipt, is_free=is_free)
        then = after_failure(
            fault.cause,
            attempt.started.failures,
            attempt.request.retry,
            fault.retry_after_s,
            self._lesson(attempt, receipt, is_crowded),
            waits=attempt.request.retry_wait,
            is_lasting=fault.is_lasting,
            is_free=is_free,
        )
        then = self.api_calls.on_another_engine(attempt, fault, then)
        if isinstance(then, Dead) and then.because:
            receipt = msgspec.structs.replace(
                receipt, message=failure_causes.cut(f"{receipt.message}; {then.because}")
            )
        self._give_back(receipt, then, subject_of(attempt.spec))
        if isinstance(then, Dead):
            saved_outputs.purge(self._parts.settings.layout, attempt.spec, is_all=fault.cause not in KEEPING)
        elif not saved_outputs.is_kept(self._parts.settings.layout, attempt.spec, attempt.body):
            publish.clean(self._parts.settings.layout, attempt.spec, (attempt.body,))
        return receipt

    def _as_asked(self, job_id: str, fault: AttemptFault) -> AttemptFault:
        """The receipt says what the operator meant: a job that is only to run elsewhere was not cancelled."""
        verb = (self.patiently(self._parts.ledger.commands.asked) or {}).get(job_id, "cancel")
        if verb == "requeue":
            return failure_causes.TAKEN_BACK
        return AttemptFault("cancelled", "failed by the operator") if verb == "fail" else fault

    def _lesson(self, attempt: Attempt, receipt: Receipt, is_crowded: bool) -> Raised | None:
        """What it needs, where it ran out of something. The nodes are asked only then."""
        cause, started = receipt.cause, attempt.started
        if cause is None or cause not in RAN_OUT_OF:
            return None
        reports = self.patiently(self._parts.ledger.reports.live) or ()
        most = largest(reports, self._parts.settings.limits)
        asked = as_reserved(started.job_class, started.reservation)
        return raised(cause, asked, receipt.usage, most, self._kind_mib(attempt, reports), is_crowded)

    def _kind_mib(self, attempt: Attempt, reports: Sequence[NodeReport]) -> int:
        """What others of its kind that run hold now, at most."""
        if not attempt.devices:
            return 0
        going = self.patiently(self._parts.ledger.handover.reservations) or ()
        return held_by_kind(attempt.started.reservation, going, reports)

    def _give_back(self, receipt: Receipt, then: Retry | Dead, about: str) -> Receipt:
        self._note(receipt, about)
        self.patiently(lambda: self._attempts.fail(receipt, then))
        what = _after_words(then, receipt.cause)
        emit_event("job.failed", "Failed: {about} ({}): {cause}: {error} ({then})", receipt.job_id[:SHORT_ID],
                   job_id=receipt.job_id,
                   attempt=receipt.attempt, task=receipt.task, about=about,
                   cause=receipt.cause, error=receipt.message, then=what)  # fmt: skip
        return receipt

    def _note(self, receipt: Receipt, about: str) -> None:
        """Failures and take-backs are worth a line, but the ledger has them even when the disk is full."""
        try:
            self._parts.receipts.append(receipt)
        except OSError as e:
            words = "The receipt of {about} ({}) attempt {attempt} cannot be written: {error}"
            emit_event("receipt.not_written", words, receipt.job_id[:SHORT_ID], job_id=receipt.job_id,
                       attempt=receipt.attempt, about=about, error=str(e))  # fmt: skip

    def patiently(self, step: Callable[[], T]) -> T | None:
        """Until Redis answers. None when the worker has to leave first: the lease runs out then, the
        receipt stays.
        """
        is_said = False
        while True:
            try:
                return step()
            except Unreachable as e:
                if self._parts.stopping.is_urgent:
                    return None
                if not is_said:
                    emit_event("redis.lost", "{error}; asking again until it answers", error=str(e))
                is_said = True
                self._parts.stopping.sleep(_AGAIN_S)


def _after_words(then: Retry | Dead, cause: Cause | None) -> str:
    if isinstance(then, Dead):
        return "dead letter"
    more = ""
    if then.job_class is not None:
        ran_out = cause in RAN_OUT_OF
        more = ", with more of what it ran out of" if ran_out else f", with {then.job_class.needs.engine}"
    when = f"in {duration(then.delay_s)}" if then.delay_s else "at once"
    return f"again {when}{more}"


def shown_by(attempt: Attempt, done: SavedResult) -> ReviewAsked | None:
    """What a person has to accept. Of the first of a kind that are seen by eye: at least what was made."""
    if attempt.started.reservation.role != "canary_by_eye":
        return done.review
    return msgspec.structs.replace(done.review or by_eye(attempt.spec), is_canary=True)
