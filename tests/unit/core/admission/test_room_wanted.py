"""How much room chains will want on a disk, said before their jobs wait for it; and how much a node makes
for that.
"""

from __future__ import annotations

from builders import GIB, NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot, a_volume
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.model.chains import Chain, FileJob
from conductor.model.decision import Decision, GateLedger
from conductor.model.limits import Limits
from conductor.model.snapshot import Candidate, Head, Reservation
from conductor.node.cleanup.disk_room import wanted

LIMITS = Limits(disk_headroom_bytes={"scratch": 0})
KIND = a_class("io", writes={"scratch": 8 * GIB}, id="kind")


def a_chain(name: str, node: str | None = None, going: int = 0, jobs: int = 3) -> Chain:
    """Each job reads what the one before it wrote, 8 GiB; the first `going` were handed over."""
    made = [
        FileJob(
            job_id=f"{name}-{n}-000000",
            is_going=n < going,
            writes={f"scratch:{name}{n}": 8 * GIB} if n < jobs - 1 else {},
            reads=() if n == 0 else (f"scratch:{name}{n - 1}",),
            after=() if n == 0 else (f"{name}-{n - 1}-000000",),
        )
        for n in range(jobs)
    ]
    return Chain(id=name, node=node, jobs=tuple(made))


def decided(
    free_gib: int, *chains: Chain, heads: tuple[str, ...] = (), held: tuple[Reservation, ...] = ()
) -> Decision:
    node = a_report(volumes=(a_volume(total_bytes=64 * GIB, free_bytes=free_gib * GIB),))
    rows = tuple(Head(job_id=job_id, attempts=0, since=NOW - 60) for job_id in heads)
    candidates: list[Candidate] = [replace(a_candidate(KIND), heads=rows, waiting=len(rows))] if rows else []
    return decide(a_snapshot(nodes=(node,), chains=chains, reservations=held), candidates, LIMITS)


def test_the_whole_of_the_next_chain_is_wanted_not_what_its_first_job_lacks() -> None:
    found = decided(4, a_chain("a"), heads=("a-0-000000",))

    assert not found.admit
    assert found.wanted == {"node1/scratch": 12 * GIB}


def test_what_is_left_of_a_begun_chain_is_wanted_while_its_first_job_runs() -> None:
    on = {"lane": "io", "queue": "io-node1", "disk": {"scratch": 8 * GIB}}
    runs = a_reservation("a-0-000000", class_id="kind", **on)

    assert decided(12, a_chain("a", "node1", going=1), held=(runs,)).wanted == {"node1/scratch": 4 * GIB}
    both = decided(12, a_chain("a", "node1", going=1), a_chain("b"), heads=("b-0-000000",), held=(runs,))
    assert both.wanted == {"node1/scratch": 20 * GIB}


def test_nothing_is_wanted_where_there_is_room_and_never_more_than_the_disk_has() -> None:
    assert decided(40, a_chain("a"), heads=()).wanted == {}
    assert decided(4, a_chain("a", "node1", jobs=20)).wanted == {"node1/scratch": 60 * GIB}


def test_a_node_makes_room_for_all_of_it_at_once() -> None:
    gates = GateLedger(wanted={"node1/scratch": 12 * GIB, "node2/scratch": 99 * GIB})

    assert wanted(gates, "node1", frozenset({"scratch"}), 4 * GIB, 40 * GIB, {}) == 12 * GIB
    assert wanted(gates, "node3", frozenset({"scratch"}), 4 * GIB, 40 * GIB, {}) == 0
