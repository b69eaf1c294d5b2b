"""The budgets of the APIs on both storages: what is set aside, called, told and spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from builders import a_reservation

from conductor.adapters.host.clock import SystemClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.rates.rates import LimitsRates, memory_rates, redis_rates
from conductor.base.settings.endpoint_settings import Rate
from conductor.model.calls import Budget, Call
from conductor.model.snapshot import RateState, Reservation
from conductor.ports import CallLog, Ledger

Make = Callable[..., LimitsRates]
JOB = "job-00000001"


@pytest.fixture(params=["redis", "memory"])
def side(request: pytest.FixtureRequest) -> Iterator[tuple[CallLog, Make]]:
    """The call log of a ledger, and what makes rates beside it."""
    if request.param == "memory":
        calls = memory_ledger(SystemClock()).calls
        yield calls, partial(memory_rates, calls)
        return
    from conductor.adapters.open_ledger import connect

    ledger: Ledger = request.getfixturevalue("ledger")
    with connect(request.getfixturevalue("redis_url")) as client:
        yield ledger.calls, partial(redis_rates, client, ledger.calls)


def state(rates: LimitsRates, *active: Reservation, key: str = "api") -> RateState:
    return {state.key: state for state in rates.states(time.time(), active)}[key]


def running(job_id: str = JOB, attempt: int = 1) -> Reservation:
    return a_reservation(job_id, attempt=attempt, lane="cloud", queue="cloud-node1")


def waiting(job_id: str = JOB, attempt: int = 1) -> Reservation:
    return a_reservation(job_id, attempt=attempt, lane="cloud", queue="cloud-node1", state="admitted")


def a_call(outcome: str = "ok", job_id: str = JOB, **more: object) -> Call:
    return Call(key="api", outcome=outcome, job_id=job_id, attempt=1, **more)  # type: ignore[arg-type]


def test_what_is_handed_out_counts_whole_until_it_is_called_and_then_for_one_window(
    side: tuple[CallLog, Make],
):
    rates = side[1]({"api": Rate(requests_per_min=3, tokens_per_min=100)}, window_s=1.0)
    rates.take(JOB, 1, "api", 2, 60)

    for _ in range(3):
        now = state(rates, waiting())
        assert (now.requests_left, now.requests_limit, now.tokens_left, now.tokens_limit) == (1, 3, 40, 100)
    now = state(rates, running())
    assert (now.requests_left, now.tokens_left) == (1, 40)
    assert now.resets_at is None, "its body may call whenever it likes"
    assert not now.is_learned
    began = time.time()
    side[0].tell_calls((a_call(took_s=0.2), a_call(took_s=0.2)))
    now = state(rates)
    assert now.requests_left == 1
    while (now := state(rates)).requests_left != 3:
        assert time.time() < began + 5
        time.sleep(0.01)
    # Both were sent 0.2 s before they were told of, and counted within a thirtieth of a window.
    assert time.time() - began >= 1.0 - 0.2


def test_a_body_that_starts_late_calls_in_no_window_that_is_full_without_it(side: tuple[CallLog, Make]):
    rates = side[1]({"api": Rate(requests_per_min=2)}, window_s=1.0)
    ids = [JOB, "job-00000002"]
    for job_id in ids:
        rates.take(job_id, 1, "api", 1, 0)
    began = time.time()
    while time.time() < began + 1.2:
        assert state(rates, *map(running, ids)).requests_left == 0
        time.sleep(0.05)

    side[0].tell_calls((a_call(), a_call(job_id=ids[1])))

    now = state(rates)
    assert now.requests_left == 0
    assert now.resets_at == pytest.approx(time.time() + 1.0, abs=0.2)


def test_a_stranger_on_a_configured_budget_gets_room_and_what_is_ours_grows_again(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({"api": Rate(requests_per_min=100)}, window_s=1.0)
    for n in range(50):
        rates.take(f"job-{n:08}", 1, "api", 1, 0)
    attempts.tell_calls(tuple(a_call(job_id=f"job-{n:08}") for n in range(49)))
    assert state(rates).requests_limit == 100

    attempts.tell_calls((a_call("refused", "job-00000049"),))

    now = state(rates)
    assert (now.requests_limit, now.is_learned) == (45, True), (
        "a tenth less than ours was when there was no room"
    )
    time.sleep(1.1)
    assert state(rates).requests_limit in (47, 48)


def test_an_answer_gives_back_what_was_not_used_and_takes_what_was_used_beyond(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({"api": Rate(requests_per_min=10, tokens_per_min=1000)})
    rates.take(JOB, 1, "api", 1, 600)
    rates.take("job-00000002", 1, "api", 1, 100)
    assert state(rates, running(), running("job-00000002")).tokens_left == 300

    attempts.tell_calls((a_call(tokens=50),))
    assert state(rates, running("job-00000002")).tokens_left == 850
    attempts.tell_calls((a_call(tokens=450, job_id="job-00000002"),))
    now = state(rates)
    assert (now.tokens_left, now.requests_left) == (500, 8)
    assert attempts.calls() == ()


def test_who_is_gone_without_a_word_cost_what_was_thought(side: tuple[CallLog, Make]):
    rates = side[1]({"api": Rate(requests_per_min=10, tokens_per_min=1000)})
    rates.take(JOB, 1, "api", 1, 600)
    assert state(rates, running()).tokens_left == 400
    now = state(rates)
    assert (now.tokens_left, now.requests_left) == (400, 9)


def test_what_was_handed_out_and_not_called_is_given_back(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({"api": Rate(requests_per_min=10, tokens_per_min=1000)})
    rates.take(JOB, 1, "api", 1, 600)
    rates.take("job-00000002", 1, "api", 1, 100)
    state(rates, running(), waiting("job-00000002"))

    attempts.tell_calls((a_call("uncalled"), a_call("uncalled", "job-00000002")))

    now = state(rates)
    assert (now.tokens_left, now.requests_left) == (1000, 10)


def test_a_429_closes_its_key_and_its_call_holds_no_place(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({"api": Rate(requests_per_min=10, tokens_per_min=1000)})
    rates.take(JOB, 1, "api", 1, 600)
    state(rates, running())

    attempts.tell_calls((a_call("refused", closes_for_s=30.0),))

    now = state(rates)
    assert now.closed_until == pytest.approx(time.time() + 30, abs=2)
    assert now.tokens_left == 1000
    assert attempts.refusals() == {"api": 1}


def test_a_key_nobody_configured_is_unlimited_until_a_429(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({})
    ids = [f"job-{n:08d}" for n in range(7)]
    for job_id in ids:
        rates.take(job_id, 1, "api", 1, 500)
    now = state(rates, *map(running, ids))
    assert (now.requests_left, now.tokens_left) == (None, None)

    attempts.tell_calls([a_call("refused", job_id, closes_for_s=30.0) for job_id in ids[:2]])

    now = state(rates, *map(running, ids[2:]))
    assert (now.requests_limit, now.is_learned) == (5, True)
    # The next leader knows it as well.
    assert state(rates, *map(running, ids[2:])).requests_limit == 5


def test_a_limit_that_the_server_announces_is_in_force_at_once_also_for_tokens(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({})
    rates.take(JOB, 1, "api", 1, 500)
    state(rates, running())

    said = a_call(
        tokens=400,
        requests=Budget(limit=20, remaining=19, resets_in_s=60),
        token_budget=Budget(limit=10_000, remaining=9_600, resets_in_s=6),
    )
    attempts.tell_calls((said,))

    now = state(rates)
    assert (now.requests_limit, now.requests_left, now.is_learned) == (20, 19, True)
    assert (now.tokens_limit, now.tokens_left) == (10_000, 9_600)


def test_what_others_use_of_the_same_budget_closes_the_gate_before_the_next_hand_over(
    side: tuple[CallLog, Make],
):
    attempts, make = side
    rates = make({"api": Rate(requests_per_min=20, tokens_per_min=1000)})
    rates.take(JOB, 1, "api", 1, 0)
    state(rates, running())

    empty = Budget(limit=20, remaining=0, resets_in_s=60)
    attempts.tell_calls(
        (a_call(requests=empty, token_budget=Budget(limit=1000, remaining=10, resets_in_s=60)),)
    )

    now = state(rates)
    assert now.requests_left == 0
    assert now.tokens_left == 10


def test_money_is_set_aside_as_thought_and_spent_as_told(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({"api": Rate(usd_per_day=1.0)}, prices={"api": 0.001})
    rates.take(JOB, 1, "api", 1, 400)
    now = state(rates, running())
    assert (now.usd_limit, now.usd_left) == (1.0, pytest.approx(0.6))

    attempts.tell_calls((a_call(tokens=300, usd=0.06),))

    now = state(rates)
    assert now.usd_left == pytest.approx(0.94)
    assert now.usd_per_token == pytest.approx(0.0002), "as it was lately, not the dearest"
    assert now.usd_reset_at is not None
    assert 24 * 3600 <= now.usd_reset_at - time.time() <= 25 * 3600


def test_a_redis_that_was_emptied_learns_from_receipts_what_was_spent(side: tuple[CallLog, Make]):
    _, make = side
    hour = int(time.time() // 3600)
    read: list[int] = []

    def past() -> dict[tuple[str, int], int]:
        read.append(1)
        return {("api", hour - 3): 700_000, ("api", hour - 30): 999_000}

    rates = make({"api": Rate(usd_per_day=1.0)}, past=past)

    assert [state(rates).usd_left for _ in range(3)] == pytest.approx([0.3] * 3)
    assert read == [1], "receipts are read once"


def test_what_was_told_is_counted_once_and_then_forgotten(side: tuple[CallLog, Make]):
    attempts, make = side
    rates = make({"api": Rate(usd_per_day=1.0)})
    attempts.tell_calls((a_call(usd=0.25),))
    assert [call.usd for call in attempts.calls()] == [0.25]
    assert state(rates).usd_left == pytest.approx(0.75)
    assert state(rates).usd_left == pytest.approx(0.75)


def test_a_new_leader_goes_on_with_what_the_old_one_handed_out(ledger: Ledger, redis_url: str):
    from conductor.adapters.open_ledger import connect

    with connect(redis_url) as one, connect(redis_url) as two:
        budgets = {"api": Rate(requests_per_min=3)}
        old, new = (redis_rates(client, ledger.calls, budgets) for client in (one, two))
        old.take(JOB, 1, "api", 1, 0)
        state(old, running())
        old.take("job-00000002", 1, "api", 1, 0)
        assert state(new, running(), waiting("job-00000002")).requests_left == 1
