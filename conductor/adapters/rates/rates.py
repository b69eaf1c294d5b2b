"""The budgets of the APIs, on the `limits` library: a log of calls, what is handed out beyond it, what
answers taught.

Counted by a moving window, not by the library's sliding counter: the counter takes the previous window for
evenly filled, and after a burst at its end lets up to half as much again through, which the API answers with
429s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

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
from conductor.base.settings.sections import Rate
from conductor.core.rates.learned_limits import LearnedRate, in_force, refused_within, window_of
from conductor.core.rates.pacing import Windows, part_of
from conductor.model.snapshot import RateState, Reservation, cost_of
from conductor.ports import CallLog, Clock

if TYPE_CHECKING:
    from redis import Redis

WINDOW_S = 60.0
#: From the start of an attempt to the server's own stamp differs from call to call: a call counts so much
#: longer.
SLACK = 1.005
#: Entries kept per key. A token budget is counted in units, so that it needs no more.
MOST_ENTRIES = 20_000
TOKEN_UNITS = 10_000
#: Of a budget that only the server knows.
ANNOUNCED_UNIT = 100

_UNKNOWN = Rate()


class WindowLog(Protocol):
    """What is used of a storage of `limits`."""

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool: ...

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]: ...


#: (rate key, hour, micro-dollars) that receipts tell of, for a Redis that forgot what was spent.
Past = Callable[[], Mapping[tuple[str, int], int]]


class LimitsRates:
    """`Rates` for the leader: it alone takes, logs and learns; workers only tell what came of a call.

    Against a configured limit what is handed out counts whole until it is told of, however slowly a body
    starts, and then for one window from its call (`core.quota`). A limit that nobody configured is learned
    from a log of what began. Tokens and money count as estimated until the answer says what they were.
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
        """`clock`: the one the storage stamps its entries with. `guard` translates the storage's errors.

        `prices`: rate key → the most one token costs (USD); `past`: see `Past`."""
        self._log = log
        self._store = store
        self._calls = calls
        self._budgets = budgets
        self._clock = clock
        self._window_s = window_s
        self._guard = guard
        self._prices = prices or {}
        self._past = past
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

    # ── the log ───────────────────────────────────────────────────────────────────────────────────────────

    def budget(self, key: str) -> Rate:
        return self._budgets.get(key, _UNKNOWN)

    def keys(self) -> set[str]:
        return set(self._budgets)

    def recovered(self) -> Mapping[tuple[str, int], int] | None:
        """What receipts say was spent; None: no budget asks."""
        if not any(budget.usd_per_day for budget in self._budgets.values()):
            return None
        return self._past() if self._past is not None else {}

    def costs(self, key: str, memory: KeyMemory) -> tuple[float, float]:
        """USD per token and per call: as it was lately, else as conductor.toml has the dearest token."""
        return memory.usd_per_token or self._prices.get(key, 0.0), memory.usd_per_call

    def log_called(self, key: str, requests: int) -> None:
        self._add(f"{key}/requests", requests)

    def log_refused(self, key: str, requests: int) -> None:
        self._add(f"{key}/refused", requests)

    def log_tokens(self, key: str, tokens: int) -> None:
        unit = self._token_unit(key)
        self._add(f"{key}/tokens/{unit}", math.ceil(tokens / unit))

    def windows(self, key: str, learned: LearnedRate, mine: Sequence[BudgetShare], now: float) -> Windows:
        part_s = part_of(in_force(learned, self.budget(key).requests_per_min), learned, self._window_s)
        width = window_of(learned, now, self._window_s)
        width *= 1.0 if learned.is_fixed else SLACK
        # The storage goes by its own clock, the decision by the ledger's.
        offset = now - self._clock.now()
        called, oldest = self._used(f"{key}/requests", width)
        # A 429 is logged after its call: it must not outlive it in the window, or one more would go in
        # between.
        late_s = refused_within(self._window_s)
        refused, _ = self._used(f"{key}/refused", max(0.0, width - late_s))
        lately, first = self._used(f"{key}/requests", part_s)
        lately_refused, _ = self._used(f"{key}/refused", max(0.0, part_s - late_s))
        unsure, _ = self._used(f"{key}/requests", late_s)
        waiting = sum(one.requests for one in mine if not one.is_called)
        return Windows(
            window_s=self._window_s,
            width_s=width,
            called=max(0, called - refused),
            unsure=max(0, unsure - lately_refused),
            waiting=waiting,
            oldest=None if oldest is None else oldest + offset,
            lately=max(0, lately - lately_refused) + waiting,
            lately_oldest=None if first is None else first + offset,
        )

    def tokens(self, key: str, now: float) -> tuple[int, float | None]:
        """(used in the window, when some of it is free again)."""
        unit, width = self._token_unit(key), self._window_s * SLACK
        used, oldest = self._used(f"{key}/tokens/{unit}", width)
        return used * unit, None if oldest is None else oldest + now - self._clock.now() + width

    @property
    def window_s(self) -> float:
        return self._window_s

    def _token_unit(self, key: str) -> int:
        limit = self.budget(key).tokens_per_min
        return math.ceil(limit / TOKEN_UNITS) if limit else ANNOUNCED_UNIT

    def _add(self, name: str, amount: int) -> None:
        if amount > 0:
            kept_s = math.ceil(self._window_s * SLACK) + 1
            self._log.acquire_entry(name, MOST_ENTRIES, kept_s, min(amount, MOST_ENTRIES))

    def _used(self, name: str, window_s: float) -> tuple[int, float | None]:
        """How many entries lie in the trailing window, and when the oldest of them was made."""
        # Both storages take the width as it is; the library's annotation knows whole seconds only.
        oldest, count = self._log.get_moving_window(name, MOST_ENTRIES, window_s)  # pyright: ignore[reportArgumentType]
        return count, oldest if count else None


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
