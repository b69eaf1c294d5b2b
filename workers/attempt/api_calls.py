"""What a worker tells of the API calls of its bodies, and whether one may call at all: its side of the
rate gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from conductor.base import secrets
from conductor.base.logs.fallbacks import tell_fallback
from conductor.core.rates import engine_choice
from conductor.model.calls import MOST_WORDS, Call
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.job_class import with_engine
from conductor.model.snapshot import RateState
from conductor.model.spec import EngineNeed, is_store
from workers.attempt.attempt import Attempt
from workers.isolation.protocol import BodyEnded
from workers.task_api.failure_causes import AttemptFault

if TYPE_CHECKING:
    from conductor.ports import Ledger

T = TypeVar("T")

#: An attempt that found a gate closed comes back so much later than the gate opens: another one asks first,
#: for the fault may be this one's.
_BEHIND_S = 1.0


class Patiently(Protocol):
    """A step of the ledger, asked until it answers; None: this worker has to leave first."""

    def __call__(self, step: Callable[[], T]) -> T | None: ...


class ApiCalls:
    """Of one worker."""

    def __init__(self, ledger: Ledger, patiently: Patiently) -> None:
        self._ledger = ledger
        self._calls = ledger.calls
        self._patiently = patiently

    def closed(self, attempt: Attempt) -> AttemptFault | None:
        """The gates that its calls would go through, closed since it was handed over: then nothing is
        called.
        """
        keys = attempt.needs.rates
        if not keys:
            return None
        closings = self._patiently(self._calls.closings) or {}
        closed = {key: until for key, until in closings.items() if key in keys}
        if not closed:
            return None
        key, until = max(closed.items(), key=lambda item: item[1])
        endpoint_fault = (self._patiently(self._calls.endpoint_faults) or {}).get(key)
        if endpoint_fault is None or endpoint_fault.trouble == "limited":
            words = f"not called: {key} was closed by a 429 of another call"
            return AttemptFault("rate_limited", words, key, self._left_s(until), is_uncalled=True)
        # It waits at the gate, which says why.
        cause = "store_unavailable" if is_store(key) else "endpoint_unavailable"
        return AttemptFault(cause, f"not called: {endpoint_fault.words}", key, 0.0, is_uncalled=True)

    def tell_uncalled(self, attempts: Sequence[Attempt]) -> None:
        """Handed out and not called: what was set aside for them is free again."""
        calls = [
            Call(key=key, outcome="uncalled", job_id=attempt.job_id, attempt=attempt.number)
            for attempt in attempts
            for key in attempt.needs.rates
        ]
        if calls:
            self._patiently(lambda: self._calls.tell_calls(calls))

    def tell(self, attempt: Attempt, ended: BodyEnded) -> tuple[Call, ...]:
        """The body's own words, and what it raised without them: that closes the key in the same step."""
        calls = list(ended.calls)
        if ended.rate_key and not any(
            c.key == ended.rate_key and (c.outcome == "refused" or c.trouble) for c in calls
        ):
            calls.append(_raised(ended))
        told = tuple(_of_attempt(call, attempt) for call in calls)
        if told:
            self._patiently(lambda: self._calls.tell_calls(told))
        return told

    def waiting_out(self, fault: AttemptFault, calls: Sequence[Call]) -> AttemptFault:
        """One that met an endpoint that is not well comes back when its gate opens; where that refuses
        everybody it waits at the gate, which a person opens."""
        if fault.cause not in ("endpoint_unavailable", "store_unavailable"):
            return fault
        if any(call.trouble == "refuses" for call in calls if call.key == fault.rate_key):
            return fault._replace(retry_after_s=0.0)
        until = (self._patiently(self._calls.closings) or {}).get(fault.rate_key)
        return fault if until is None else fault._replace(retry_after_s=self._left_s(until) + _BEHIND_S)

    def on_another_engine(self, attempt: Attempt, fault: AttemptFault, then: Retry | Dead) -> Retry | Dead:
        """Where the job has several: it goes on with another one when its own is away, or has given it up."""
        job_class, needs = attempt.started.job_class, attempt.needs
        bound = next((engine for engine in needs.engines if engine.name == fault.stays_with), None)
        if bound is not None and isinstance(then, Retry):
            return msgspec.structs.replace(then, job_class=with_engine(job_class, bound, is_bound=True))
        is_given_up = isinstance(then, Dead) and fault.cause == "server_error"
        if fault.stays_with or not (fault.cause == "endpoint_unavailable" or is_given_up):
            return then
        if (found := self._other_engine(attempt, fault, is_given_up)) is None:
            return then
        engine, reason = found
        tell_fallback(
            attempt.job_id,
            attempt.spec.task,
            attempt.held.about,
            needs.engine,
            engine.name,
            reason,
            fault.message,
        )
        return Retry(job_class=with_engine(job_class, engine))

    def _other_engine(
        self, attempt: Attempt, fault: AttemptFault, is_given_up: bool
    ) -> tuple[EngineNeed, str] | None:
        """The one on which it goes on, and why in one word: the engine that it had is away, or gave it up.
        None: it stays with that."""
        needs = attempt.needs
        own = next((engine for engine in needs.engines if engine.name == needs.engine), None)
        if own is None:
            return None
        faults = self._patiently(self._calls.endpoint_faults) or {}
        closings = self._patiently(self._calls.closings) or {}
        now = self._patiently(self._ledger.bell.now) or 0.0
        rates = {
            key: RateState(key=key, closed_until=closings.get(key), endpoint_fault=faults.get(key))
            for key in {*faults, *closings}
        }
        why = None if is_given_up else engine_choice.away(own, rates, now)
        if why is None and not is_given_up:
            return None
        engine = engine_choice.other_engine(needs, rates, now, is_given_up=is_given_up)
        return None if engine is None else (engine, fault.cause if why is None else why.reason)

    def _left_s(self, until: float) -> float:
        return max(0.0, until - (self._patiently(self._ledger.bell.now) or until))


def _of_attempt(call: Call, attempt: Attempt) -> Call:
    words = secrets.scrub(call.words)[:MOST_WORDS] if call.words else ""
    return msgspec.structs.replace(call, job_id=attempt.job_id, attempt=attempt.number, words=words)


def _raised(ended: BodyEnded) -> Call:
    """`RateLimited` or `EndpointUnavailable` of a task that told of no call."""
    key, wait_s, words = ended.rate_key, ended.retry_after_s, ended.message
    if ended.cause == "rate_limited":
        closes_for_s = 1.0 if wait_s is None else wait_s
        return Call(key=key, outcome="refused", closes_for_s=closes_for_s, trouble="limited", words=words)
    return Call(key=key, outcome="failed", closes_for_s=wait_s, trouble="busy", words=words)
