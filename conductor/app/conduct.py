"""One run of the conductor: Redis, a node where none is up, the loop, and the view beside it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from types import FrameType

import msgspec
from loguru import logger
from redis import Redis

from conductor.adapters.channels.dead_mans_switch import switch as dead_mans_switch
from conductor.adapters.host import host_probe
from conductor.adapters.host.counter_commands import CounterCommands
from conductor.adapters.host.service_manager import taken_from
from conductor.adapters.open_ledger import redis_ledger, redis_of
from conductor.adapters.rates.rates import redis_rates
from conductor.analysis.forecast.forecast_thread import Forecasting
from conductor.analysis.forecast.past_spending import dearest, spent_lately
from conductor.analysis.forecast.text import told
from conductor.analysis.replay.recording import Recorder, folder_of
from conductor.app.embedded_node import embedded_node
from conductor.app.engines.open_keeper import engine_keeper
from conductor.app.schedules.leader import ScheduleKeeper
from conductor.app.schedules.resource_log import ResourceLog
from conductor.base import gc_pause
from conductor.base.errors import Unreachable
from conductor.base.logs.event_feed import feeding
from conductor.base.logs.events import emit_event
from conductor.base.redis_keys import Keys
from conductor.base.secrets import for_programs
from conductor.base.settings.limits import limits_of
from conductor.base.settings.settings import Settings, did_you_mean
from conductor.base.signing import signer_of
from conductor.core.admission.earliest_start import is_broken, is_refused
from conductor.core.admission.explain import never_sentence
from conductor.core.admission.sentences import words_of
from conductor.dispatch.catalogue import catalogue_of
from conductor.dispatch.file_transfers import FileTransfers
from conductor.dispatch.live_catalogue import WatchedCatalogue
from conductor.model.decision import Decision
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import STATES
from conductor.model.snapshot import Snapshot
from conductor.node.health.report import Identity
from conductor.node.orphan_rescue import retry_tables
from conductor.node.queue_plan import node_name
from conductor.node.single_instance import is_dead_here
from conductor.ports import Ledger
from conductor.record.journal import Journal
from conductor.record.ledger_identity import Guard, refuse_lost
from conductor.recovery.reapply_journal import JournalReapply
from conductor.recovery.reconcile import Reconciler
from conductor.tick.breakers import live_rules, note_review, review_lines
from conductor.tick.learned_needs import NeedsLearner, policy_of
from conductor.tick.loop import Conductor, OnTick, Record, RunEnd, Teach, Told
from conductor.verify.read_back import ReadBack
from conductor.views.headline import headline_of, line
from conductor.views.run_summary import Account
from conductor.views.run_watch import LedgerWatch, watching

INTERRUPTED = 130
FOUND = 1


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. `exit_code`: 0 all done, 1 something died, is in review or can never run, 4 workers
    died at each start, 130 broken off."""

    account: Account
    exit_code: int


def conduct(
    settings: Settings, backlog: str | None = None, until_done: bool = False, footer: str = ""
) -> Ending:
    """Feed the workers until nothing is left to run (`until_done`), or until a signal. Main thread only.

    With `until_done` and no node alive, one is started for this run and drained at its end. The first SIGINT
    or SIGTERM ends the feeding, the second stops what runs: it goes back to the backlog. Raises `ConfigError`
    when Redis was emptied since the last dispatch; without `until_done` it says so and waits for the rebuild.
    """
    address = os.environ.get(settings.alerts.ping_env or "", "").strip()
    with dead_mans_switch(address, settings.alerts.ping_every_s) as switch:
        result = feed(settings, backlog, until_done, footer, switch.ticked)
        switch.end(str(result.exit_code))
        return result


