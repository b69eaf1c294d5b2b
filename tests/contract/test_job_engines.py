"""A job that may run on several engines: whose budget is taken, and where it goes when one is away; on Redis
and on the in-memory twin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from ledger_scenes import LedgerScene, an_entry, an_id
from ledger_scenes import a_class as plain_class

from conductor.base.logs import events
from conductor.model.calls import Call
from conductor.model.job_class import with_engine
from conductor.model.limits import Limits
from conductor.model.snapshot import Lookahead, RateState, Snapshot
from conductor.model.spec import EngineNeed, Needs, RateNeed
from conductor.tick.steps import TickMemory, TickState, change_engines

LOCAL = EngineNeed(name="comfy", rates={"comfy": RateNeed()})
API = EngineNeed(name="film_api", rates={"film_api": RateNeed()})
FIRST = with_engine(msgspec.structs.replace(plain_class(), needs=Needs(cpu=1.0, engines=(LOCAL, API))), LOCAL)


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    def hear(event: str, message: str, fields: dict[str, Any]) -> None:
        if event == "engine.fallback":
            found.append(fields)

    events.begin_hearing(hear)
    yield found
    events.end_hearing(hear)


def tell_down(scene: LedgerScene) -> None:
    down = Call(key="comfy", outcome="failed", job_id=an_id("x"), attempt=1, trouble="down", words="gone")
    scene.ledger.calls.tell_calls((down,))
    scene.let(0.02)


def tick(scene: LedgerScene) -> TickState:
    ledger = scene.ledger
    faults, closings = ledger.calls.endpoint_faults(), ledger.calls.closings()
    rates = tuple(
        RateState(key=key, endpoint_fault=faults.get(key), closed_until=until)
        for key, until in closings.items()
    )
    candidates = ledger.waiting.candidates(Lookahead())
    snapshot = Snapshot(now=ledger.bell.now(), rates=rates)
    state = TickState(epoch=1, memory=TickMemory(limits=Limits()), snapshot=snapshot, candidates=candidates)
    after = change_engines(ledger, state)
    scene.check()
    return after


def test_jobs_that_wait_at_its_gate_move_on_when_it_was_asked_twice_in_vain(
    scene: LedgerScene, heard: list[dict[str, Any]]
) -> None:
    scene.put(an_entry("a", FIRST), an_entry("b", FIRST))
    tell_down(scene)
    assert len(tick(scene).candidates) == 1 and not heard
    tell_down(scene)

    assert tick(scene).candidates == ()

    (moved,) = scene.ledger.waiting.candidates(Lookahead())
    assert moved.job_class.needs.rates == API.rates and moved.waiting == 2
    assert {fields["job_id"] for fields in heard} == {an_id("a"), an_id("b")}
    assert heard[0] | {"job_id": ""} == {
        "job_id": "", "about": "media.cut", "task": "media.cut", "from_engine": "comfy",
        "to_engine": "film_api", "reason": "endpoint_unavailable", "why": "gone"}  # fmt: skip
    assert tick(scene).candidates == (moved,), "it stays where it is"


def test_what_was_handed_over_for_another_engine_is_not_taken_back(scene: LedgerScene) -> None:
    other = with_engine(FIRST, API)
    scene.put(an_entry("a", FIRST), an_entry("b", other))
    assert scene.admit("a", class_id=FIRST.id) is None and scene.admit("b", class_id=other.id) is None
    tell_down(scene)
    states = [scene.ledger.jobs.job(an_id(name)).state for name in "ab"]  # type: ignore[union-attr]
    assert states == ["waiting", "admitted"]
