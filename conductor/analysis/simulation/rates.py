"""Budgets of APIs in simulated time: the very `LimitsRates`, on a log that goes by a clock moved by hand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from conductor.adapters.rates.budget_log import WINDOW_S
from conductor.adapters.rates.rate_store import MemoryRateStore
from conductor.adapters.rates.rates import LimitsRates
from conductor.base.settings.endpoint_settings import Rate
from conductor.model.snapshot import RateState, Reservation
from conductor.ports import CallLog, Clock

#: Entries older than everybody's window are thrown away when so many have come together.
SWEEP_AT = 4096


class ManualLog:
    """The moving window of `limits`, which goes by the host's clock, on a clock of ours. One writer."""

    def __init__(self, clock: Clock, kept_s: float = 2 * WINDOW_S) -> None:
        self._clock = clock
        self._kept_s = kept_s
        self._entries: dict[str, list[float]] = {}

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        entries, now = self._entries.setdefault(key, []), self._clock.now()
        entries.extend([now] * amount)
        if len(entries) > SWEEP_AT:
            del entries[: bisect_left(entries, now - self._kept_s)]
        return True

    def get_moving_window(self, key: str, limit: int, expiry: float) -> tuple[float, int]:
        entries, now = self._entries.get(key, []), self._clock.now()
        first = bisect_left(entries, now - expiry)
        return (entries[first] if first < len(entries) else now), len(entries) - first


class SimulatedRates:
    """What `decide` is told of the APIs while jobs are simulated: budgets as configured, nobody refuses
    anything.
    """

    def __init__(self, budgets: Mapping[str, Rate], calls: CallLog, clock: Clock) -> None:
        self._rates = LimitsRates(ManualLog(clock), MemoryRateStore(), calls, budgets, clock)
        self._clock = clock

    def states(self, active: Sequence[Reservation]) -> tuple[RateState, ...]:
        return self._rates.states(self._clock.now(), active)

    def take(self, job_id: str, attempt: int, rates: Mapping[str, tuple[int, int]]) -> None:
        for key, (requests, tokens) in rates.items():
            self._rates.take(job_id, attempt, key, requests, tokens)
