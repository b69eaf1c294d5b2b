"""A chain whose next jobs cannot run where its files lie goes where they can, or the hold says why not."""

from __future__ import annotations

from typing import Any

from builders import GIB, a_class, a_device, a_report, a_reservation, a_snapshot, a_volume
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.core.admission.explain import sentence
from conductor.model.chains import Chain, FileJob, FileMove
from conductor.model.decision import Decision, Hold
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, Head, JobClass

X, Y = "scratch:x", "scratch:y"
NAS = a_volume("nas", root_id="n1")
SCRATCH = a_volume()
GPU = a_class("gpu", vram_mib=20_000, id="gpu-class")
CPU = a_class("cpu", id="cpu-class")


def a_host(node: str, vram: int = 8_000, **changes: Any) -> NodeReport:
    report = a_report(node, devices=(a_device(vram_total_mib=vram),), volumes=(SCRATCH, NAS))
    return replace(report, **changes)


SMALL, LARGE = a_host("node1"), a_host("node2", 24_000)


def reader(name: str = "r", *reads: str, **more: Any) -> FileJob:
    return FileJob(job_id=name, reads=reads or (X,), **more)


def a_chain(*jobs: FileJob, node: str | None = "node1", **more: Any) -> Chain:
    values: dict[str, Any] = {"kept": {X: GIB}, **more}
    return Chain(id="1", node=node, jobs=jobs or (reader(),), **values)


def of(job_class: JobClass, *names: str) -> Candidate:
    heads = tuple(Head(job_id=name, attempts=0, since=0.0) for name in names)
    return Candidate(job_class=job_class, waiting=len(heads), heads=heads)


def decided(nodes: tuple[NodeReport, ...], chain: Chain, *candidates: Candidate, **more: Any) -> Decision:
    return decide(a_snapshot(nodes=nodes, chains=(chain,), **more), candidates or (of(GPU, "r"),), Limits())


def reasons(hold: Hold) -> set[Reason]:
    return {verdict.reason for verdict in hold.closed}


A_MOVE = FileMove(backlog="b", source="node1", target="node2", via="nas", files={X: GIB})


def test_files_go_to_a_node_with_a_device_that_is_large_enough() -> None:
    decision = decided((SMALL, LARGE), a_chain())

    assert decision.moves == (A_MOVE,)
    (hold,) = decision.hold
    assert not hold.is_infeasible
    assert "mount: node2, its files are to be brought there" in sentence(hold, 0.0, 0.0)


def test_a_job_that_can_run_where_its_files_lie_goes_nowhere_else() -> None:
    decision = decided((a_host("node1", 24_000), LARGE), a_chain())
    assert ([a.reservation.node for a in decision.admit], decision.moves) == (["node1"], ())


def test_a_chain_stays_as_long_as_any_job_of_it_goes_on_there() -> None:
    pair = a_chain(reader("r"), reader("c"))
    first = decided((SMALL, LARGE), pair, of(GPU, "r"), of(CPU, "c"))
    assert ([a.reservation.job_id for a in first.admit], first.moves) == (["c"], ())

    full = replace(SMALL, cpu_count=0.0)
    later = decided((full, LARGE), pair, of(GPU, "r"), of(a_class("cpu", id="cpu-class", cpu=0.0), "c"))
    assert later.moves == ()


def test_a_lane_that_nobody_serves_there_and_another_node_that_is_asked_for_move_files_too() -> None:
    without_gpu = replace(SMALL, queues=tuple(q for q in SMALL.queues if q.lane != "gpu"))
    assert decided((without_gpu, LARGE), a_chain()).moves == (A_MOVE,)

    pinned = a_class("cpu", node="node2", id="pinned")
    decision = decided((SMALL, LARGE), a_chain(), of(pinned, "r"))
    assert (decision.moves, decision.admit) == ((A_MOVE,), ())


def test_without_a_root_that_both_have_the_hold_says_what_to_do() -> None:
    """Folders of the same name on two hosts are two folders, until what lies there says that it is one."""
    for root_id in ("other", ""):
        apart = replace(LARGE, volumes=(SCRATCH, replace(NAS, root_id=root_id)))
        decision = decided((SMALL, apart), a_chain())

        (hold,) = decision.hold
        assert (decision.moves, hold.is_infeasible) == ((), True)
        assert (
            "mount: node2, it could run there, but its files cannot be brought: no root is shared"
            in sentence(hold, 0.0, 0.0)
        )


