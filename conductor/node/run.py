"""`conductor node`: this host's probe, report and workers, until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path

from loguru import logger
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.files.vram_claims import VramClaims, folder_of
from conductor.adapters.host import cgroup, host_probe, oom_counter
from conductor.adapters.host.freezing import end_leftovers, note_folder
from conductor.adapters.host.processes import remove_pid, write_pid
from conductor.adapters.host.service_manager import ServiceManager, taken_from
from conductor.adapters.host.wakeup import STOP, Wakeup
from conductor.adapters.open_ledger import open_ledger
from conductor.adapters.redis import valkey
from conductor.base.code_version import build
from conductor.base.errors import ConductorError, Unreachable
from conductor.base.logs.event_feed import feeding
from conductor.base.logs.events import emit_event
from conductor.base.logs.output_file import keep_small
from conductor.base.settings.limits import limits_of
from conductor.base.settings.settings import Settings
from conductor.dispatch.live_catalogue import WatchedCatalogue
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Reservation
from conductor.model.spec import LANES, Lane
from conductor.node import worker_output
from conductor.node.alerts.watch import watch_alerts
from conductor.node.cleanup.cleaner import Cleaner
from conductor.node.cleanup.orphaned_receipts import settle, settle_all
from conductor.node.detached import output_file
from conductor.node.doorbell_watch import DoorbellWatch
from conductor.node.earlier_workers import EarlierWorkers
from conductor.node.fork_server import ForkServer, begun_fork_server
from conductor.node.health.report import Identity, Workforce, outline
from conductor.node.health.reporter import Reporter
from conductor.node.orphan_rescue import give_back, rescue, retry_tables
from conductor.node.queue_plan import node_name, plan_queues
from conductor.node.single_instance import claim_pilot, only_one, pid_path, refuse_engine, refuse_twin
from conductor.node.supervisor import Death, Supervisor, launcher
from conductor.node.term import Term
from conductor.ports import Ledger

OpenLedger = Callable[[Settings], AbstractContextManager[Ledger]]

#: The loop looks around this often even when nothing woke it; a retry of what Redis could not take comes
#: sooner.
IDLE_S = 5.0
RETRY_S = 0.2
#: What was killed at the very end is gone within so long, or hangs in the kernel: the next node looks again.
LAST_SWEEP_S = 1.0
#: After the drain began, workers take no more: what is still in their queues then goes back.
GIVE_BACK_AFTER_S = 1.0
INTERRUPTED = 130
PLATFORM_NOTES = () if sys.platform == "linux" else ("not Linux: workers live on when their node is killed",)


def run_node(
    settings: Settings,
    ledger_factory: OpenLedger = open_ledger,
    lanes: Collection[Lane] = LANES,
    should_stop: Callable[[], bool] = lambda: False,
    drain_for_s: float | None = None,
    term: Term | None = None,
) -> int:
    """Until SIGTERM, SIGINT or SIGHUP (or `should_stop`, asked every few seconds): drains; a second one stops
    at once, and so does the end of `drain_for_s` after the first. With a `term` it drains by itself in time.

    Returns the exit code: 0 drained, 130 stopped with jobs in hand (they go back to the backlog). Main thread
    only. Raises `ConfigError` when a node of this name is there already, `Unreachable` when Redis is not
    there at start.
    """
    # Out of the environment first, which a copy has too: no body may speak for its service.
    service = taken_from()
    # Before all else: from here on this process has what a copy must not have.
    fork_server = begun_fork_server(settings.project)
    name = node_name(settings.node)
    refuse_engine(settings.engines, name)
    if term is not None:
        drain_for_s = term.drain_within(drain_for_s)
    with only_one(settings.layout, name), ledger_factory(settings) as ledger, Wakeup() as wakeup:
        identity = Identity(
            node=name,
            host=socket.gethostname(),
            boot_id=host_probe.boot_id(),
            pid=os.getpid(),
            pilot="" if term is None else term.pilot,
            build=build(),
        )
        refuse_twin(ledger, identity)
        claim_pilot(ledger, identity)
        with feeding(ledger.events.append, f"node {name}"):
            node = Node(
                settings, ledger, identity, fork_server, lanes, wakeup, should_stop, service,
                drain_for_s, term,
            )  # fmt: skip
            return node.run()


class Node:
    """The main loop. Only the main thread starts and ends workers; reporter and cleaner have threads of
    their own.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        identity: Identity,
        fork_server: ForkServer,
        lanes: Collection[Lane],
        wakeup: Wakeup,
        should_stop: Callable[[], bool],
        service: ServiceManager,
        drain_for_s: float | None,
        term: Term | None = None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._identity = identity
        self._lanes = lanes
        self._wakeup = wakeup
        self._should_stop = should_stop
        self._service = service
        self._drain_for_s = drain_for_s
        self._term = term
        self._fork_server = fork_server
        self._fork_server.start()
        idle_s = settings.workers.idle_s
        self._supervisor = Supervisor(
            launcher(settings.project, identity.node, self._fork_server, idle_s),
            settings.timing.lease_s,
            starts_all=not idle_s,
        )
        self._doorbell = DoorbellWatch(ledger, identity.node, wakeup.poke)
        catalogue = WatchedCatalogue(settings.for_code)
        self._reporter = Reporter(
            settings, identity, ledger, catalogue, wakeup.poke, lambda: revive(settings), term
        )
        self._alerts = watch_alerts(
            settings.alerts, settings.layout, settings.secrets.variables, identity, ledger
        )
        self._cleaner = Cleaner(settings.layout, settings.clean, ledger, identity.node, self._reporter)
        self._vram_claims = VramClaims(folder_of(settings.layout))
        self._frozen = note_folder(settings.state_dir, identity.node)
        self._overrides = retry_tables(catalogue)
        #: Dead workers whose jobs are not yet returned: Redis was away.
        self._unrescued: list[Death] = []
        self._lane_notes: tuple[str, ...] = ()
        self._draining_since: float | None = None
        self._gave_back = False
        self._was_killed = False
        self._earlier = EarlierWorkers(ledger, identity.node)
        #: Queues that were closed at the last turn.
        self._closed: set[str] = set()
        self._limits = limits_of(settings)
        self._oom_kills = oom_counter.kills()

    def run(self) -> int:
        pid_file = pid_path(self._settings.layout, self._identity.node)
        # A body may still be writing: it must be gone before somebody else gets its job.
        if left := cgroup.sweep():
            words = "{processes} processes that workers of an earlier node had left running were ended"
            emit_event("node.leftovers_ended", words, processes=left)
        self._settle_all()
        self._vram_claims.sweep()
        end_leftovers(self._frozen)
        self._fork_server.await_prepared()
        self._turn()
        self._give_back("no worker of this node serves its queue any more")
        self._reporter.start()
        self._alerts.start()
        self._cleaner.start()
        self._doorbell.start()
        write_pid(pid_file)
        there = outline(self._reporter.reading, self._supervisor.queues())
        emit_event("node.up", "Node {node} is up: {why}", node=self._identity.node, why=there)
        self._service.ready(there)
        try:
            while not (
                self._draining_since is not None and self._supervisor.is_empty and not self._unrescued
            ):
                self._hear(self._wakeup.wait(self._patience()))
                self._turn()
        finally:
            self._leave(pid_file)
        return INTERRUPTED if self._was_killed else 0

    def _turn(self) -> None:
        """Bury, rescue, start, tell: in this order, so that a job is free before the next worker looks."""
        if self._reporter.has_failed:
            raise ConductorError(
                "the node's reporter ended on an error (above); without it nothing is placed here"
            )
        if self._draining_since is None:
            reading = self._reporter.reading
            node, lanes = self._identity.node, self._settings.lanes
            plans, self._lane_notes = plan_queues(
                node, lanes, reading.devices, reading.host.cpu_count, self._lanes
            )
            self._supervisor.plan(plans)
        self._service.alive()
        self._bury(self._supervisor.reap() + self._earlier.ended())
        self._leave_closed_queues()
        self._doorbell.call_workers(self._supervisor)
        self._supervisor.start_due()
        self._tell()
        if self._draining_since is not None and not self._gave_back:
            is_time = time.monotonic() - self._draining_since > GIVE_BACK_AFTER_S
            self._gave_back = is_time and self._give_back("its node is draining")
        if (left_s := self._drain_left_s()) is not None and left_s <= 0:
            self._stop_now()
        keep_small(output_file(self._settings))

    def _hear(self, signals: Collection[int]) -> None:
        asks = sum(number in STOP for number in signals) or (
            self._draining_since is None and self._should_stop()
        )
        for _ in range(asks):
            if self._draining_since is None:
                self._drain()
            else:
                self._stop_now()

    def _drain(self) -> None:
        words = "Draining: what runs is finished, nothing new is taken (a second signal stops at once)"
        emit_event("node.draining", words)
        self._service.stopping(words)
        self._draining_since = time.monotonic()
        self._tell()
        self._supervisor.drain()

    def _drain_left_s(self) -> float | None:
        """None: not draining, or without a limit, or not draining any more."""
        if self._draining_since is None or self._drain_for_s is None or self._was_killed:
            return None
        return self._draining_since + self._drain_for_s - time.monotonic()

    def _stop_now(self) -> None:
        if not self._supervisor.is_empty and not self._was_killed:
            emit_event("node.stopping", "Stopping now: the jobs in hand go back to the backlog")
            self._was_killed = True
            self._supervisor.kill()

    def _bury(self, deaths: list[Death]) -> None:
        if deaths:
            worker_output.sweep(
                self._settings.logs_dir, self._identity.node, self._supervisor.pids().values()
            )
            before, self._oom_kills = self._oom_kills, oom_counter.kills()
            if oom_counter.has_grown(before, self._oom_kills):
                deaths = [replace(death, was_oom=death.exit_code == -signal.SIGKILL) for death in deaths]
        for death in deaths:
            self._vram_claims.remove(death.worker)
            end_leftovers(self._frozen)
            if death.has_retired:
                logger.debug("Worker {} had nothing to do and has left", death.worker)
            elif not death.is_unseen and (self._draining_since is None or death.exit_code != 0):
                emit_event("worker.died", "{error}", worker=death.worker, pid=death.pid,
                           exit_code=death.exit_code, error=death.message)  # fmt: skip
        waiting, self._unrescued = self._unrescued + deaths, []
        for i, death in enumerate(waiting):
            try:
                self._settle(death)
                is_told = self._was_killed
                if rescue(self._ledger, death, self._overrides, self._over, self._limits, is_told=is_told):
                    self._supervisor.had_settled(death.worker)
            except Unreachable:
                self._unrescued = waiting[i:]
                break
        if self._was_killed and self._unrescued:
            emit_event("redis.lost", "{error}: the jobs in hand go back when their leases have run out there",
                       error="Redis does not answer")  # fmt: skip
            self._unrescued = []

    def _settle(self, death: Death) -> None:
        """First what it finished, then what it lost: a job whose receipt is on disk is not run again."""
        log = FileReceiptLog(self._settings.receipts_dir, f"{self._identity.node}-{death.worker}")
        try:
            for last in settle(self._ledger, log):
                self._over(last)
        except OSError as e:
            words = "The receipts of worker {worker} cannot be read: {error}"
            emit_event("receipts.not_read", words, worker=death.worker, error=str(e))
        finally:
            log.close()

    def _settle_all(self) -> None:
        """Also the workers that died with an earlier node of this name."""
        try:
            for last in settle_all(self._ledger, self._settings.receipts_dir, self._identity.node):
                self._over(last)
        except (Unreachable, OSError) as e:
            emit_event("receipts.not_read", "Receipts of earlier workers were not looked through: {error}",
                       error=str(e))  # fmt: skip

    def _over(self, attempt: Receipt | Reservation) -> None:
        """Its files can go, but for output that only could not be published."""
        if not (isinstance(attempt, Receipt) and attempt.cause == "publish_failed"):
            self._cleaner.ended(attempt.job_id, attempt.attempt)

    def _leave_closed_queues(self) -> None:
        """What was handed over for a device that is gone, or in quarantine, or to workers that keep dying,
        and was not started, goes elsewhere."""
        # Only once the report has arrived: what went back before would be handed over here again.
        devices, queues = self._reporter.closed, self._supervisor.queues()
        is_host_closed = "" in devices
        closed = {
            q.queue for q in queues if is_host_closed or q.device in devices or (q.dying and not q.workers)
        }
        # To the dying it is done at each turn: a tick may have looked before they were said to be.
        is_due = closed - self._closed or any(q.dying for q in queues)
        if is_due and self._draining_since is None:
            open_queues = [q.queue for q in queues if q.queue not in closed]
            why = "its host or device is closed" if devices else "its workers keep dying at start"
            try:
                give_back(self._ledger, self._identity.node, open_queues, why)
            except Unreachable:
                return  # asked again at the next turn
        self._closed = closed

    def _give_back(self, why: str) -> bool:
        served = (
            ()
            if self._draining_since is not None
            else [q.queue for q in self._supervisor.queues() if q.workers]
        )
        try:
            give_back(self._ledger, self._identity.node, served, why)
        except Unreachable:
            return False
        return True

    def _tell(self) -> None:
        notes = (*PLATFORM_NOTES, *self._lane_notes, *self._supervisor.notes())
        is_draining = self._draining_since is not None
        queues, pids = self._supervisor.queues(), self._supervisor.pids()
        self._reporter.tell(Workforce(queues=queues, is_draining=is_draining, notes=notes, pids=pids))

    def _patience(self) -> float:
        limits = [IDLE_S]
        if self._term is not None and self._draining_since is None:
            limits.append(self._term.ends_in_s)
        if self._unrescued:
            limits.append(RETRY_S)
        if self._draining_since is not None and not self._gave_back:
            limits.append(GIVE_BACK_AFTER_S)
        if (left_s := self._drain_left_s()) is not None:
            limits.append(max(0.0, left_s))
        for part in (self._supervisor, self._fork_server, self._doorbell):
            if part.next_look_s is not None:
                limits.append(part.next_look_s)
        return min(limits)

    def _leave(self, pid_file: Path) -> None:
        """Also after an error in the loop: no worker stays behind without its supervisor."""
        self._supervisor.kill()
        self._doorbell.stop()
        self._fork_server.close()
        self._reporter.stop()
        self._alerts.stop()
        try:
            self._give_back("its node has stopped")
            self._ledger.reports.withdraw(self._identity.node)
            self._ledger.bell.ring()
        except Unreachable:
            logger.debug("the report is not withdrawn: Redis is away, it runs out by itself")
        cgroup.sweep(LAST_SWEEP_S)
        remove_pid(pid_file)


# ── what surrounds the loop ───────────────────────────────────────────────────────────────────────────────


def revive(settings: Settings) -> None:
    """The project's own Valkey was killed: whoever notices starts it again. Another Redis is its owner's
    to start.
    """
    if settings.redis.url is None:
        valkey.revive(settings.valkey)