def feed(
    settings: Settings, backlog: str | None, until_done: bool, footer: str, ticked: Callable[[], None]
) -> Ending:
    service = taken_from()
    with redis_of(settings) as client, stopping() as stop:
        ledger = redis_ledger(client, signer_of(settings.redis.signing_key_env), Keys(settings.redis.prefix))
        if until_done:
            refuse_lost(ledger, settings.receipts_dir)
        with watching(ledger, backlog, footer) as watch, ExitStack() as stack:
            stack.enter_context(feeding(ledger.events.append, "conduct"))
            keeper, own_node = None, ""
            tasks = WatchedCatalogue(settings.for_code)
            stack.callback(tasks.close)
            if until_done and has_work(watch) and not has_node(settings, ledger):
                keeper = stack.enter_context(embedded_node(settings))
                own_node = node_name(settings.node)
            record = stack.enter_context(
                Recorder(folder_of(settings.layout), settings.ticks.max_bytes)
            ).record
            record = record if settings.ticks.is_on else None
            learning = stack.enter_context(
                NeedsLearner(settings.layout, policy_of(settings.learning), tasks, limits_of(settings))
            )
            note = Journal(settings.receipts_dir).foretold
            forecasting = stack.enter_context(Forecasting(settings.project, ledger, backlog, note))

            transfers = stack.enter_context(
                FileTransfers(ledger, settings.layout, lambda: catalogue_of(settings.for_code))
            )

            read_back = stack.enter_context(ReadBack(settings.layout))

            def on_tick(snapshot: Snapshot, decision: Decision) -> None:
                ticked()
                transfers.ask(decision.moves)
                forecasting.tick(snapshot, decision)
                read_back.tick(bool(snapshot.reservations))

            counters = CounterCommands(
                settings.counted_by("cluster"), settings.project, for_programs(settings.secrets.variables)
            )
            stack.callback(counters.start().close)
            conductor = conductor_of(
                settings,
                client,
                tasks,
                backlog,
                record,
                learning.teach,
                on_tick,
                counters.readings,
                own_node,
            )
            if not until_done:
                # A run that ends by itself has a schedule of its own: the one who called it.
                guard = Guard(ledger, settings.receipts_dir)
                stack.enter_context(
                    engine_keeper(settings, ledger, tasks, lambda: conductor.epoch, guard.reason)
                )
                stack.enter_context(
                    ScheduleKeeper(
                        ledger,
                        settings.layout,
                        settings.schedules,
                        owner=owner(),
                        epoch=lambda: conductor.epoch,
                        why_not=guard.reason,
                    )
                )
            stack.enter_context(ResourceLog(ledger, lambda: conductor.epoch))

            def should_stop() -> bool:
                # The loop asks this at each turn, leading, standing by or without Redis: only who hangs does
                # not.
                service.alive()
                service.tell(lambda: line(headline_of(watch.pace.last)))
                return stop.is_set() or (keeper is not None and keeper.gave_up)

            gc_pause.settled()
            ended = conductor.run(until_done, should_stop)
            if keeper is not None and keeper.gave_up and not (ended.is_done or stop.is_set()):
                raise Unreachable("the node of this run keeps ending at its start: see what it says above")
            forecast = forecasting.ended() if ended.is_done else None
            if stop.is_set():
                emit_event("conductor.stopping", "Stopping: nothing new is fed")
        # Also those of earlier runs: who asks whether all is done is not told that it is while one of them
        # lies there.
        has_died = until_done and next(ledger.jobs.died(backlog), None) is not None
        is_known = backlog is None or any(ledger.tallies.counts(backlog).values())
        reviews = review_lines(ledger, backlog) if until_done else ()
        result = ending(watch, ended, until_done, reviews, forecast, has_died=has_died, is_known=is_known)
        if result.exit_code == INTERRUPTED:
            logger.info("Interrupted, nothing is lost: the same command goes on from here")
        return result


def conductor_of(
    settings: Settings,
    client: Redis,
    tasks: WatchedCatalogue,
    backlog: str | None,
    record: Record | None,
    teach: Teach,
    on_tick: OnTick,
    told: Told = dict,
    own_node: str = "",
) -> Conductor:
    ledger = redis_ledger(client, signer_of(settings.redis.signing_key_env), Keys(settings.redis.prefix))
    return Conductor(
        ledger,
        redis_rates(
            client,
            ledger.calls,
            settings.rates,
            prices=dearest(settings.endpoints),
            past=lambda: spent_lately(settings.receipts_dir),
        ),
        msgspec.structs.replace(limits_of(settings), has_successors=settings.limits.has_successors),
        settings.timing,
        owner=owner(),
        backlogs=(backlog,) if backlog else (),
        on_tick=on_tick,
        record=record,
        teach=teach,
        overrides=retry_tables(tasks),
        rules=live_rules(settings.canary, tasks, settings.canary_by_eye),
        told=told,
        guard=Guard(ledger, settings.receipts_dir).reason,
        on_review=lambda kind, states: note_review(settings.receipts_dir, kind, states),
        reconciler=Reconciler(ledger, settings.receipts_dir),
        reapply=JournalReapply(
            ledger,
            settings.receipts_dir,
            tasks,
            settings.timing.lease_s,
            settings.layout.ephemeral_roots(),
            limits_of(settings),
        ),
        own_node=own_node,
    )