def test_a_shared_root_that_is_too_small_or_cannot_be_written_is_no_way() -> None:
    for nas in (replace(NAS, total_bytes=GIB // 2), replace(NAS, is_writable=False, fault="it is away")):
        small = replace(SMALL, volumes=(SCRATCH, nas))
        assert decided((small, LARGE), a_chain()).moves == ()


def test_no_other_node_is_said_and_so_is_a_disk_that_can_never_hold_the_chain() -> None:
    tiny = replace(LARGE, volumes=(replace(SCRATCH, total_bytes=GIB // 2), NAS))
    for other in (a_host("node2"), tiny):
        decision = decided((SMALL, other), a_chain())
        assert (decision.moves, Reason.NO_OTHER_NODE in reasons(decision.hold[0])) == ((), True)
        assert decision.hold[0].is_infeasible


def test_a_node_that_went_for_good_is_named_with_what_to_do() -> None:
    decision = decided((LARGE,), a_chain())
    assert "report: node1, its files are there, and it does not report: start its node" in sentence(
        decision.hold[0], 0.0, 0.0
    )


def test_nothing_of_a_chain_starts_while_its_files_are_on_their_way() -> None:
    take = FileJob(job_id="take", reads=(X,), bound_for="node2")
    bring = FileJob(job_id="bring", reads=(X,), after=("take",), bound_for="node2")
    moving = a_chain(reader("r"), reader("c"), take, bring)
    io = a_class("io", id="io-class", node="node1")
    decision = decided((SMALL, LARGE), moving, of(GPU, "r"), of(CPU, "c"), of(io, "take"))

    assert [(a.reservation.job_id, a.reservation.node) for a in decision.admit] == [("take", "node1")]
    assert decision.moves == ()
    for hold in decision.hold:
        assert not hold.is_infeasible
        assert "mount: node2, its files are on their way there (transfer take)" in sentence(hold, 0.0, 0.0)


def test_room_for_a_chain_under_way_is_kept_where_it_will_be() -> None:
    """Files that are being brought will have readers that write: a chain that began beside them would lock
    both."""
    disk = replace(SCRATCH, total_bytes=10 * GIB, free_bytes=10 * GIB)
    there = replace(LARGE, volumes=(disk, NAS))
    writes = reader("r", writes={Y: 5 * GIB})
    bring = FileJob(job_id="bring", reads=(X,), bound_for="node2", is_going=True)
    coming = a_chain(writes, reader("s", Y, after=("r",)), bring, kept={X: 4 * GIB})
    new = FileJob(job_id="new", writes={"scratch:n": 3 * GIB})
    fresh = Chain(id="2", jobs=(new, reader("last", "scratch:n", after=("new",), stays=3 * GIB)))
    fetches = a_reservation("bring", node="node2", queue="io-node2", lane="io", disk={"scratch": 4 * GIB})
    seen = a_snapshot(nodes=(there,), chains=(coming, fresh), reservations=(fetches,))
    asked = of(a_class("cpu", id="new-class", writes={"scratch": 3 * GIB}), "new")
    limits = Limits(disk_headroom_bytes={"scratch": 0})

    decision = decide(seen, (asked,), limits)

    assert decision.admit == ()
    assert Reason.CHAIN_UNSAFE in reasons(decision.hold[0])
    assert len(decide(replace(seen, chains=(fresh,)), (asked,), limits).admit) == 1


def test_files_that_lie_apart_come_to_the_chain() -> None:
    both = a_chain(reader("r", X, Y), away={Y: "node2"}, away_bytes={Y: 7})
    decision = decided((a_host("node1", 24_000), LARGE), both)

    assert decision.admit == ()
    assert decision.moves == (FileMove(backlog="b", source="node2", target="node1", via="nas", files={Y: 7}),)
    (hold,) = decision.hold
    assert "mount: node2, a file that it reads is there, and its other files are not" in sentence(
        hold, 0.0, 0.0
    )

    only = decided((a_host("node1", 24_000),), both)
    assert only.hold, "it does not start without it"
    gone = decided((a_host("node1", 24_000), a_host("node3")), both)
    assert (gone.moves, Reason.HOME_SILENT in reasons(gone.hold[0])) == ((), True)


def test_what_lies_apart_does_not_come_to_a_chain_that_leaves() -> None:
    """It lies already where the chain goes: it came, and went back with all the others."""
    both = a_chain(reader("r", X, Y), away={Y: "node2"}, away_bytes={Y: 7})
    assert decided((SMALL, LARGE), both).moves == (A_MOVE,)


def test_another_node_is_tried_where_a_transfer_came_to_nothing_and_else_the_hold_names_it() -> None:
    failed = a_chain(failed_transfers={"take-0001": "node2"})
    (hold,) = decided((SMALL, LARGE), failed).hold
    assert "transfer take-000 came to nothing" in sentence(hold, 0.0, 0.0)
    assert hold.is_infeasible

    third = a_host("node3", 24_000)
    assert [move.target for move in decided((SMALL, LARGE, third), failed).moves] == ["node3"]


def test_one_host_alone_is_asked_nothing() -> None:
    decision = decided((SMALL,), a_chain())
    assert (decision.moves, reasons(decision.hold[0]) & {Reason.NO_OTHER_NODE}) == ((), set())
