"""One attempt, whole: start, body, publish, receipt, accept or fail. `run_job` is the one function RQ knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from loguru import logger

from conductor.core.retry import after_failure
from conductor.errors import Fenced, JobError, Unreachable
from conductor.model.outcome import Dead, Retry
from conductor.model.receipt import OutputFact, Receipt
from workers import causes, publish
from workers.attempt import Attempt, Refused, Scribe
from workers.body import run_body
from workers.causes import Fault
from workers.host import ChildBroken, Host
from workers.lease import Keeper
from workers.protocol import Ended, Run

if TYPE_CHECKING:
    from conductor.catalogue import Catalogue
    from conductor.ports import Ledger, ReceiptLog, Started
    from conductor.settings import Settings
    from workers.stopping import Stopping

T = TypeVar("T")

#: Redis is away: asked again so often, for as long as it takes. The work in hand is worth the wait.
_AGAIN_S = 0.5


class Parts(NamedTuple):
    """What a runner works with; built once per process."""

    settings: Settings
    ledger: Ledger
    catalogue: Catalogue
    receipts: ReceiptLog
    host: Host
    keeper: Keeper
    stopping: Stopping
    #: Names in receipts and leases.
    worker: str
    node: str


class Runner:
    """Runs attempts one after another, all through one child."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._attempts = parts.ledger.attempts
        self._scribe = Scribe(parts.node, parts.worker)

    def run(self, job_id: str, number: int) -> Receipt | None:
        """The receipt this attempt ended in; None when it was not its turn, or not any more."""
        asked_at, began_at = time.monotonic(), time.time()
        lease_s = self._parts.settings.timing.lease_s
        started = self._patiently(lambda: self._start(job_id, number, lease_s))
        if started is None:
            return None
        try:
            attempt = Attempt(started, self._parts.catalogue, self._parts.settings, asked_at + lease_s)
        except Refused as e:
            return self._give_back(self._scribe.refused(started, began_at, e), None, started, {})
        self._parts.keeper.hold(attempt.held)
        try:
            return self._run(attempt, began_at)
        finally:
            self._parts.keeper.release()

    def _start(self, job_id: str, number: int, lease_s: float) -> Started | None:
        try:
            return self._attempts.start(job_id, number, self._parts.worker, lease_s)
        except Fenced as e:
            logger.info("Not started: {} attempt {}: {}", job_id, number, e)
            return None

    def _run(self, attempt: Attempt, began_at: float) -> Receipt | None:
        held = attempt.held
        publish.clean(self._parts.settings, attempt.spec, range(1, attempt.number))
        ended = self._body(attempt)
        is_own = isinstance(ended, Ended)
        usage = held.meter.finish(ended.rss_mib if is_own else None, ended.cpu_s if is_own else None)
        # Late is late, whatever became of the body: somebody else has the job, and its files are theirs to publish.
        if not self._is_ours(attempt):
            return self._drop(attempt)
        outputs = self._outputs(attempt, ended)
        if isinstance(outputs, Fault):
            # It may have failed just because the next attempt has swept our files away.
            if not self._is_ours(attempt, is_doubtful=True):
                return self._drop(attempt)
            receipt = self._scribe.failed(attempt, began_at, outputs, usage)
            return self._give_back(receipt, attempt, attempt.started, attempt.request.retry, outputs)
        result = ended.result if isinstance(ended, Ended) else {}
        return self._hand_in(attempt, self._scribe.ok(attempt, began_at, result, usage, outputs))

    def _is_ours(self, attempt: Attempt, is_doubtful: bool = False) -> bool:
        return self._parts.keeper.is_ours(attempt.held, is_doubtful) or attempt.held.verdict == "cancel"

    def _drop(self, attempt: Attempt) -> None:
        publish.clean(self._parts.settings, attempt.spec, (attempt.number,))
        logger.info("Dropped: {} attempt {} was given to another worker", attempt.job_id, attempt.number)

    def _body(self, attempt: Attempt) -> Ended | Fault:
        host = self._parts.host
        try:
            host.ensure(attempt.devices)
        except ChildBroken as e:
            return Fault("worker_lost", causes.cut(str(e)))
        attempt.held.meter.pid = host.pid
        run = Run(
            line=attempt.line,
            decl=attempt.decl,
            attempt=attempt.number,
            devices=attempt.devices,
            timeout_s=attempt.request.timeout_s,
        )
        ended = run_body(host, run, attempt.request, attempt.held, self._parts.stopping)
        if isinstance(ended, Ended) and ended.files is not None:
            host.watch(ended.files)
        host.tidy()
        return ended

    def _outputs(self, attempt: Attempt, ended: Ended | Fault) -> tuple[OutputFact, ...] | Fault:
        """The published files, or why there are none."""
        if isinstance(ended, Fault):
            return ended
        if ended.cause is not None:
            return Fault(ended.cause, ended.message, ended.rate_key, ended.retry_after_s)
        if attempt.held.verdict == "cancel":
            return causes.CANCELLED
        try:
            return publish.publish(self._parts.settings, attempt.spec, attempt.number)
        except JobError as e:
            return causes.of_exception(e)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────

    def _hand_in(self, attempt: Attempt, receipt: Receipt) -> Receipt:
        """On disk first, then the ledger: from the first on the result counts, whoever is killed."""
        try:
            self._parts.receipts.append(receipt)
        except OSError as e:
            fault = Fault("no_space", f"the receipt cannot be written: {e}")
            failed = msgspec.structs.replace(receipt, outcome="failed", cause=fault.cause, message=fault.message)
            return self._give_back(failed, attempt, attempt.started, attempt.request.retry, fault)
        answer = self._patiently(lambda: self._attempts.accept(receipt))
        if answer == "already":
            self._note(msgspec.structs.replace(receipt, outcome="superseded"))
        publish.clean(self._parts.settings, attempt.spec, (attempt.number,))
        logger.info("Done: {} {} in {:.2f} s ({})", receipt.task, receipt.job_id, receipt.seconds, answer or "unsaid")
        return receipt

    def _give_back(
        self,
        receipt: Receipt,
        attempt: Attempt | None,
        started: Started,
        budgets: dict[causes.Cause, int],
        fault: Fault | None = None,
    ) -> Receipt:
        """A failed attempt: receipt, then the ledger decides by the table where the job goes."""
        cause = receipt.cause or "task_error"
        then = after_failure(cause, started.failures, budgets, fault.retry_after_s if fault else None)
        self._note(receipt)
        if fault is not None and fault.rate_key:
            key, wait_s = fault.rate_key, fault.retry_after_s or 1.0
            self._patiently(lambda: self._attempts.close_rate(key, wait_s))
        self._patiently(lambda: self._attempts.fail(receipt, then))
        if attempt is not None and cause != "publish_failed":
            # Output that is computed and only cannot be put in place stays.
            publish.clean(self._parts.settings, attempt.spec, (attempt.number,))
        what = _after_words(then)
        logger.warning("Failed: {} {}: {}: {} ({})", receipt.task, receipt.job_id, cause, receipt.message, what)
        return receipt

    def _note(self, receipt: Receipt) -> None:
        """Failures and take-backs are worth a line, but the ledger has them even when the disk is full."""
        try:
            self._parts.receipts.append(receipt)
        except OSError as e:
            logger.error("The receipt of {} attempt {} cannot be written: {}", receipt.job_id, receipt.attempt, e)

    def _patiently(self, step: Callable[[], T]) -> T | None:
        """Until Redis answers. None when the worker has to leave first: the lease runs out then, the receipt stays."""
        is_said = False
        while True:
            try:
                return step()
            except Unreachable as e:
                if self._parts.stopping.is_urgent:
                    return None
                if not is_said:
                    logger.warning("{}; asking again until it answers", e)
                is_said = True
                self._parts.stopping.sleep(_AGAIN_S)


def _after_words(then: Retry | Dead) -> str:
    return "dead letter" if isinstance(then, Dead) else f"again in {then.delay_s:g} s"


def run_job(job_id: str, attempt: int) -> str:
    """Run one attempt in this process, with a child of its own: for a stock RQ worker, or by hand.

    Returns what RQ may show as the result: the outcome, or «not its turn».
    """
    from workers.parts import own_parts

    with own_parts() as parts:
        receipt = Runner(parts).run(job_id, attempt)
    return "not its turn" if receipt is None else receipt.outcome
