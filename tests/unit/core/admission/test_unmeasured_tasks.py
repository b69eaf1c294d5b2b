"""Of a kind that no receipt tells of, few begin on a device until the first has shown what it holds."""

from __future__ import annotations

from typing import Any

from builders import NOW, a_candidate, a_class, a_device, a_report, a_reservation, a_snapshot

from conductor.core.admission.admission import decide
from conductor.core.admission.sentences import words_of
from conductor.core.admission.unmeasured_tasks import LONGEST_S, TOLD_S
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.receipt import Usage
from conductor.model.report import NodeReport
from conductor.model.snapshot import JobClass, Reservation

LIMITS = Limits(depth={"gpu": 8})
UNTRIED = a_class(vram_mib=500, kind="media.cut", is_untried=True)


def report(devices: int = 1, ours: dict[str, int] | None = None, **more: Any) -> NodeReport:
    return a_report(devices=tuple(a_device(i, ours=ours) for i in range(devices)), sent_at=NOW, **more)


def going(n: int, began_s_ago: float | None, **more: Any) -> Reservation:
    """None: it has not begun."""
    values: dict[str, Any] = {"state": "admitted", "started_at": None, "worker": None}
    if began_s_ago is not None:
        values = {"started_at": NOW - began_s_ago, "worker": f"w{n}"}
    return a_reservation(f"job-{n:08d}", vram_mib=500, kind="media.cut", **{**values, **more})


def tick(
    *reservations: Reservation, nodes: NodeReport | None = None, job_class: JobClass = UNTRIED
) -> Decision:
    snapshot = a_snapshot(nodes=(nodes or report(),), reservations=reservations)
    return decide(snapshot, [a_candidate(job_class, waiting=9)], LIMITS)


def test_one_of_it_begins_on_each_device() -> None:
    decision = tick(nodes=report(devices=2))

    assert sorted(a.reservation.devices for a in decision.admit) == [("gpu0",), ("gpu1",)]
    (hold,) = decision.hold
    assert [(v.gate, v.where, v.reason) for v in hold.closed] == [
        ("hold", "node1/gpu1", Reason.UNTRIED),
        ("hold", "node1/gpu0", Reason.UNTRIED),
    ]
    closed = hold.closed[0]
    assert (
        words_of(closed)
        == "no receipt tells what media.cut takes yet: more of it begin once the first has shown it"
    )


def test_what_is_known_begins_as_it_fits() -> None:
    assert len(tick(job_class=a_class(vram_mib=500, kind="media.cut")).admit) == 8
    assert len(tick(nodes=report(devices=0)).admit) == 8, "it runs on the CPU there"


def test_until_the_first_has_shown_what_it_holds_nobody_follows() -> None:
    holding = report(ours={"w0": 400})

    assert not tick(going(0, None)).admit
    assert not tick(going(0, TOLD_S - 0.1), nodes=holding).admit, "it may still load"
    assert len(tick(going(0, TOLD_S), nodes=holding).admit) == 1
    assert not tick(going(0, TOLD_S)).admit, "nothing of it is measured"
    assert len(tick(going(0, TOLD_S, usage=Usage(vram_mib=400))).admit) == 1, "by its worker's own word"
    assert len(tick(going(0, LONGEST_S)).admit) == 1, "nobody can tell: it keeps the others back no longer"


def test_each_that_has_shown_it_lets_one_more_begin() -> None:
    shown = [going(n, TOLD_S, usage=Usage(vram_mib=400)) for n in range(3)]

    assert len(tick(*shown).admit) == 3
    assert len(tick(*shown, going(3, 0.5), going(4, 0.5)).admit) == 1


def test_others_are_not_kept_back_and_nobody_inherits_a_place() -> None:
    other = a_class(id="other", vram_mib=500, kind="other")
    snapshot = a_snapshot(nodes=(report(workers=1),), reservations=(going(0, 1.0),))

    decision = decide(snapshot, [a_candidate(UNTRIED, waiting=9), a_candidate(other)], LIMITS)

    assert [a.reservation.class_id for a in decision.admit] == ["other"]
    assert not any(successor.admission.reservation.kind == "media.cut" for successor in decision.successors)
