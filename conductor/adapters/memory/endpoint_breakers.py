"""How endpoints fare that are not well, in memory: the twin of `adapters/redis/lua/endpoint_faults.lua`."""

from __future__ import annotations

from msgspec.structs import replace

from conductor.adapters.memory.store import Store
from conductor.core.rates.endpoint_breaker import after_call, closes_for_s
from conductor.model.calls import Call


def told(store: Store, call: Call) -> None:
    """What one call came to: its gate may be closed, and what would call it goes back."""
    key, now = call.key, store.now()
    endpoint_fault = after_call(store.endpoint_faults.get(key), call, now)
    for_s = call.closes_for_s or 0.0
    if endpoint_fault is None:
        store.endpoint_faults.pop(key, None)
    else:
        store.endpoint_faults[key] = endpoint_fault
        for_s = closes_for_s(endpoint_fault, call)
    if for_s > 0:
        store.closed[key] = max(store.closed.get(key, 0.0), now + for_s)
    if call.outcome == "refused":
        store.refusals[key] = store.refusals.get(key, 0) + 1
    store.calls.append(call)
    if for_s > 0 and call.trouble not in (None, "limited"):
        _take_back_callers(store, key)


def opened(store: Store, key: str) -> bool:
    """The operator's word: at once, with one that asks first where it was not well; who has asked it in vain
    waits no longer."""
    was_closed, endpoint_fault = store.closed.pop(key, 0.0) > store.now(), store.endpoint_faults.get(key)
    if endpoint_fault is not None:
        store.endpoint_faults[key] = replace(endpoint_fault, times=1)
    for job in store.jobs.values():
        if job.not_before is not None and key in job.job_class.needs.rates:
            store.unrest(job)
            store.rest(job)
    store.ring()
    return was_closed or endpoint_fault is not None


def _take_back_callers(store: Store, key: str) -> None:
    """What is handed over and not started goes back at no cost, and so does its place in the budgets."""
    for job in [job for job in store.active.values() if job.state == "admitted"]:
        rates = job.job_class.needs.rates
        if key in rates:
            held = store.release(job)
            store.move(job, "waiting")
            store.rest(job)
            attempt = held.attempt if held is not None else 0
            store.calls += [
                Call(key=each, outcome="uncalled", job_id=job.id, attempt=attempt) for each in rates
            ]
