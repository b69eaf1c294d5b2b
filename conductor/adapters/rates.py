"""The budgets of the APIs, on the `limits` library: a log of what was handed out, and what 429s taught.

Counted by a moving window, not by the library's sliding counter: the counter takes the previous window for evenly
filled, and after a burst at its end lets up to half as much again through, which the API answers with 429s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

import msgspec

from conductor.core.rates import Learned, after_look, after_refusals, in_force
from conductor.model.snapshot import RateState
from conductor.ports import Attempts, Clock
from conductor.settings import Rate

if TYPE_CHECKING:
    from redis import Redis

WINDOW_S = 60.0
#: A call is made some time after it was handed over; the longer window covers the differences in between.
SLACK = 1.05
#: Entries kept per key. A token budget is counted in units, so that it needs no more.
MOST_ENTRIES = 20_000
TOKEN_UNITS = 10_000
STATE_KEY = "conductor:rates"


class WindowLog(Protocol):
    """What is used of a storage of `limits`."""

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool: ...

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]: ...


class LearnedStore(Protocol):
    def all(self) -> dict[str, Learned]: ...

    def put(self, key: str, learned: Learned) -> None: ...


class LimitsRates:
    """`Rates` for the leader: it alone takes and learns; workers only close a key (`Attempts.close_rate`)."""

    def __init__(
        self,
        log: WindowLog,
        store: LearnedStore,
        attempts: Attempts,
        budgets: Mapping[str, Rate],
        clock: Clock,
        *,
        window_s: float = WINDOW_S,
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`clock`: the one the storage stamps its entries with. `guard` translates the storage's errors."""
        self._log = log
        self._store = store
        self._attempts = attempts
        self._budgets = budgets
        self._clock = clock
        self._window_s = window_s
        self._kept_s = window_s * SLACK
        self._guard = guard

    def states(self, now: float) -> tuple[RateState, ...]:
        """The budgets at this instant; 429s that came since the last call have taught what they could."""
        closings, refusals = self._attempts.closings(), self._attempts.refusals()
        with self._guard():
            learned = self._store.all()
            keys = sorted({*self._budgets, *learned, *closings, *refusals})
            return tuple(
                self._state(key, learned.get(key, Learned()), refusals.get(key, 0), closings.get(key), now)
                for key in keys
            )

    def take(self, key: str, requests: int, tokens: int) -> None:
        """Log it as handed out, also where no limit is known: a 429 is understood by what came before it."""
        with self._guard():
            if requests:
                self._add(f"{key}/requests", requests)
            if tokens and (unit := self._token_unit(key)):
                self._add(f"{key}/tokens/{unit}", math.ceil(tokens / unit))

    def _state(self, key: str, learned: Learned, refusals: int, closed_until: float | None, now: float) -> RateState:
        budget = self._budgets.get(key, Rate())
        used, oldest = self._used(f"{key}/requests", self._kept_s)
        known = self._learn(key, learned, refusals, used, now)
        limit = in_force(known, budget.requests_per_min)
        tokens_left, tokens_oldest = self._tokens(key, budget)
        # The storage goes by its own clock, the decision by the ledger's.
        offset = now - self._clock.now() + self._kept_s
        first = min((at for at in (oldest, tokens_oldest) if at is not None), default=None)
        return RateState(
            key=key,
            requests_left=None if limit is None else limit - used,
            requests_limit=limit,
            tokens_left=tokens_left,
            tokens_limit=budget.tokens_per_min,
            resets_at=None if first is None else first + offset,
            closed_until=closed_until,
            is_learned=limit is not None and limit != budget.requests_per_min,
        )

    def _learn(self, key: str, learned: Learned, refusals: int, used: int, now: float) -> Learned:
        configured = self._budgets.get(key, Rate()).requests_per_min
        if refusals != learned.seen:
            granted, _ = self._used(f"{key}/requests", self._window_s)
            known = after_refusals(learned, refusals, granted, now, self._window_s)
        else:
            limit = in_force(learned, configured)
            left = None if limit is None else limit - used
            known = after_look(learned, left, configured, now, self._kept_s)
        if known != learned:
            self._store.put(key, known)
        return known

    def _tokens(self, key: str, budget: Rate) -> tuple[int | None, float | None]:
        unit = self._token_unit(key)
        if not unit or budget.tokens_per_min is None:
            return None, None
        used, oldest = self._used(f"{key}/tokens/{unit}", self._kept_s)
        return budget.tokens_per_min - used * unit, oldest

    def _token_unit(self, key: str) -> int:
        limit = self._budgets.get(key, Rate()).tokens_per_min
        return math.ceil(limit / TOKEN_UNITS) if limit else 0

    def _add(self, name: str, amount: int) -> None:
        self._log.acquire_entry(name, MOST_ENTRIES, math.ceil(self._kept_s) + 1, min(amount, MOST_ENTRIES))

    def _used(self, name: str, window_s: float) -> tuple[int, float | None]:
        """How many entries lie in the trailing window, and when the oldest of them was made."""
        # Both storages take the width as it is; the library's annotation knows whole seconds only.
        oldest, count = self._log.get_moving_window(name, MOST_ENTRIES, window_s)  # pyright: ignore[reportArgumentType]
        return count, oldest if count else None


class MemoryLearned:
    def __init__(self) -> None:
        self._known: dict[str, Learned] = {}

    def all(self) -> dict[str, Learned]:
        return dict(self._known)

    def put(self, key: str, learned: Learned) -> None:
        self._known[key] = learned


class RedisLearned:
    """Hash `conductor:rates`: rate key → Learned as JSON. Written by the leader only."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def all(self) -> dict[str, Learned]:
        rows: dict[bytes, bytes] = self._client.hgetall(STATE_KEY)  # pyright: ignore[reportAssignmentType]
        return {key.decode(): msgspec.json.decode(text, type=Learned) for key, text in rows.items()}

    def put(self, key: str, learned: Learned) -> None:
        self._client.hset(STATE_KEY, key, msgspec.json.encode(learned))


def redis_rates(
    client: Redis, attempts: Attempts, budgets: Mapping[str, Rate], *, window_s: float = WINDOW_S
) -> LimitsRates:
    """On the same Redis as the ledger, so that a new leader goes on with what the old one handed out."""
    from limits.storage import RedisStorage

    from conductor.adapters.clock import SystemClock
    from conductor.adapters.redis_client import translating

    storage = RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix="conductor:handed_out")
    return LimitsRates(
        storage,
        RedisLearned(client),
        attempts,
        budgets,
        SystemClock(),
        window_s=window_s,
        guard=lambda: translating(client),
    )


def memory_rates(attempts: Attempts, budgets: Mapping[str, Rate], *, window_s: float = WINDOW_S) -> LimitsRates:
    """The twin without Redis, for tests and one-process runs."""
    from limits.storage import MemoryStorage

    from conductor.adapters.clock import SystemClock

    return LimitsRates(MemoryStorage(), MemoryLearned(), attempts, budgets, SystemClock(), window_s=window_s)
