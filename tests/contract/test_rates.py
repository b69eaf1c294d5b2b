"""The budgets on both storages, and against servers that count differently, in simulated time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from builders import a_candidate, a_class, a_report, a_reservation

from conductor.adapters.clock import ManualClock, SystemClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.rates import LimitsRates, MemoryLearned, memory_rates, redis_rates
from conductor.core.admission import decide
from conductor.core.rates import Learned, after_look, after_refusals, in_force
from conductor.model.limits import Limits
from conductor.model.snapshot import RateState, Snapshot
from conductor.ports import Attempts, Ledger
from conductor.settings import Rate

Make = Callable[..., LimitsRates]


@pytest.fixture(params=["redis", "memory"])
def side(request: pytest.FixtureRequest) -> Iterator[tuple[Attempts, Make]]:
    """The attempts of a ledger, and what makes rates beside it."""
    if request.param == "memory":
        attempts = memory_ledger(SystemClock()).attempts
        yield attempts, lambda budgets, window_s: memory_rates(attempts, budgets, window_s=window_s)
        return
    from conductor.wiring import connect

    ledger: Ledger = request.getfixturevalue("ledger")
    with connect(request.getfixturevalue("redis_url")) as client:
        yield (
            ledger.attempts,
            lambda budgets, window_s: redis_rates(client, ledger.attempts, budgets, window_s=window_s),
        )


def state(rates: LimitsRates, key: str = "api") -> RateState:
    return {state.key: state for state in rates.states(time.time())}[key]


def test_what_is_taken_is_gone_until_the_window_has_passed(side: tuple[Attempts, Make]) -> None:
    rates = side[1]({"api": Rate(requests_per_min=3, tokens_per_min=100)}, 1.0)

    began = time.time()
    rates.take("api", 1, 40)
    rates.take("api", 2, 60)

    now = state(rates)
    assert (now.requests_left, now.requests_limit, now.tokens_left, now.tokens_limit) == (0, 3, 0, 100)
    assert now.resets_at == pytest.approx(began + 1.05, abs=0.2)
    assert not now.is_learned
    while (now := state(rates)).requests_left != 3:
        assert time.time() < began + 5
        time.sleep(0.01)
    assert time.time() - began >= 1.0
    assert now.tokens_left == 100


def test_a_burst_at_the_end_of_a_window_is_not_forgotten_at_its_edge(side: tuple[Attempts, Make]) -> None:
    rates = side[1]({"api": Rate(requests_per_min=10)}, 1.0)
    granted: list[float] = []
    until = time.time() + 2.5

    while time.time() < until:
        # Idle, then a burst, across the edges at which a counter of fixed windows starts anew.
        if (state(rates).requests_left or 0) > 0 and time.time() % 1 > 0.6:
            rates.take("api", 1, 0)
            granted.append(time.time())
        time.sleep(0.005)

    assert len(granted) > 10
    assert all(later - earlier >= 1.0 for earlier, later in zip(granted, granted[10:], strict=False))


def test_a_key_nobody_configured_is_unlimited_until_a_429(side: tuple[Attempts, Make]) -> None:
    attempts, make = side
    rates = make({}, 60.0)
    for _ in range(7):
        rates.take("api", 1, 500)
    assert rates.states(time.time()) == ()

    attempts.close_rate("api", 30)
    attempts.close_rate("api", 30)

    now = state(rates)
    assert (now.requests_limit, now.requests_left, now.is_learned) == (5, -2, True)
    assert now.closed_until == pytest.approx(time.time() + 30, abs=2)
    # The next leader knows it as well.
    assert state(rates).requests_limit == 5


def test_a_new_leader_goes_on_with_what_the_old_one_took(ledger: Ledger, redis_url: str) -> None:
    from conductor.wiring import connect

    with connect(redis_url) as one, connect(redis_url) as two:
        budgets = {"api": Rate(requests_per_min=3)}
        redis_rates(one, ledger.attempts, budgets).take("api", 2, 0)
        assert state(redis_rates(two, ledger.attempts, budgets)).requests_left == 1


# ── what a 429 teaches ────────────────────────────────────────────────────────────────────────────────────


def test_refusals_that_trickle_in_lower_the_figure_one_by_one() -> None:
    learned = after_refusals(Learned(), 1, granted=37, now=100, window_s=60)
    assert learned.limit == 36
    learned = after_refusals(learned, 7, granted=37, now=103, window_s=60)
    assert learned.limit == 30
    assert in_force(learned, None) == 30
    assert in_force(learned, 20) == 20


def test_one_hiccup_does_not_take_more_than_half() -> None:
    assert after_refusals(Learned(limit=30, seen=5), 6, granted=3, now=1000, window_s=60).limit == 15


def test_probes_go_up_by_little_and_get_rarer_when_refused() -> None:
    learned = after_refusals(Learned(), 1, granted=31, now=0, window_s=60)
    idle = after_look(learned, left=9, configured=None, now=61, window_s=60)
    assert idle.limit == 30  # never used up: nothing to be learned

    probing = after_look(learned, left=0, configured=None, now=61, window_s=60)
    assert (probing.limit, probing.is_probing) == (31, True)
    refused = after_refusals(probing, 2, granted=31, now=70, window_s=60)
    assert (refused.limit, refused.patience) == (30, 2)
    assert after_look(refused, left=0, configured=None, now=140, window_s=60).limit == 30
    assert after_look(refused, left=0, configured=None, now=191, window_s=60).limit == 31


def test_a_configured_budget_is_never_exceeded_by_probing() -> None:
    learned = Learned(limit=30, seen=1)
    assert after_look(learned, left=0, configured=30, now=1e6, window_s=60) == learned


# ── against servers ───────────────────────────────────────────────────────────────────────────────────────


class Log:
    """The moving window of `limits`, on a clock moved by hand."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._entries: dict[str, list[float]] = {}

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self._entries.setdefault(key, []).extend([self._clock.now()] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: float) -> tuple[float, int]:
        inside = [at for at in self._entries.get(key, []) if at >= self._clock.now() - expiry]
        return (inside[0] if inside else self._clock.now()), len(inside)


