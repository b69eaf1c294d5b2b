"""One project folder and one ledger that can be emptied, for tests of rebuild and backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Redis

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.model.causes import Cause
from conductor.model.ledger_entries import STATES, JobState
from conductor.model.receipt import Outcome, Receipt
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from conductor.record import manifest
from conductor.record.dispatched_manifests import Source
from conductor.record.journal import Journal
from conductor.record.ledger_identity import Guard
from conductor.recovery.rebuild import Rebuilt, rebuild

CATALOGUE = load_catalogue()
LEASE_S = 0.2


class RebuildScene:
    """One project folder, one ledger that can be emptied."""

    def __init__(self, ledger: Ledger, folder: Path, redis_url: str) -> None:
        self.ledger = ledger
        self.receipts = folder / "receipts"
        self.manifest = folder / "manifests" / "m.jsonl"
        self.url = redis_url
        self.guard = Guard(ledger, self.receipts)

    def plan(self, *specs: JobSpec, name: str = "m.jsonl") -> Path:
        path = self.manifest.with_name(name)
        manifest.write(path, specs)
        return path

    def dispatch(self, *specs: JobSpec, name: str = "m.jsonl", backlog: str = "night") -> Path:
        path = self.plan(*specs, name=name)
        dispatch(self.ledger, path, backlog, CATALOGUE, self.receipts)
        return path

    def receipt(
        self,
        spec: JobSpec,
        outcome: Outcome = "ok",
        attempt: int = 1,
        cause: Cause | None = None,
        message: str = "",
        **more: Any,
    ) -> Receipt:
        values: dict[str, Any] = {"started_at": 1.0, "ended_at": 2.0, "node": "n", "worker": "w", **more}
        receipt = Receipt(
            v=1,
            job_id=spec.id,
            attempt=attempt,
            workflow=spec.workflow,
            task=spec.task,
            outcome=outcome,
            cause=cause,
            message=message,
            **values,
        )
        log = FileReceiptLog(self.receipts, "w")
        log.append(receipt)
        log.close()
        return receipt

    def flush(self) -> None:
        with Redis.from_url(self.url, protocol=2) as client:
            client.flushall()

    def rebuild(self, *sources: Source) -> Rebuilt:
        chosen = sources or Journal(self.receipts).ledger_match(None).sources
        return rebuild(self.ledger, self.receipts, CATALOGUE, chosen, LEASE_S)

    def states(self, *specs: JobSpec) -> list[JobState | None]:
        views = [self.ledger.jobs.job(spec.id) for spec in specs]
        return [view.state if view else None for view in views]

    def sets(self) -> dict[JobState, set[str]]:
        return {state: set(self.ledger.jobs.ids(state)) for state in STATES}
