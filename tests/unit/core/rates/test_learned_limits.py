"""What answers teach about an API's limit, how fast calls may go, what others use, and what money is left."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.core.rates import spending
from conductor.core.rates.headers import elsewhere, per_window
from conductor.core.rates.learned_limits import (
    EARNED,
    KeyReading,
    LearnedRate,
    after_look,
    in_force,
    window_of,
)
from conductor.core.rates.pacing import Windows, part_of, room
from conductor.model.calls import Budget, Call

NOW = 1_700_000_000.0
MINUTE = 60.0


def a_look(at: float = NOW, **more: Any) -> KeyReading:
    return KeyReading(now=at, window_s=MINUTE, **more)


def known(limit: int = 60, **more: Any) -> LearnedRate:
    return LearnedRate(limit=limit, **more)


# ── the limit ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_429_tells_the_limit_by_what_the_window_holds():
    after = after_look(LearnedRate(), a_look(refused=1, held=37, unsure=3), None)
    assert (after.limit, in_force(after, None), in_force(after, 20)) == (37, 37, 20)
    assert after.earned == LearnedRate().earned, "what was not known costs nothing"


def test_of_one_burst_each_further_429_takes_its_call_off_the_limit():
    after = after_look(LearnedRate(), a_look(refused=1, held=37), None)
    after = after_look(after, a_look(NOW + 1, refused=4, held=33), None)
    assert after.limit == 33


def test_one_burst_takes_three_quarters_at_most():
    assert after_look(known(), a_look(refused=1, held=2), None).limit == 15


def test_after_a_burst_the_first_call_that_is_accepted_tells_the_limit():
    """A window that slides is full for a while after the limit fell: what it held at the 429 says nothing."""
    after = after_look(known(100), a_look(refused=1, held=100, closed_until=NOW + 36), None)
    assert (after.limit, after.is_doubted) == (99, True)
    closed = after_look(after, a_look(NOW + 30, held=50, closed_until=NOW + 36), None)
    assert closed == after
    called = after_look(after, a_look(NOW + 36.1, held=40, unsure=1, closed_until=NOW + 36), None)
    assert (called.doubt_held, called.limit) == (40, 99)
    accepted = after_look(called, a_look(NOW + 38.2, held=39), None)
    assert (accepted.sure, accepted.is_doubted) == (40, False)


def test_a_probe_needs_an_earned_429_and_a_limit_that_is_used_up():
    assert after_look(known(earned=0.5), a_look(is_wanted=True, held=60), None).limit == 60
    assert after_look(known(earned=1.5), a_look(held=30), None).limit == 60
    probing = after_look(known(earned=1.5), a_look(is_wanted=True, held=60), None)
    assert (probing.limit, probing.sure) == (61, 60)
    earned = after_look(known(earned=0.0), a_look(accepted=100), None).earned
    assert earned == pytest.approx(100 * EARNED)


def test_a_probe_that_holds_goes_on_by_larger_steps_and_one_that_fails_goes_back():
    known_60, looks = known(earned=1.5), [(0, 60), (1, 61), (3.1, 61), (4, 63), (6.1, 63), (7, 67), (9.1, 67)]
    limits: list[int | None] = []
    for at, held in looks:
        known_60 = after_look(known_60, a_look(NOW + at, is_wanted=held == 60, held=held), None)
        limits.append(known_60.limit)
    assert limits == [61, 61, 63, 63, 67, 67, 75], "a step waits until a 429 would have come"
    failed = after_look(known_60, a_look(NOW + 10, refused=1, held=71, closed_until=NOW + 11), None)
    assert (failed.limit, failed.sure) == (70, None)
    assert failed.earned < 1


def test_a_step_of_one_that_fails_leaves_the_limit_as_it_was():
    """Our window is a little wider than the server's: one more in it proves nothing."""
    probing = known(61, sure=61, base=60, step=1, earned=1.5)
    assert after_look(probing, a_look(refused=1, held=62, closed_until=NOW + 1), None).limit == 60


def test_a_probe_ends_also_while_calls_go_on_without_a_pause():
    probing = after_look(known(earned=1.5), a_look(is_wanted=True, held=60), None)
    for second in range(1, 5):
        probing = after_look(probing, a_look(NOW + second, held=61, unsure=3), None)
    assert probing.sure == 61


def test_429s_that_soon_pass_and_come_again_lower_the_limit_in_larger_steps():
    chained = known(100, last_refused=NOW - 2, chain_since=NOW - 12, chain_bursts=2, chain_accepted=16)
    after = after_look(chained, a_look(refused=1, held=98, closed_until=NOW + 1), None)
    assert (after.limit, after.is_doubted) == (95, False)


def test_the_first_burst_of_all_costs_nothing_of_what_is_earned():
    first = after_look(LearnedRate(), a_look(refused=1, held=37), None)
    assert after_look(first, a_look(NOW + 1, refused=9, held=30), None).earned == LearnedRate().earned


def test_a_configured_budget_is_never_exceeded_by_probing():
    learned = known(30)
    assert after_look(learned, a_look(is_wanted=True, held=30), 30) == learned
    probing = after_look(known(29), a_look(is_wanted=True, held=29), 30)
    assert after_look(probing, a_look(NOW + 9, held=30), 30).limit == 30


