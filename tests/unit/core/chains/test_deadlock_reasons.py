"""Chains that no disk can see to their end any more are told apart from those that wait."""

from __future__ import annotations

import pytest
from builders import a_candidate, a_class, a_report, a_snapshot, a_volume
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.model.chains import Chain, FileJob
from conductor.model.decision import Hold
from conductor.model.limits import Limits
from conductor.model.reason import Reason

LIMITS = Limits(
    depth={"gpu": 9, "cpu": 9, "io": 9, "cloud": 9}, disk_headroom_bytes={"scratch": 1}, is_safe=True
)
FIRST = FileJob(job_id="first-00000000", writes={"scratch:x": 10})
SECOND = FileJob(
    job_id="second-00000000", reads=("scratch:x",), writes={"scratch:y": 10}, after=("first-00000000",)
)
THIRD = FileJob(job_id="third-00000000", reads=("scratch:y",), after=("second-00000000",))
FRESH = Chain(id="c", jobs=(FIRST, SECOND, THIRD))
BEGUN = Chain(id="c", node="a", jobs=(replace(SECOND, after=()), THIRD), kept={"scratch:x": 10})


def held(chain: Chain, name: str, *disks: int, used: int = 0) -> tuple[Hold, ...]:
    volumes = [a_volume("scratch", total_bytes=disk, free_bytes=disk - used) for disk in disks]
    nodes = tuple(a_report(node, volumes=(v,)) for node, v in zip("ab", volumes, strict=False))
    candidate = a_candidate(a_class("cpu", id=name, writes={"scratch": 10}, cpu=1))
    return decide(a_snapshot(nodes=nodes, chains=(chain,)), [candidate], LIMITS).hold


def test_a_chain_that_fits_no_disk_from_end_to_end_is_infeasible_and_says_so() -> None:
    (hold,) = held(FRESH, "first", 20, 15)

    assert hold.is_infeasible
    assert [v.limit for v in hold.closed if v.is_never] == [19]
    assert held(FRESH, "first", 20, 21) == ()


def test_a_begun_chain_whose_disk_shrank_is_infeasible_wherever_else_there_is_room() -> None:
    (hold,) = held(BEGUN, "second", 20, 100, used=10)

    assert hold.is_infeasible


@pytest.mark.parametrize("chain", [FRESH, BEGUN])
def test_one_that_waits_for_what_others_use_is_not(chain: Chain) -> None:
    (hold,) = held(chain, chain.jobs[0].job_id.removesuffix("-00000000"), 40, used=35)

    assert not hold.is_infeasible


def test_one_that_no_device_can_take_tells_of_its_full_disk_too() -> None:
    """A device may come: the disk keeps it back then. Found by a property, on two nodes without devices."""
    disk = a_volume("scratch", total_bytes=100, free_bytes=0)
    jobs = tuple(
        FileJob(job_id=f"class-a-0000000{n}", reads=("scratch:x",), writes={f"scratch:y{n}": 30})
        for n in range(2)
    )
    chain = Chain(id="c", node="a", jobs=jobs, kept={"scratch:x": 20})
    candidate = a_candidate(a_class("cpu", vram_mib=1, devices=1))
    nodes = (a_report("a", devices=(), volumes=(disk,)), a_report("b", devices=()))

    (hold,) = decide(a_snapshot(nodes=nodes, chains=(chain,)), [candidate], LIMITS).hold

    assert hold.is_infeasible
    assert {verdict.gate for verdict in hold.closed} == {"vram", "scratch", "mount"}
    assert [v.reason for v in hold.closed if v.gate == "mount"] == [Reason.NO_OTHER_NODE]
