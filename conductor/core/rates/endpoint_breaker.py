"""The state of an endpoint that is not well: until when its gate is closed for all jobs, and which job may
ask it first. Pure.

An outage belongs to the endpoint and not to each job. `conductor/adapters/redis/lua/endpoint_faults.lua`
counts in the step that tells of a call; this is the same for the in-memory twin, and the answer of the gate.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from conductor.model.calls import Call, EndpointFault, Trouble

#: Where the server does not say: seconds of the first wait, and of the longest; each is twice as long as the
#: last.
BACK_OFF_S: Mapping[Trouble, tuple[float, float]] = {
    "busy": (5.0, 300.0),
    "down": (5.0, 300.0),
    "refuses": (60.0, 1800.0),
    "faulty": (5.0, 300.0),
}
#: A 5xx may be the request's own doing: so many of several jobs, one after the other, are the endpoint's.
FAULTS = 3
#: So many 429s, each after the time that the one before it asked for, and no answer at all in between.
IN_VAIN = 3


def after_call(known: EndpointFault | None, call: Call, now: float) -> EndpointFault | None:
    """What is known after it; None: the endpoint is well, or nothing is known against it."""
    is_next = known is None or now - call.ago_s - call.took_s >= known.last_at
    if call.trouble is None:
        if known is None or call.outcome not in ("ok", "failed"):
            return known
        # Whatever it said of the request, it answered. What was sent before the last failure proves nothing,
        # but of a budget: something was left of that.
        return None if is_next else replace(known, times=1) if known.trouble == "limited" else known
    if known is None:
        known = EndpointFault(trouble=call.trouble, words=call.words, since=now, job_id=call.job_id)
    if is_next or known.trouble == "faulty":
        known = replace(known, trouble=call.trouble, words=call.words)
    return replace(
        known,
        last_at=now,
        times=known.times + is_next,
        is_shared=known.is_shared or known.job_id != call.job_id,
        job_id=call.job_id,
    )


def closes_for_s(endpoint_fault: EndpointFault, call: Call) -> float:
    """How long nobody asks after this call, which told of trouble. 0: who wants to may."""
    trouble, times = call.trouble, endpoint_fault.times
    if call.closes_for_s or trouble is None or trouble not in BACK_OFF_S:
        return call.closes_for_s or 0.0
    if trouble == "faulty":
        times -= FAULTS - 1
        if times < 1 or not endpoint_fault.is_shared:
            return 0.0
    first_s, most_s = BACK_OFF_S[trouble]
    return min(most_s, first_s * 2 ** min(times - 1, 32))


def asks_one_first(endpoint_fault: EndpointFault) -> bool:
    """When its gate opens again one job asks before the others follow.

    After a 429 the budget says how many may (`core.rates`), unless waiting was in vain again and again; a 5xx
    that nobody else met is its job's."""
    match endpoint_fault.trouble:
        case "limited":
            return endpoint_fault.times >= IN_VAIN
        case "faulty":
            return endpoint_fault.times >= FAULTS and endpoint_fault.is_shared
        case _:
            return True
