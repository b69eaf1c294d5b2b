"""The budgets of the APIs, on the `limits` library: a log of calls, what is handed out beyond it, what
answers taught.

Counted by a moving window, not by the library's sliding counter: the counter takes the previous window for
evenly filled, and after a burst at its end lets up to half as much again through, which the API answers with
429s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from conductor.adapters.rates.budget_log import WINDOW_S, BudgetLog, Past, WindowLog
from conductor.adapters.rates.budget_states import RateLook
from conductor.adapters.rates.rate_store import (
    BudgetShare,
    Changes,
    KeyMemory,
    MemoryRateStore,
    RateStore,
    RedisRateStore,
    taken_field,
)
from conductor.base.settings.endpoint_settings import Rate
from conductor.model.snapshot import RateState, Reservation, cost_of
from conductor.ports import CallLog, Clock

if TYPE_CHECKING:
    from redis import Redis


class LimitsRates(BudgetLog):
    """`Rates` for the leader: it alone takes, logs and learns; workers only tell what came of a call.

    Against a configured limit what is handed out counts whole until it is told of, however slowly a body
    starts, and then for one window from its call (`core.rates.quota`). A limit that nobody configured is
    learned from a log of what began. Tokens and money count as estimated until the answer says what they
    were.
    """

    def __init__(
        self,
        log: WindowLog,
        store: RateStore,
        calls: CallLog,
        budgets: Mapping[str, Rate],
        clock: Clock,
        *,
        window_s: float = WINDOW_S,
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
        prices: Mapping[str, float] | None = None,
        past: Past | None = None,
    ) -> None:
        """`guard` translates the storage's errors. The others are those of `BudgetLog`."""
        super().__init__(log, budgets, clock, window_s=window_s, prices=prices, past=past)
        self._store = store
        self._calls = calls
        self._guard = guard
        #: As of the last look: what a call costs is not asked again for each that is handed over.
        self._memories: Mapping[str, KeyMemory] = {}

    # ── the port ──────────────────────────────────────────────────────────────────────────────────────────

    def states(self, now: float, active: Sequence[Reservation] | None = None) -> tuple[RateState, ...]:
        """The budgets at this instant, after what workers told since the last call.

        `active`: every reservation there is, read before this call; None: not known, nothing is taken for
        started."""
        calls, closings, endpoint_faults = (
            self._calls.calls(),
            self._calls.closings(),
            self._calls.endpoint_faults(),
        )
        with self._guard():
            look = RateLook(self, self._store.load(), closings, endpoint_faults, now)
            look.recover()
            look.settle(calls)
            if active is not None:
                look.follow(active)
            states = look.states()
            self._store.save(look.changes)
            self._memories = look.memories
        # Last: a kill before it counts these calls twice, the other order would forget what they cost.
        if calls:
            self._calls.forget_calls(len(calls))
        return states

    def take(self, job_id: str, attempt: int, key: str, requests: int, tokens: int) -> None:
        """Set aside, before it is handed over, what one attempt may use of a budget."""
        with self._guard():
            memory = self._memories.get(key, KeyMemory())
            usd = cost_of(*self.costs(key, memory), requests, tokens)
            taken = BudgetShare(
                key=key, job_id=job_id, attempt=attempt, requests=requests, tokens=tokens, usd=usd
            )
            self._store.save(Changes(taken={taken_field(job_id, attempt, key): taken}))


def redis_rates(
    client: Redis,
    calls: CallLog,
    budgets: Mapping[str, Rate],
    *,
    window_s: float = WINDOW_S,
    prices: Mapping[str, float] | None = None,
    past: Past | None = None,
) -> LimitsRates:
    """On the same Redis as the ledger, so that a new leader goes on with what the old one handed out."""
    from limits.storage import RedisStorage

    from conductor.adapters.host.clock import SystemClock
    from conductor.adapters.redis.calls import RedisCallLog
    from conductor.adapters.redis.client import translating
    from conductor.adapters.redis.scripts import Scripts

    scripts = calls.scripts if isinstance(calls, RedisCallLog) else Scripts(client)
    storage = RedisStorage(
        "redis://", connection_pool=client.connection_pool, key_prefix=scripts.keys.rate_log
    )
    return LimitsRates(
        storage,
        RedisRateStore(client, scripts),
        calls,
        budgets,
        SystemClock(),
        window_s=window_s,
        guard=lambda: translating(client),
        prices=prices,
        past=past,
    )


def memory_rates(
    calls: CallLog,
    budgets: Mapping[str, Rate],
    *,
    window_s: float = WINDOW_S,
    prices: Mapping[str, float] | None = None,
    past: Past | None = None,
) -> LimitsRates:
    """The twin without Redis, for tests and one-process runs."""
    from limits.storage import MemoryStorage

    from conductor.adapters.host.clock import SystemClock

    store = MemoryRateStore()
    return LimitsRates(
        MemoryStorage(), store, calls, budgets, SystemClock(), window_s=window_s, prices=prices, past=past
    )
