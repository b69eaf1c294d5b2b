"""A mixed run that was recorded once decides the same for ever, bit for bit, whatever is moved and renamed
since.

`tests/data/mixed_run.jsonl.xz` was played by `tests/mixed_run.py`; `tests/recorded.py` reads it, and says
where a name that is another now is written down. Red here means: the decision is another one than it was.
Where that is meant, `python tests/mixed_run.py --again` decides its snapshots anew, and the commit says why.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from recorded import RecordedTick, difference, read
from recording_writer import RecordingWriter

from conductor.analysis.replay.recording_frames import canonical
from conductor.core.admission.admission import decide


@pytest.fixture(scope="module")
def ticks() -> list[RecordedTick]:
    return list(read())


def test_every_tick_of_the_mixed_run_is_decided_as_it_was(ticks: list[RecordedTick]) -> None:
    for number, tick in enumerate(ticks, start=1):
        if words := difference(tick.decision, decide(tick.snapshot, tick.candidates, tick.limits)):
            pytest.fail(f"tick {number} of {len(ticks)} is decided otherwise now: {words}", pytrace=False)


def test_the_mixed_run_comes_through_what_the_decision_knows(ticks: list[RecordedTick]) -> None:
    decisions = [tick.decision for tick in ticks]
    holds = [hold for decision in decisions for hold in decision.hold]
    admitted = [admission.reservation for decision in decisions for admission in decision.admit]
    closed = Counter(verdict.gate for hold in holds for verdict in hold.verdicts if not verdict.passed)
    seen = {
        "successors": sum(len(decision.successors) for decision in decisions),
        "reviews": sum(len(decision.review) for decision in decisions),
        "wanted": sum(bool(decision.wanted) for decision in decisions),
        "backfill reservations": sum(bool(hold.reserved_at) for hold in holds),
        "overdue": sum(hold.first_from is not None for hold in holds),
        "learned": sum(bool(hold.learned) for hold in holds),
        "fronts that are compared": sum(
            hold.front is not None and not any(v.gate == "hold" for v in hold.verdicts if not v.passed)
            for decision in decisions
            if not decision.admit
            for hold in decision.hold
        ),
        "probes": sum(r.role == "probe" for r in admitted),
        "canaries": sum(r.role == "canary" for r in admitted),
        "retries": sum(r.attempt > 1 for r in admitted),
        "several devices": sum(len(r.devices) > 1 for r in admitted),
        "orders": len({tick.limits.order for tick in ticks}) - 7,
    }

    # Gates that came later were asked of nobody then.
    assert closed.keys() >= {"report", "hold", "mount", "lane", "vram", "scratch", "ram", "cpu", "rate"}
    assert {(r.lane, r.node) for r in admitted} >= {("gpu", "alpha"), ("cpu", "beta"), ("cloud", "gamma")}
    assert not [what for what, count in seen.items() if count < 1], seen


def test_the_first_difference_is_said_in_plain_words(ticks: list[RecordedTick]) -> None:
    tick = next(tick for tick in ticks if tick.decision.admit and len(tick.decision.hold) > 1)
    then, decision = tick.decision, canonical(decide(tick.snapshot, tick.candidates, tick.limits))
    first, other = decision.admit[0], decision.hold[1]
    moved = replace(first, reservation=replace(first.reservation, node="moon"))
    needy = replace(other, verdicts=(replace(other.verdicts[0], need=17.0), *other.verdicts[1:]))

    there = difference(then, replace(decision, admit=(moved, *decision.admit[1:])))
    gone = difference(then, replace(decision, admit=decision.admit[1:]))
    more = difference(then, replace(decision, hold=(decision.hold[0], needy, *decision.hold[2:])))

    r = first.reservation
    assert there == f"admit[0] ({r.task} {r.job_id}).reservation.node was {r.node!r}; now 'moon'"
    assert gone is not None and gone.startswith(f"admit[0] ({r.task} {r.job_id})")
    assert more is not None and f"({other.task}, class {other.class_id}, {other.head} first)" in more
    assert more.endswith("; now 17.0")


def seeded(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"seed": 9}


def test_a_name_that_is_another_now_is_looked_up_and_never_left_out(
    ticks: list[RecordedTick], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RecordingWriter()
    writer.add(ticks[0])
    writer.write(tmp_path / "one")
    monkeypatch.setattr("recorded.RENAMED", {"Limits": {"tick_s": "beat_s"}})
    with pytest.raises(LookupError, match="Limits has no field beat_s"):
        list(read(tmp_path / "one"))

    monkeypatch.setattr("recorded.RENAMED", {"Limits": {"tick_s": None}})
    monkeypatch.setattr("recorded.CHANGED", {"Limits": seeded})
    monkeypatch.setattr("recorded.WORDS", {"night": "dusk"})
    (tick,) = read(tmp_path / "one")

    assert (tick.limits.tick_s, tick.limits.seed, tick.limits.weights) == (1.0, 9, {"dusk": 3.0, "rush": 2.0})
