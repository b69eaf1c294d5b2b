"""Receipts of a host whose clock is off carry the ledger's time."""

from __future__ import annotations

import time

import pytest

from workers.attempt.ledger_time import LedgerTime


@pytest.mark.parametrize("ahead_s", [-7_200.0, 2 * 86_400.0])
def test_a_clock_that_is_hours_off_is_known_by_the_ledgers_word(ahead_s: float) -> None:
    heard = LedgerTime(time.time() - ahead_s)

    assert heard.ahead_s() == pytest.approx(ahead_s, abs=1.0)


def test_an_answer_that_was_long_on_its_way_does_not_move_a_good_clock() -> None:
    assert LedgerTime(time.time() - 30.0).ahead_s() == 0.0


def test_a_clock_that_is_set_meanwhile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, real = LedgerTime(time.time()), time.time

    monkeypatch.setattr(time, "time", lambda: real() + 3_600)

    assert heard.ahead_s() == pytest.approx(3_600, abs=1.0)
