"""The budgets of the APIs, on the `limits` library: a log of calls, what is handed out beyond it, what answers taught.

Counted by a moving window, not by the library's sliding counter: the counter takes the previous window for evenly
filled, and after a burst at its end lets up to half as much again through, which the API answers with 429s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from conductor.adapters.rate_store import (
    Book,
    Changes,
    Kept,
    MemoryRateStore,
    RateStore,
    RedisRateStore,
    Taken,
    taken_field,
)
from conductor.core import spending
from conductor.core.announced import per_window
from conductor.core.pace import Windows, part_of, room
from conductor.core.rates import Learned, Look, after_look, in_force, refused_within, window_of
from conductor.model.calls import Call
from conductor.model.snapshot import RateState, Reservation, cost_of
from conductor.ports import Attempts, Clock
from conductor.settings import Rate

if TYPE_CHECKING:
    from redis import Redis

WINDOW_S = 60.0
#: From the start of an attempt to the server's own stamp differs from call to call: a call counts so much longer.
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

    Handed out and not called counts whole. A call counts for one window from its start. Tokens and money count as
    estimated until the answer says what they were.
    """

    def __init__(
        self,
        log: WindowLog,
        store: RateStore,
        attempts: Attempts,
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
        self._attempts = attempts
        self._budgets = budgets
        self._clock = clock
        self._window_s = window_s
        self._guard = guard
        self._prices = prices or {}
        self._past = past
        #: As of the last look: what a call costs is not asked again for each that is handed over.
        self._kept: Mapping[str, Kept] = {}

    # ── the port ──────────────────────────────────────────────────────────────────────────────────────────

    def states(self, now: float, active: Sequence[Reservation] | None = None) -> tuple[RateState, ...]:
        """The budgets at this instant, after what workers told since the last call.

        `active`: every reservation there is, read before this call; None: not known, nothing is taken for started."""
        calls, closings = self._attempts.calls(), self._attempts.closings()
        with self._guard():
            look = _Look(self, self._store.load(), closings, now)
            look.recover()
            look.settle(calls)
            if active is not None:
                look.follow(active)
            states = look.states()
            self._store.save(look.changes)
            self._kept = look.kept
        # Last: a kill before it counts these calls twice, the other order would forget what they cost.
        if calls:
            self._attempts.forget_calls(len(calls))
        return states

    def take(self, job_id: str, attempt: int, key: str, requests: int, tokens: int) -> None:
        """Set aside, before it is handed over, what one attempt may use of a budget."""
        with self._guard():
            kept = self._kept.get(key, Kept())
            usd = cost_of(*self.costs(key, kept), requests, tokens)
            taken = Taken(key=key, job_id=job_id, attempt=attempt, requests=requests, tokens=tokens, usd=usd)
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

    def costs(self, key: str, kept: Kept) -> tuple[float, float]:
        """USD per token and per call: as it was lately, else as conductor.toml has the dearest token."""
        return kept.usd_per_token or self._prices.get(key, 0.0), kept.usd_per_call

    def log_called(self, key: str, requests: int) -> None:
        self._add(f"{key}/requests", requests)

    def log_refused(self, key: str, requests: int) -> None:
        self._add(f"{key}/refused", requests)

    def log_tokens(self, key: str, tokens: int) -> None:
        unit = self._token_unit(key)
        self._add(f"{key}/tokens/{unit}", math.ceil(tokens / unit))

    def windows(self, key: str, learned: Learned, mine: Sequence[Taken], now: float) -> Windows:
        part_s = part_of(in_force(learned, self.budget(key).requests_per_min), learned, self._window_s)
        width = window_of(learned, now, self._window_s)
        width *= 1.0 if learned.is_fixed else SLACK
        # The storage goes by its own clock, the decision by the ledger's.
        offset = now - self._clock.now()
        called, oldest = self._used(f"{key}/requests", width)
        # A 429 is logged after its call: it must not outlive it in the window, or one more would go in between.
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


class _Look:
    """One look: what was told is settled, what runs is followed, and each key's state made of it."""

    def __init__(self, rates: LimitsRates, book: Book, closings: Mapping[str, float], now: float) -> None:
        self._rates = rates
        self._book = book
        self._closings = closings
        self._now = now
        self._told: dict[str, list[Call]] = {}
        self.changes = Changes()

    @property
    def kept(self) -> Mapping[str, Kept]:
        return {**self._book.kept, **self.changes.kept}

    def recover(self) -> None:
        """A Redis that was emptied does not know what was spent: receipts do."""
        if self._book.is_spend_known or (recovered := self._rates.recovered()) is None:
            return
        spending.add(self.changes.spent, recovered)
        self.changes.makes_spend_known = True

    def settle(self, calls: Sequence[Call]) -> None:
        by_attempt: dict[str, list[Call]] = {}
        for call in calls:
            self._told.setdefault(call.key, []).append(call)
            by_attempt.setdefault(taken_field(call.job_id, call.attempt, call.key), []).append(call)
        for name, answers in by_attempt.items():
            self._close(name, self._book.taken.pop(name, None), answers)

    def follow(self, active: Sequence[Reservation]) -> None:
        """Who runs has called; who is gone without a word (killed, or no task that tells) cost what was thought."""
        states = {(r.job_id, r.attempt): r.state for r in active}
        for name, one in list(self._book.taken.items()):
            state = states.get((one.job_id, one.attempt))
            if state == "running" and not one.is_called:
                self._rates.log_called(one.key, one.requests)
                self._book.taken[name] = self.changes.taken[name] = replace(one, is_called=True, called_at=self._now)
            elif state is None:
                self._told.setdefault(one.key, []).extend([Call(key=one.key, outcome="ok")] * one.requests)
                self._close(name, self._book.taken.pop(name), [])

    def _close(self, name: str, one: Taken | None, answers: Sequence[Call]) -> None:
        """`answers`: all that one attempt got of one key. What it used is logged instead of what it was thought to."""
        key = one.key if one else answers[0].key
        sent = sum(call.outcome != "uncalled" for call in answers)
        if one is None or not one.is_called:
            # So fast that it was never seen to run, or not handed over by this ledger.
            self._rates.log_called(key, sent if answers else one.requests if one else 0)
        elif answers and sent == 0 and self._now - one.called_at < refused_within(self._rates.window_s):
            # Later it counts although nothing was sent: its entry may be out of the window before this one is.
            self._rates.log_refused(key, one.requests)
        self._rates.log_refused(key, sum(call.outcome == "refused" for call in answers))
        tokens, usd = spending.used(answers, one.tokens if one else 0, one.usd if one else 0.0)
        self._rates.log_tokens(key, tokens)
        spending.charge(self.changes.spent, key, self._now, usd)
        self.changes.taken.pop(name, None)
        if one is not None:
            self.changes.ended.append(name)

    def states(self) -> tuple[RateState, ...]:
        book, rates = self._book, self._rates
        spending.add(book.spent, self.changes.spent)
        self.changes.stale = spending.stale(book.spent, self._now)
        taken = {one.key for one in book.taken.values()}
        keys = sorted({*rates.keys(), *book.kept, *self._closings, *self._told, *taken})
        return tuple(self._state(key) for key in keys)

    def _state(self, key: str) -> RateState:
        rates, now = self._rates, self._now
        budget, kept = rates.budget(key), self._book.kept.get(key, Kept())
        mine = [one for one in self._book.taken.values() if one.key == key]
        known = self._learn(key, kept, mine)
        if known != kept:
            self.changes.kept[key] = known
        limit = in_force(known.learned, budget.requests_per_min)
        windows = rates.windows(key, known.learned, mine, now)
        left, opens_at = room(limit, known.learned, windows, foreign(known, now), now)
        tokens_limit = _least(budget.tokens_per_min, known.tokens_limit)
        tokens_left, tokens_at = self._tokens(key, tokens_limit, known, mine)
        thought = sum(one.usd for one in mine)
        usd_left, usd_at = spending.left(budget.usd_per_day, self._book.spent, key, thought, now)
        per_token, per_call = rates.costs(key, known)
        return RateState(
            key=key,
            requests_left=left,
            requests_limit=limit,
            tokens_left=tokens_left,
            tokens_limit=tokens_limit,
            resets_at=opens_at,
            tokens_reset_at=tokens_at,
            closed_until=self._closings.get(key),
            is_learned=limit is not None and limit != budget.requests_per_min,
            usd_left=usd_left,
            usd_limit=budget.usd_per_day,
            usd_reset_at=usd_at,
            usd_per_token=per_token,
            usd_per_call=per_call,
        )

    def _learn(self, key: str, kept: Kept, mine: Sequence[Taken]) -> Kept:
        rates, now, calls = self._rates, self._now, self._told.get(key, [])
        configured = rates.budget(key).requests_per_min
        windows = rates.windows(key, kept.learned, mine, now)
        limit = in_force(kept.learned, configured)
        left, _ = room(limit, kept.learned, windows, foreign(kept, now), now)
        closed_until = self._closings.get(key)
        look = Look(
            now=now,
            window_s=rates.window_s,
            accepted=sum(call.outcome == "ok" for call in calls),
            refused=sum(call.outcome == "refused" for call in calls),
            held=windows.called,
            unsure=windows.unsure,
            is_wanted=left is not None and left <= 0,
            closed_until=closed_until,
            announced=per_window((call.requests for call in calls), rates.window_s),
        )
        used, tokens_used = windows.called, rates.tokens(key, now)[0] if calls else 0
        learned = after_look(kept.learned, look, configured)
        return replace(kept, learned=learned).after(calls, used, tokens_used, rates.window_s, now)

    def _tokens(
        self, key: str, limit: int | None, kept: Kept, mine: Sequence[Taken]
    ) -> tuple[int | None, float | None]:
        if limit is None:
            return None, None
        used, opens_at = self._rates.tokens(key, self._now)
        others = kept.tokens_elsewhere if self._now < kept.tokens_elsewhere_until else 0
        return limit - used - sum(one.tokens for one in mine) - others, opens_at


def foreign(kept: Kept, now: float) -> int:
    """Requests that others use of the same budget."""
    return kept.elsewhere if now < kept.elsewhere_until else 0


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def redis_rates(
    client: Redis,
    attempts: Attempts,
    budgets: Mapping[str, Rate],
    *,
    window_s: float = WINDOW_S,
    prices: Mapping[str, float] | None = None,
    past: Past | None = None,
) -> LimitsRates:
    """On the same Redis as the ledger, so that a new leader goes on with what the old one handed out."""
    from limits.storage import RedisStorage

    from conductor.adapters.clock import SystemClock
    from conductor.adapters.redis_attempts import RedisAttempts
    from conductor.adapters.redis_client import translating
    from conductor.adapters.redis_scripts import Scripts

    scripts = attempts.scripts if isinstance(attempts, RedisAttempts) else Scripts(client)
    storage = RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix="conductor:handed_out")
    return LimitsRates(
        storage,
        RedisRateStore(client, scripts),
        attempts,
        budgets,
        SystemClock(),
        window_s=window_s,
        guard=lambda: translating(client),
        prices=prices,
        past=past,
    )


def memory_rates(
    attempts: Attempts,
    budgets: Mapping[str, Rate],
    *,
    window_s: float = WINDOW_S,
    prices: Mapping[str, float] | None = None,
    past: Past | None = None,
) -> LimitsRates:
    """The twin without Redis, for tests and one-process runs."""
    from limits.storage import MemoryStorage

    from conductor.adapters.clock import SystemClock

    store = MemoryRateStore()
    return LimitsRates(
        MemoryStorage(), store, attempts, budgets, SystemClock(), window_s=window_s, prices=prices, past=past
    )
