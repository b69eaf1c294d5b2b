"""Jobs that ask a chat server on loopback, real workers, and the conductor's own loop between them."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from conductor.adapters.open_ledger import connect
from conductor.adapters.rates.rates import redis_rates
from conductor.base.settings.endpoint_settings import Rate
from conductor.base.settings.sections import Timing
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.limits import Limits
from conductor.model.spec import JobSpec, Output, to_line
from conductor.tick.loop import Conductor
from tests.builders import a_report, a_spec
from tests.worker_scene import NODE, WorkerScene

WORKERS = 3


def a_question(n: int, **more: Any) -> JobSpec:
    """Number `n` to the endpoint `api`; without `needs` the task says which API it calls."""
    args = {"endpoint": "api", "items": [{"id": "a", "text": "x" * n}], "instruction": "Count."}
    output = Output(path=f"scratch:answers/{n}.jsonl")
    return a_spec(n, task="llm.annotate", args=args, writes=(output,), lane="cpu", **more)


def put(scene: WorkerScene, specs: Iterable[JobSpec]) -> None:
    for spec in specs:
        job_class = class_of(spec, scene.catalogue[spec.task], "night")
        scene.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])


def at_work(scene: WorkerScene, workers: int = WORKERS) -> None:
    """The node reports, and so many workers take from its queue."""
    report = a_report(NODE, devices=0, workers=workers, sent_at=scene.ledger.bell.now())
    scene.ledger.reports.publish(report, 3600)
    for _ in range(workers):
        scene.worker()


@contextmanager
def conducting(
    scene: WorkerScene, redis_url: str, budgets: Mapping[str, Rate] | None = None, window_s: float = 3.0
) -> Generator[None]:
    """The conductor's own loop, with a minute of `window_s`."""
    stop = threading.Event()
    scene.ledger.leadership.resign("test")
    with connect(redis_url) as client:
        rates = redis_rates(client, scene.ledger.calls, budgets or {}, window_s=window_s)
        conductor = Conductor(
            scene.ledger, rates, Limits(report_ttl_s=3600), Timing(lease_s=30), "one", ("night",)
        )
        thread = threading.Thread(target=conductor.run, kwargs={"should_stop": stop.is_set})
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