def test_what_a_server_announces_is_believed_at_once_and_not_probed():
    said = after_look(known(60, sure=59), a_look(announced=200, is_wanted=True), None)
    assert (said.limit, said.is_announced, said.sure) == (200, True, None)
    lower = after_look(said, a_look(NOW + 1, announced=20, refused=3, held=60), None)
    assert lower.limit == 20


def test_windows_that_always_end_at_the_same_second_are_the_servers_own():
    learned = known(60)
    for minute in range(3):
        at = NOW + 60 * minute
        learned = after_look(learned, a_look(at, refused=1, held=60, closed_until=at + 20), None)
    assert learned.is_fixed
    assert window_of(learned, NOW + 200 + 5, MINUTE) == pytest.approx(5)
    elsewhere = after_look(learned, a_look(NOW + 250, refused=1, held=60, closed_until=NOW + 267), None)
    assert not elsewhere.is_fixed
    assert elsewhere.edges_needed > learned.edges_needed
    assert window_of(elsewhere, NOW, MINUTE) == MINUTE


# ── the pace ──────────────────────────────────────────────────────────────────────────────────────────────


def windows(**more: Any) -> Windows:
    return Windows(window_s=MINUTE, width_s=MINUTE, **more)


def test_a_configured_limit_may_go_in_one_burst():
    assert room(60, LearnedRate(), windows(), 0, NOW) == (60, None)
    assert room(60, LearnedRate(), windows(called=50, waiting=10, oldest=NOW - 20), 0, NOW) == (0, NOW + 40)
    assert room(60, LearnedRate(), windows(called=50), 7, NOW)[0] == 3
    assert room(None, LearnedRate(), windows(called=50), 0, NOW) == (None, None)


def test_a_limit_that_429s_taught_goes_at_a_pace():
    left, opens_at = room(
        60, known(), windows(called=30, lately=7, oldest=NOW - 50, lately_oldest=NOW - 4), 0, NOW
    )
    assert (left, opens_at) == (0, pytest.approx(NOW - 1.6))
    assert room(60, known(), windows(called=30, lately=1, oldest=NOW - 50, lately_oldest=NOW), 0, NOW)[0] == 2
    faster = room(60, known(sure=50, step=4), windows(called=30, lately=0), 0, NOW)
    assert faster[0] == 3
    assert part_of(60, known(), MINUTE) == pytest.approx(2.4)
    assert part_of(60, known(sure=50, step=4), MINUTE) == 1.0


def test_a_limit_in_doubt_goes_one_by_one():
    doubted = known(is_doubted=True)
    assert room(60, doubted, windows(), 0, NOW)[0] == 1
    assert room(60, doubted, windows(called=1, unsure=1), 0, NOW)[0] == 0


# ── what servers say ──────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_of_another_window_is_brought_to_ours_and_a_days_budget_is_not():
    assert per_window([Budget(limit=10, window_s=10)], MINUTE) == 60
    assert per_window([Budget(limit=60), Budget(limit=50, resets_in_s=60)], MINUTE) == 50
    assert per_window([Budget(limit=200, resets_in_s=432)], MINUTE) is None
    assert per_window([Budget(limit=200, window_s=86_400)], MINUTE) is None


def test_what_others_use_is_what_is_gone_beyond_ours():
    assert elsewhere(Budget(limit=60, remaining=20, resets_in_s=30), 35, MINUTE) == (5, 30)
    assert elsewhere(Budget(limit=60, remaining=40), 35, MINUTE) == (0, MINUTE)
    assert elsewhere(Budget(limit=60), 35, MINUTE) is None
    gone = elsewhere(Budget(limit=200, remaining=0, resets_in_s=3600), 35, MINUTE)
    assert gone is not None
    assert gone[0] > 10**6
    assert gone[1] == 3600


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_is_the_last_24_hours_and_at_most_one_more():
    spent: dict[tuple[str, int], int] = {}
    spending.charge(spent, "api", NOW, 2.0)
    spending.charge(spent, "other", NOW, 9.0)
    for hours, left in ((0, 3.0), (24, 3.0), (25.1, 5.0)):
        assert spending.left(5.0, spent, "api", 0.0, NOW + hours * 3600)[0] == pytest.approx(left)
    assert spending.left(5.0, spent, "api", 1.5, NOW)[0] == pytest.approx(1.5)
    assert spending.stale(spent, NOW + 26 * 3600) == list(spent)
    assert spending.left(None, spent, "api", 0.0, NOW) == (None, None)


def test_what_an_answer_does_not_say_is_as_it_was_thought():
    ok, silent = Call(key="api", outcome="ok", tokens=10, usd=0.1), Call(key="api", outcome="ok")
    assert spending.used([ok], 500, 5.0) == (10, 0.1)
    assert spending.used([silent], 500, 5.0) == (500, 5.0)
    assert spending.used([], 500, 5.0) == (500, 5.0)
    assert spending.used([Call(key="api", outcome="refused")], 500, 5.0) == (0, 0.0)
    assert spending.averages(0.0, 0.0, [ok, silent]) == (pytest.approx(0.01), 0.1)
