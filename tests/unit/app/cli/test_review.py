"""Kinds that are held back and jobs in review: shown, explained, tried and sent back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from cli_tools import Cli

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

KIND = "diagnostics.echo"


@pytest.fixture
def closed(night: NightScene) -> NightScene:
    """One job failed and closed its kind; what waited lies in review."""
    from conductor.model.failure_outcome import Retry
    from conductor.model.ledger_entries import Entry

    # A class of a kind, in a backlog of its own.
    from conductor.model.spec import to_line

    job_class = msgspec.structs.replace(night.job_class, id="c2", backlog="kinds", kind=KIND)
    for n, spec in enumerate(night.specs):
        named = msgspec.structs.replace(spec, id=f"kind{n}{spec.id[5:]}")
        entry = Entry(job_id=named.id, line=to_line(named), job_class=job_class)
        night.ledger.intake.put("kinds", [entry])
        night.ids[n] = named.id
    held = night.start(0, class_id="c2", kind=KIND, code="v1", breaker=1)
    receipt = night.receipt(0, held.attempt, outcome="failed", cause="task_error", message="KeyError: 'fps'")
    night.ledger.attempts.fail(receipt, Retry(delay_s=3600))
    assert night.ledger.kinds.review(night.epoch, KIND, 100) == 4
    return night


def test_status_says_what_fails_alike_and_since_when(cli: Cli, closed: NightScene):
    out = cli("status").out
    assert "failing alike (`conductor resume KIND` tries a closed one at once):" in out
    assert "diagnostics.echo (v1): closed for " in out
    assert ": 1 × task_error: KeyError: 'fps'" in out
    (kind,) = cli("status", "--json").json["kinds"]
    assert (kind["kind"], kind["failed"], kind["probes"]) == (KIND, 1, 0)


def test_explain_says_why_a_job_is_in_review_and_what_to_do(cli: Cli, closed: NightScene):
    out = cli("explain", closed.ids[2]).out
    assert "in review: 1 of diagnostics.echo failed alike (task_error: KeyError: 'fps'): fix it, then" in out
    assert "`conductor retry --cause review`" in out


def test_resume_makes_the_next_try_due_and_knows_what_it_is_asked(cli: Cli, closed: NightScene):
    all_aside = "nothing of it may go now, so none is tried; 4 jobs of it lie in review"
    assert cli("resume", KIND).out.startswith(
        f"diagnostics.echo: {all_aside}: `conductor retry --cause review`"
    )
    assert closed.ledger.kinds.states()[0][0].last_at == 0
    assert cli("retry", closed.ids[1]).code == 0
    assert cli("resume", KIND, "--json").json["waiting"] == 1
    assert "one job of it is tried at once; 3 jobs of it lie in review" in cli("resume", KIND).out
    ended = cli("resume", "diagnostics.ecko")
    assert ended.code == 2
    assert "did you mean diagnostics.echo?" in ended.err


def test_retry_of_the_cause_review_sends_all_back_and_lets_one_try_at_once(cli: Cli, closed: NightScene):
    assert cli("retry", "--cause", "review").out == "4 jobs are waiting again\n"
    assert [closed.view(n).state for n in range(4)] == ["waiting"] * 4
    assert closed.ledger.kinds.states()[0][0].last_at == 0


def test_one_job_in_review_can_be_sent_back_or_cancelled(cli: Cli, closed: NightScene):
    assert cli("retry", closed.ids[1]).out == "1 job is waiting again\n"
    assert (
        cli("cancel", closed.ids[2]).out
        == f"diagnostics.echo ({closed.ids[2][:8]}): was review, is cancelled\n"
    )
    assert cli("requeue", closed.ids[3]).code == 1
    assert [closed.view(n).state for n in range(4)] == ["review", "waiting", "cancelled", "review"]
