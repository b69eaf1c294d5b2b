"""What is used of each budget in the window that counts, and what the configuration says of it: the log of
calls, 429s and tokens under `LimitsRates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from conductor.adapters.rates.rate_store import BudgetShare, KeyMemory
from conductor.base.settings.endpoint_settings import Rate
from conductor.core.rates.learned_limits import LearnedRate, in_force, refused_within, window_of
from conductor.core.rates.pacing import Windows, part_of
from conductor.ports import Clock

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


class BudgetLog:
    """By rate key."""

    def __init__(
        self,
        log: WindowLog,
        budgets: Mapping[str, Rate],
        clock: Clock,
        *,
        window_s: float = WINDOW_S,
        prices: Mapping[str, float] | None = None,
        past: Past | None = None,
    ) -> None:
        """`clock`: the one the storage stamps its entries with. `prices`: rate key → the most one token costs
        (USD); `past`: see `Past`."""
        self._log = log
        self._budgets = budgets
        self._clock = clock
        self._window_s = window_s
        self._prices = prices or {}
        self._past = past

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
