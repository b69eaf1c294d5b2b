"""Where the next job of a class would start if it came now: left in the ledger, so that a job that comes
while there is room for it waits for no tick. Pure.

An offer is the decision of this tick for one more job, which comes after all that waits. The step that puts
such a job takes the offer, and asks again what a hand-over asks. Whatever rings the bell takes all offers
away: they were made for a world without that. So of one tick one offer at most is ever taken.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

from conductor.core.admission.successors import Admit, Waiter
from conductor.core.capacity.request import Demand
from conductor.core.ordering.orders import Orders
from conductor.core.ordering.turns import ClassTurn
from conductor.core.placement.place import Place
from conductor.model.decision import Decision, StandingOffer
from conductor.model.snapshot import Candidate, Head, JobClass, Snapshot

#: Classes of which one more is expected: those of which a job was admitted last.
MOST_EXPECTED = 4
#: Stands for the job, which has no id yet.
NOBODY = ""

#: The place of a job; None where it would not start.
PlaceOf = Callable[[ClassTurn, Head, Demand, None], Place | None]


def offers(
    snapshot: Snapshot,
    held: Container[str],
    orders: Orders,
    demand_of: Callable[[JobClass], Demand],
    place_of: PlaceOf,
    admit: Admit,
) -> tuple[StandingOffer, ...]:
    """Each for itself, behind all that this tick has admitted. `held`: classes of which a job waits."""
    found = list[StandingOffer]()
    head = Head(job_id=NOBODY, attempts=0, since=snapshot.now)
    for job_class in snapshot.expected:
        demand = demand_of(job_class)
        if job_class.id in held or not _may_be_offered(job_class, demand):
            continue
        turn = ClassTurn(Candidate(job_class=job_class, waiting=1, heads=(head,)), orders)
        place = place_of(turn, head, demand, None)
        admission = None if place is None else admit(Waiter(job_class, head, demand, is_free=True), place)
        if admission is not None:
            found.append(StandingOffer(class_id=job_class.id, admission=admission))
    return tuple(found)


def _may_be_offered(job_class: JobClass, demand: Demand) -> bool:
    """Budgets are set aside by ticks, files belong to chains that only a tick knows, and what a job of an
    unknown kind takes is seen before there are two of it."""
    return not (demand.rates or demand.disk or demand.devices > 1 or job_class.is_untried)


def expected_next(
    before: Sequence[JobClass], candidates: Iterable[Candidate], decision: Decision
) -> tuple[JobClass, ...]:
    """`before` with the classes of which this tick admitted a job in front, as their jobs declare them."""
    admitted = {admission.reservation.class_id for admission in decision.admit}
    if not admitted:
        return tuple(before)
    fresh = [c.job_class for c in candidates if c.job_class.id in admitted]
    return (*fresh, *(c for c in before if c.id not in admitted))[:MOST_EXPECTED]
