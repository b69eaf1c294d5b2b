"""Redis fails over: the leader notes it, and one sentence tells of it in the log and in status."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from conductor.adapters.memory import memory_ledger
from conductor.base.logs import events
from conductor.model.served_by import ServedBy
from conductor.recovery.failover_words import failover_words
from conductor.recovery.lost_writes import Settler
from conductor.views.status import gather
from tests.ledger_scenes import an_entry

BEFORE, NOW = "mymaster (10.0.0.1:6379)", "mymaster (10.0.0.2:6379)"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"took_s": 3.21}, "within 3.2 s: nothing is missing"),
        (
            {"went_back": 1, "floor": 100},
            f"to {NOW}: 1 attempt went back to the backlog, new attempts are numbered from 101",
        ),
        (
            {"told_again": 12, "silent": 1, "floor": 200},
            "0 attempts went back to the backlog, jobs and words said again that were forgotten: 12, "
            "1 worker kept silent, new attempts are numbered from 201",
        ),
    ],
)
def test_the_sentence(more: dict[str, float], words: str) -> None:
    said = failover_words(ServedBy(server=NOW, before=BEFORE, at=0.0, **more))  # type: ignore[arg-type]
    assert said.startswith(f"Redis failed over from {BEFORE} to {NOW}") and said.endswith(words)


def test_the_leader_notes_the_server_and_tells_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = memory_ledger()
    said: list[tuple[str, str]] = []

    def hear(event: str, message: str, _: object) -> None:
        said.append((event, message))

    monkeypatch.setattr(events, "_hearers", [hear])
    monkeypatch.setattr(ledger.identity, "server", lambda: BEFORE)
    settler = Settler(ledger, None, 1.0)
    settler.whole()
    assert ledger.identity.served_by() is not None and said == []
    assert gather(ledger).notes == ()

    ledger.intake.put("night", [an_entry("a")])
    monkeypatch.setattr(ledger.identity, "server", lambda: NOW)
    ledger.leadership._store.history.server += 1  # type: ignore[attr-defined]
    epoch = ledger.leadership.lead("conductor-1", 60.0)
    assert epoch is not None and settler.reason(epoch) == ""

    ((event, message),) = said
    assert event == "redis.failed_over" and f"from {BEFORE} to {NOW} within 0.0 s" in message
    assert message in notes_of(gather(ledger).notes)


def notes_of(notes: Sequence[str]) -> list[str]:
    """Without the moments."""
    return [note.partition(": ")[2] for note in notes]
