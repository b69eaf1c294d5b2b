"""Alerts over Redis and over the twin: one speaks at a time, the book outlives it, silences run out."""

from __future__ import annotations

from ledger_scenes import LedgerScene

from conductor.model.alerts import Alert, AlertBook, ChannelTally

BOOK = AlertBook(
    at=7.0,
    speaker="node1",
    alerts=(
        Alert(
            rule="nas-gone",
            subject="node1/nas",
            level="urgent",
            words="the root nas is gone",
            figures={"age_s": 2.5},
            runbook="nas-gone.md",
            since=1.0,
            last_at=6.0,
            raised_at=5.0,
            told_at=5.5,
            times=1,
        ),
    ),
    seen={"node1": 6.5},
    channels={"ALERT_MAIL": ChannelTally(sent=3, failed=1, fault="refused")},
)


def test_one_speaks_at_a_time_and_another_when_it_has_fallen_silent(scene: LedgerScene) -> None:
    alerts = scene.ledger.alerts
    assert alerts.speak("node1", 3600) and alerts.speak("node1", 0.05)
    assert not alerts.speak("node2", 3600)
    scene.let(0.06)
    assert alerts.speak("node2", 3600)
    assert not alerts.speak("node1", 3600)


def test_only_ones_own_lease_can_be_given_back(scene: LedgerScene) -> None:
    alerts = scene.ledger.alerts
    assert alerts.speak("node1", 3600)
    alerts.hush("node2")
    assert not alerts.speak("node2", 3600)
    alerts.hush("node1")
    assert alerts.speak("node2", 3600)


def test_the_book_is_the_speakers_and_stays_when_that_is_gone(scene: LedgerScene) -> None:
    alerts = scene.ledger.alerts
    assert alerts.book() == AlertBook()
    assert not alerts.record("node1", BOOK), "who has no lease writes nothing"
    assert alerts.speak("node1", 3600)
    assert alerts.record("node1", BOOK)
    alerts.hush("node1")
    assert alerts.speak("node2", 3600)
    assert not alerts.record("node1", AlertBook(at=9.0)), "it woke too late"
    assert alerts.book() == BOOK


def test_a_silence_runs_out_and_can_be_taken_back(scene: LedgerScene) -> None:
    alerts, now = scene.ledger.alerts, scene.ledger.bell.now()
    until = alerts.silence("nas-gone", 7200)
    assert now + 7199 < until < now + 7260
    alerts.silence("failures", 0.02)
    scene.let(0.03)
    assert alerts.silenced() == {"nas-gone": until}
    alerts.silence("nas-gone", 0)
    assert alerts.silenced() == {}
