"""A `conductor` for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from builders import a_class, a_reservation, a_spec
from cli_tools import Cli
from loguru import logger

from conductor.base.settings.settings import Settings
from conductor.model.causes import Cause
from conductor.model.decision import Admission, GateLedger, Hold, Verdict
from conductor.model.failure_outcome import Dead
from conductor.model.ledger_entries import Entry, JobView
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Reservation
from conductor.model.spec import to_line
from conductor.ports import Ledger
from conductor.recovery import audit


@pytest.fixture
def cli(project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line on the session's Valkey. Nothing goes on beside it: what is looked at again looks
    the same.
    """
    monkeypatch.setattr(audit, "PAUSES_S", (0.0, 0.0, 0.0))
    return Cli(project.project, capsys, monkeypatch)


@pytest.fixture(autouse=True)
def usual_logger() -> Iterator[None]:
    """Commands set the logger up for themselves."""
    yield
    logger.remove()
    logger.add(sys.stderr)


class NightScene:
    """A backlog «night» on the same Redis as `cli`, with verbs for what becomes of its jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.specs = [a_spec(n) for n in range(4)]
        self.ids = [spec.id for spec in self.specs]
        epoch = ledger.leadership.lead("studio-1", 3600)
        assert epoch is not None
        self.epoch = epoch
        self.job_class = a_class("cpu", id="c1", backlog="night", task="diagnostics.echo")
        entries = [Entry(job_id=spec.id, line=to_line(spec), job_class=self.job_class) for spec in self.specs]
        ledger.intake.put("night", entries)

    def admit(self, n: int, **more: Any) -> Reservation:
        attempt = (self.view(n).attempts) + 1
        values = {
            "attempt": attempt,
            "class_id": "c1",
            "task": "diagnostics.echo",
            "lane": "cpu",
            "cpu": 1.0,
            **more,
        }
        made = a_reservation(
            self.ids[n], **{"queue": "cpu-node1", "state": "admitted", "started_at": None, **values}
        )
        assert self.ledger.handover.admit(self.epoch, [Admission(reservation=made, backlog="night")]) == (
            None,
        )
        return made

    def start(self, n: int, **more: Any) -> Reservation:
        made = self.admit(n, **more)
        self.ledger.attempts.start(self.ids[n], made.attempt, "w1", 60)
        return made

    def fail(self, n: int, cause: Cause, message: str) -> Receipt:
        receipt = self.receipt(n, self.start(n).attempt, outcome="failed", cause=cause, message=message)
        self.ledger.attempts.fail(receipt, Dead())
        return receipt

    def finish(self, n: int) -> Receipt:
        receipt = self.receipt(n, self.start(n).attempt, outcome="ok")
        self.ledger.attempts.accept(receipt)
        return receipt

    def receipt(self, n: int, attempt: int, **more: Any) -> Receipt:
        values = {
            "v": 1,
            "job_id": self.ids[n],
            "attempt": attempt,
            "workflow": "system_test",
            "node": "node1",
        }
        times = {"started_at": 100.0, "ended_at": 112.0}
        return Receipt(**{**values, **times, "task": "diagnostics.echo", "worker": "w1", **more})

    def hold(self, *verdicts: Verdict, waiting: int = 3, **more: Any) -> None:
        values = {"class_id": "c1", "backlog": "night", "task": "diagnostics.echo", "lane": "cpu", **more}
        hold = Hold(waiting=waiting, verdicts=verdicts, **values)
        self.ledger.gate_record.record_gates(self.epoch, GateLedger(at=self.ledger.bell.now(), holds=(hold,)))

    def view(self, n: int) -> JobView:
        view = self.ledger.jobs.job(self.ids[n])
        assert view is not None
        return view


@pytest.fixture
def night(ledger: Ledger) -> NightScene:
    return NightScene(ledger)