def owner() -> str:
    """Of a lead, and of fires: this process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def has_work(watch: LedgerWatch) -> bool:
    return watch.pace.last.total("waiting", "admitted", "running") > 0


def has_node(settings: Settings, ledger: Ledger) -> bool:
    """A report may outlive its node by some seconds: one of a process that died on this host is none."""
    here = Identity(
        node=node_name(settings.node),
        host=socket.gethostname(),
        boot_id=host_probe.boot_id(),
        pid=os.getpid(),
    )
    return any(not is_dead_here(report, here) for report in ledger.reports.live())


@contextmanager
def stopping() -> Generator[threading.Event]:
    """The first SIGINT, SIGTERM or SIGHUP sets the event; each further one is a KeyboardInterrupt."""
    asked = threading.Event()

    def heard(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {
        number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ── the account ───────────────────────────────────────────────────────────────────────────────────────────


def ending(
    watch: LedgerWatch,
    ended: RunEnd,
    until_done: bool,
    reviews: tuple[str, ...] = (),
    forecast: Forecast | None = None,
    *,
    has_died: bool = False,
    is_known: bool = True,
) -> Ending:
    """`has_died`: jobs lie there that died of themselves, whenever; `is_known`: the named backlog has jobs
    at all.
    """
    holds = ended.left.holds if ended.left else ()
    account = msgspec.structs.replace(
        watch.account(),
        predicted_s=None
        if forecast is None or forecast.predicted_s is None
        else round(forecast.predicted_s, 1),
        took_s=forecast and round(forecast.took_s or 0.0, 1),
        forecast="" if forecast is None else told(forecast, watch.pace.last.total(*STATES)),
        reviews=reviews,
        never=tuple(
            never_sentence(hold, watch.pace.last.now)
            for hold in holds
            if not is_broken(hold) and not is_refused(hold)
        ),
        broken=tuple(sorted({words_of(v) for hold in holds for v in hold.closed if v.is_broken})),
        refused=tuple(sorted({words_of(v) for hold in holds for v in hold.closed if v.is_refused})),
        stranded=ended.left.stranded if ended.left else (),
    )
    account = msgspec.structs.replace(account, idle=idle(watch, account, is_known) if until_done else "")
    is_short = bool(account.dead or account.review or ended.left or has_died or not is_known)
    return Ending(account=account, exit_code=exit_code(ended, until_done, is_short))


def exit_code(ended: RunEnd, until_done: bool, is_short: bool) -> int:
    """`is_short`: something of what was to be done is not, and no run will do it as things stand."""
    if not until_done:
        return 0
    if not ended.is_done and ended.left is None:
        return INTERRUPTED
    if ended.left is not None and any(is_broken(hold) for hold in ended.left.holds):
        return Unreachable.exit_code
    return FOUND if is_short else 0


def idle(watch: LedgerWatch, account: Account, is_known: bool) -> str:
    """Why nothing was done; empty where something was."""
    if account.done or account.dead or account.left:
        return ""
    names = watch.ledger.tallies.backlogs()
    there = ", ".join(f"backlog:{name}" for name in names) or "none"
    if not is_known:
        near = did_you_mean(watch.backlog or "", names)
        return f"nothing to do: no job is in backlog:{watch.backlog} (there are: {there}){near}"
    if not names:
        return "nothing to do: no manifest was dispatched here yet"
    before = {state: watch.pace.last.total(state) for state in STATES}
    was = ", ".join(f"{n} {'in review' if state == 'review' else state}" for state, n in before.items() if n)
    return f"nothing was left to do ({was or 'no jobs'} before)"
