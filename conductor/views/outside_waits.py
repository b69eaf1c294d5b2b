"""What a waiting job's API, store and engines are like: since when one is away, who asks it now, what lets it
be asked at once, and which other engine could make the job. Read from the ledger; times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from conductor.base.text import duration, many
from conductor.core.rates.endpoint_breaker import asks_one_first
from conductor.core.rates.engine_choice import TIMES, away, is_open
from conductor.model.calls import EndpointFault
from conductor.model.ledger_entries import JobView
from conductor.model.snapshot import RateState
from conductor.model.spec import Needs
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.ports import Ledger

#: Of what is under way so many are looked at for the one that asks.
MOST_LOOKED_AT = 64


def outside_notes(ledger: Ledger, job: JobView, rates: Iterable[RateState], now: float) -> list[str]:
    """Nothing of a job that neither an endpoint nor an engine keeps waiting. `rates`: of the last tick."""
    needs = job.job_class.needs
    if job.state != "waiting" or job.waits_for or not needs.rates:
        return []
    faults = {
        key: fault
        for key, fault in ledger.calls.endpoint_faults().items()
        if key in needs.rates and fault.trouble != "limited" and asks_one_first(fault)
    }
    closings = ledger.calls.closings() if faults else {}
    notes = [
        f"{_since(key, fault, now)}{_then(ledger, key, fault, closings.get(key, 0.0) > now)}"
        for key, fault in faults.items()
    ]
    return notes + engine_notes(needs, rates, now, faults)


def _since(key: str, fault: EndpointFault, now: float) -> str:
    """«store:corpus has been away for 4 min 00 s, asked 6 times in vain»."""
    return (
        f"{key} has been away for {duration(max(0.0, now - fault.since))}, "
        f"asked {many(fault.times, 'time')} in vain"
    )


def _then(ledger: Ledger, key: str, fault: EndpointFault, is_closed: bool) -> str:
    if is_closed:
        first = "when it is put right, " if fault.trouble == "refuses" else ""
        return f": {first}`conductor resume {key}` lets one job ask it at once, and the others follow"
    if asking := _who_asks(ledger, key):
        return f": {asking} asks it now, and the others follow when it answers"
    return ": one job asks it next, and the others follow when it answers"


def _who_asks(ledger: Ledger, key: str) -> str:
    for reservation in ledger.handover.reservations()[:MOST_LOOKED_AT]:
        view = ledger.jobs.job(reservation.job_id)
        if view is not None and key in view.job_class.needs.rates:
            return f"{subject_of_line(view.line, '') or reservation.task} ({view.job_id[:SHORT_ID]})"
    return ""


def engine_notes(
    needs: Needs, rates: Iterable[RateState], now: float, faults: Collection[str] = ()
) -> list[str]:
    """«its engine is comfy, which is away (nobody is there), and no other of its list is open: film_api (no
    credit); it goes on with the first that is there again»."""
    own = next((engine for engine in needs.engines if engine.name == needs.engine), None)
    others = [engine for engine in needs.engines if engine is not own]
    if own is None or not others:
        return []
    known = {state.key: state for state in rates}
    is_closed = any((known[key].closed_until or 0.0) > now for key in own.rates if key in known)
    if (why := away(own, known, now)) is None:
        if not is_closed and not any(key in faults for key in own.rates):
            return []
        names = ", then ".join(engine.name for engine in others)
        return [
            f"its engine is {own.name}; asked {many(TIMES, 'time')} in vain, that counts as away, and the "
            f"next of its list takes the job: {names}"
        ]
    there = next((engine.name for engine in others if is_open(engine, known, now)), None)
    if there is not None:
        return [f"its engine is {own.name}, which is away ({why.words}): {there} takes the job in its turn"]
    closed = ", ".join(
        f"{engine.name} ({found.words if (found := away(engine, known, now)) else 'its gate is closed'})"
        for engine in others
    )
    return [
        f"its engine is {own.name}, which is away ({why.words}), and no other of its list is open: "
        f"{closed}; it goes on with the first that is there again"
    ]
