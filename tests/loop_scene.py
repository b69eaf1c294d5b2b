"""A conductor in a thread, with reports made up, and workers played by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from builders import a_spec
from msgspec import structs
from patience import rest

from conductor.adapters.rates.rates import memory_rates
from conductor.base.settings.sections import Timing
from conductor.model.ledger_entries import Entry
from conductor.model.limits import Limits
from conductor.model.receipt import Receipt
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass, Reservation
from conductor.model.spec import to_line
from conductor.ports import Ledger
from conductor.tick.loop import Conductor, RunEnd

TIMING = Timing(tick_s=0.05, leader_ttl_s=0.6, lease_s=30)


def a_conductor(ledger: Ledger, owner: str = "one", **more: Any) -> Conductor:
    return Conductor(ledger, memory_rates(ledger.calls, {}), Limits(), TIMING, owner, **more)


def dispatch(ledger: Ledger, job_class: JobClass, count: int, **spec: Any) -> list[str]:
    specs = [a_spec(n, task=job_class.task, **spec) for n in range(count)]
    entries = [Entry(job_id=s.id, line=to_line(s), job_class=job_class) for s in specs]
    ledger.intake.put(job_class.backlog, entries)
    return [s.id for s in specs]


def publish(ledger: Ledger, report: NodeReport) -> None:
    ledger.reports.publish(structs.replace(report, sent_at=ledger.bell.now()), ttl_s=60)


def start_all(ledger: Ledger) -> None:
    """Every worker takes what is queued for it."""
    for r in ledger.handover.reservations():
        if r.state == "admitted":
            take(ledger, r)


def take(ledger: Ledger, r: Reservation) -> None:
    ledger.attempts.start(r.job_id, r.attempt, f"worker-{r.job_id}", 30)


def finish(ledger: Ledger, r: Reservation) -> None:
    now = ledger.bell.now()
    receipt = Receipt(v=1, job_id=r.job_id, attempt=r.attempt, workflow="w", task=r.task, outcome="ok",
                      started_at=now, ended_at=now, node=r.node, worker=r.worker or "w")  # fmt: skip
    assert ledger.attempts.accept(receipt) == "accepted"


def wait_until(condition: Callable[[], bool], deadline_s: float = 30) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + deadline_s, "the condition did not come true in time"
        rest(began)


@contextmanager
def running(conductor: Conductor, until_done: bool = False) -> Generator[list[RunEnd]]:
    """`run` in a thread, stopped at the end; what it returned."""
    stop, ended = threading.Event(), []
    thread = threading.Thread(
        target=lambda: ended.append(conductor.run(until_done, stop.is_set)), daemon=True
    )
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
