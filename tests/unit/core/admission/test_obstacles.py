"""Node-side gates in the core: when one is closed, and what the decision makes of what a host reports."""

from __future__ import annotations

from typing import Any

from builders import NOW, a_candidate, a_class, a_report, a_reservation, a_snapshot
from msgspec import structs

from conductor.core.admission.admission import decide
from conductor.core.admission.earliest_start import earliest
from conductor.core.admission.explain import explain
from conductor.core.admission.obstacles import NodeGateStates, are_other
from conductor.core.admission.sentences import obstacle_words
from conductor.model.limits import Limits
from conductor.model.reason import Reason
from conductor.model.report import NodeReport, Obstacle
from conductor.model.signal import Signal
from conductor.model.snapshot import Reservation, Snapshot


def hot(figure: float, **changes: Any) -> Signal:
    values: dict[str, Any] = {
        "gate": "temperature",
        "device": "gpu0",
        "figure": figure,
        "closes_at": 83,
        "opens_at": 78,
    }
    return Signal(**{**values, "unit": "°C", "words": "it is too hot", **changes})


def played(*figures: float | None, **changes: Any) -> list[float | None]:
    """A reading each second: since when the gate is closed after it; None: it is open. A figure of None is no
    reading."""
    gates, found = NodeGateStates(), list[float | None]()
    for at, figure in enumerate(figures):
        closed = gates.hear([] if figure is None else [hot(figure, **changes)], float(at))
        found.append(closed[0].since if closed else None)
    return found


def test_a_device_that_hovers_at_its_limit_closes_once_and_opens_well_below_it() -> None:
    assert played(83, 84, 82, 83, 79, 78, 82, 84) == [None, 1, 1, 1, 1, None, None, 7]


def test_what_is_not_told_never_closes() -> None:
    assert played(84, None, 82, 84) == [0, None, None, 3]


def test_too_little_closes_as_well_as_too_much() -> None:
    idle = {"closes_at": 10, "opens_at": 10, "is_floor": True}
    assert played(10, 0.1, 9.9, 10, 0, **idle) == [None, 1, 1, None, 4]


def test_it_opens_when_it_has_been_good_for_long_enough_without_a_break() -> None:
    assert played(90, 70, 70, 80, 70, 70, 70, opens_after_s=2) == [0, 0, 0, 0, 0, 0, None]


def test_devices_and_gates_are_closed_each_by_itself() -> None:
    gates = NodeGateStates()
    closed = gates.hear([hot(90), hot(20, device="gpu1"), hot(90, gate="input", device="")], 5.0)
    assert [(o.gate, o.device) for o in closed] == [("input", ""), ("temperature", "gpu0")]
    later = gates.hear([hot(89), hot(90, device="gpu1")], 6.0)
    assert [(o.device, o.since) for o in later] == [("gpu0", 5.0), ("gpu1", 6.0)]
    assert are_other(closed, later) and not are_other(
        later, gates.hear([hot(88), hot(91, device="gpu1")], 7.0)
    )


def an_obstacle(device: str = "", **changes: Any) -> Obstacle:
    values: dict[str, Any] = {
        "gate": "input",
        "device": device,
        "words": "somebody is at this machine",
        "figure": 0.5,
    }
    return Obstacle(**{**values, "opens_at": 10.0, "unit": "min without input", "since": NOW - 60, **changes})


def closed(*reports: NodeReport) -> Snapshot:
    return a_snapshot(nodes=reports)


def test_a_host_with_an_obstacle_starts_nothing_and_the_gate_says_why_in_words() -> None:
    snapshot = closed(a_report(obstacles=(an_obstacle(),)))
    for lane in ("gpu", "cpu"):
        decision = decide(
            snapshot, [a_candidate(a_class(lane, vram_mib=1000 if lane == "gpu" else 0))], Limits()
        )

        assert decision.admit == ()
        (verdict,) = decision.hold[0].closed
        assert (verdict.gate, verdict.where, verdict.have, verdict.limit) == ("hold", "node1", 0.5, 10.0)
        assert (verdict.reason, verdict.detail.obstacle) == (Reason.OBSTRUCTED, "input")
        words = (
            "node1, somebody is at this machine (now 0.5 min without input, opens at 10 min without input)"
        )
        assert words in " ".join(explain(decision.hold[0], NOW))
        assert not decision.hold[0].is_infeasible and earliest(decision.hold[0]) is None


def test_a_device_with_an_obstacle_is_closed_alone() -> None:
    hot_one = an_obstacle(
        "gpu0", gate="temperature", words="it is too hot", figure=86.0, opens_at=78.0, unit="°C"
    )
    snapshot = closed(a_report(devices=2, obstacles=(hot_one,)))
    candidates = [a_candidate(a_class("gpu", vram_mib=1000), waiting=6), a_candidate(a_class("cpu", id="c"))]

    decision = decide(snapshot, candidates, Limits(depth={"gpu": 2, "cpu": 2}))

    assert {a.reservation.devices for a in decision.admit} == {("gpu1",), ()}
    held = next(h for h in decision.hold if h.lane == "gpu")
    assert any("node1/gpu0, it is too hot (now 86 °C, opens at 78 °C)" in line for line in explain(held, NOW))
    assert not any("quarantined" in line for line in explain(held, NOW))


def test_another_host_takes_what_this_one_does_not() -> None:
    snapshot = closed(a_report(obstacles=(an_obstacle(),)), a_report("node2"))
    decision = decide(snapshot, [a_candidate(a_class("cpu"))], Limits())
    assert [a.reservation.node for a in decision.admit] == ["node2"]


def test_the_words_have_the_figures() -> None:
    assert (
        obstacle_words(an_obstacle(figure=3.0, unit="")) == "somebody is at this machine (now 3, opens at 10)"
    )


def test_what_a_frozen_body_holds_stays_reserved_and_nobody_says_when_it_ends() -> None:
    running = a_reservation(vram_mib=20000, expected_s=30.0)
    frozen = structs.replace(running, frozen_since=NOW - 5, frozen_for="somebody is at this machine")
    candidates = [a_candidate(a_class("gpu", vram_mib=10000))]

    def answer(held: Reservation) -> float | None:
        decision = decide(a_snapshot(reservations=(held,)), candidates, Limits())
        assert decision.admit == ()
        (verdict,) = [v for v in decision.hold[0].closed if v.gate == "vram"]
        assert verdict.holders == (held.job_id,)
        return verdict.reopens_at

    assert answer(running) == NOW + 20
    assert answer(frozen) is None
    assert answer(structs.replace(running, frozen_s=60.0)) == NOW + 80, "it stood for a minute"