class Sliding:
    """Allows so many in any 60 s."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.accepted: list[float] = []

    def ask(self, now: float) -> float | None:
        """None when accepted, else Retry-After."""
        recent = [at for at in self.accepted if at > now - 60]
        if len(recent) >= self.limit:
            return recent[-self.limit] + 60 - now
        self.accepted.append(now)
        return None


class Fixed(Sliding):
    """Allows so many from one full minute to the next."""

    def ask(self, now: float) -> float | None:
        start = now // 60 * 60
        if sum(at >= start for at in self.accepted) >= self.limit:
            return start + 60 - now
        self.accepted.append(now)
        return None


def serve(server: Sliding, jobs: int, workers: int, call_s: float, budgets: dict[str, Rate]) -> tuple[int, float]:
    """`jobs` calls through decide, rates and workers in simulated time. The 429s, and the seconds it took."""
    clock = ManualClock(1_700_000_017.0)
    ledger = memory_ledger(clock)
    rates = LimitsRates(Log(clock), MemoryLearned(), ledger.attempts, budgets, clock)
    job_class = a_class("cloud", rates={"api": (1, 0)})
    waiting, queued, done, refused, began = jobs, 0, 0, 0, clock.now()
    busy: list[tuple[float, bool]] = []
    while done < jobs:
        now = clock.now()
        while busy and busy[0][0] <= now:
            is_done = heapq.heappop(busy)[1]
            done, waiting = done + is_done, waiting + (not is_done)
        report = a_report(sent_at=now, workers=workers)
        running = tuple(a_reservation(f"run-{i:08d}", lane="cloud", queue="cloud-node1") for i in range(len(busy)))
        snapshot = Snapshot(now=now, nodes=(report,), reservations=running, queued={"cloud-node1": queued},
                            rates=rates.states(now))  # fmt: skip
        for admission in decide(snapshot, [a_candidate(job_class, waiting=waiting)] if waiting else [], Limits()).admit:
            rates.take("api", *admission.rates["api"])
            queued, waiting = queued + 1, waiting - 1
        while queued and len(busy) < workers:
            queued -= 1
            retry_after = server.ask(now)
            if retry_after is not None:
                refused += 1
                ledger.attempts.close_rate("api", retry_after)
            heapq.heappush(busy, (now + (call_s if retry_after is None else 0.02), retry_after is None))
        clock.advance(0.1)
        assert now - began < 3600, "it got stuck"
    return refused, clock.now() - began


@pytest.mark.parametrize("server", [Sliding, Fixed])
@pytest.mark.parametrize(("workers", "call_s"), [(1, 0.2), (2, 0.5), (4, 3.0)])
def test_an_unknown_limit_costs_a_handful_of_429s(server: type[Sliding], workers: int, call_s: float) -> None:
    refused, seconds = serve(server(30), 90, workers, call_s, {})

    assert refused <= 8
    assert seconds < 90 / 30 * 60 * 1.25


@pytest.mark.parametrize("server", [Sliding, Fixed])
@pytest.mark.parametrize(("workers", "call_s"), [(1, 0.2), (2, 0.5), (4, 3.0)])
def test_a_configured_limit_costs_next_to_none(server: type[Sliding], workers: int, call_s: float) -> None:
    refused, seconds = serve(server(30), 90, workers, call_s, {"api": Rate(requests_per_min=30)})

    assert refused <= 2
    assert seconds < 90 / 30 * 60 * 1.1


def test_a_limit_that_is_lower_than_configured_is_learned() -> None:
    refused, _ = serve(Sliding(20), 100, 2, 0.5, {"api": Rate(requests_per_min=30)})

    assert refused <= 12


def test_grants_are_never_denser_than_the_limit() -> None:
    server = Sliding(10_000)
    serve(server, 100, 4, 0.3, {"api": Rate(requests_per_min=30)})

    assert all(b - a >= 0 for a, b in pairwise(server.accepted))
    assert all(later - earlier > 59 for earlier, later in zip(server.accepted, server.accepted[30:], strict=False))
