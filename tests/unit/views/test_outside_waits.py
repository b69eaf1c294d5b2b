"""`explain` of a job that waits for an API, a store, an engine or a counter: since when, who has it or asks
it, what opens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from builders import NOW, a_class, a_rate, a_reservation, a_spec
from cli_tools import Cli

from conductor.core.rates.engine_choice import TIMES
from conductor.model.calls import Call, EndpointFault, Trouble
from conductor.model.decision import Admission, Verdict
from conductor.model.ledger_entries import Entry
from conductor.model.reason import Detail, Reason
from conductor.model.snapshot import JobClass, RateState
from conductor.model.spec import EngineNeed, RateNeed, to_line
from conductor.views.outside_waits import engine_notes

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

STORE = "store:corpus"
AWAY = "store corpus (db:5432): Connection refused"


class OutsideScene:
    """Jobs 0 to 2 of «films» open the store; job 0 is of the first that asked it in vain."""

    def __init__(self, cli: Cli, night: NightScene) -> None:
        self.cli, self.night, self.ledger = cli, night, night.ledger
        self.job_class = a_class("io", id="films", backlog="night", task="ads.ingest", rates={STORE: (1, 0)})
        self.specs = [a_spec(n, task="ads.ingest", reads=(f"scratch:ad{n}.mp4",)) for n in range(20, 23)]
        entries = [Entry(job_id=s.id, line=to_line(s), job_class=self.job_class) for s in self.specs]
        self.ledger.intake.put("night", entries)

    def explain(self, n: int) -> str:
        return self.cli("explain", self.specs[n].id).out

    def fails(self, trouble: Trouble = "down", closes_for_s: float | None = 80.0) -> None:
        self.ledger.calls.tell_calls(
            (Call(key=STORE, outcome="failed", job_id="x", trouble=trouble, words=AWAY, ago_s=0.0,
                  closes_for_s=closes_for_s),)
        )  # fmt: skip

    def hold(self, verdict: Verdict) -> None:
        self.night.hold(verdict, class_id="films", task="ads.ingest", lane="io", head=self.specs[1].id)


@pytest.fixture
def scene(cli: Cli, night: NightScene) -> OutsideScene:
    return OutsideScene(cli, night)


def test_a_store_that_is_away_says_since_when_and_what_lets_it_be_asked(scene: OutsideScene) -> None:
    scene.fails()
    until = scene.ledger.calls.closings()[STORE]
    scene.hold(Verdict(gate="rate", passed=False, reason=Reason.ENDPOINT_UNAVAILABLE, where=STORE,
                       reopens_at=until, detail=Detail(trouble="down", words=AWAY)))  # fmt: skip

    said = scene.explain(1)

    assert f"{AWAY}, asked again in 1 min " in said, "nothing says that it is well then"
    assert f" if {STORE} answers then" in said
    assert f"{STORE} has been away for " in said and "asked 1 time in vain: " in said
    assert f"`conductor resume {STORE}` lets one job ask it at once, and the others follow" in said


def test_who_asks_it_first_is_named(scene: OutsideScene) -> None:
    scene.fails(closes_for_s=0.001)
    reservation = a_reservation(
        scene.specs[0].id, class_id="films", task="ads.ingest", lane="io", queue="io-node1", state="admitted",
        attempt=1, started_at=None
    )  # fmt: skip
    scene.ledger.handover.admit(scene.night.epoch, [Admission(reservation=reservation, backlog="night")])
    scene.ledger.calls.open_rate(STORE)
    scene.hold(Verdict(gate="rate", passed=False, reason=Reason.ONE_ASKS_FIRST, where=STORE,
                       detail=Detail(trouble="down", words=AWAY)))  # fmt: skip

    said = scene.explain(1)

    assert f"one job asks first: {AWAY} ({STORE})" in said
    assert f"ads.ingest · ad20.mp4 ({scene.specs[0].id[:8]}) asks it now, and the others follow" in said


def test_who_holds_a_counter_is_called_by_its_file(scene: OutsideScene) -> None:
    holder = scene.specs[0].id
    opens = scene.ledger.bell.now() + 3600
    scene.hold(Verdict(gate="counter", passed=False, reason=Reason.COUNTER_TAKEN, where="nuke", need=1,
                       limit=1, holders=(holder,), reopens_at=opens))  # fmt: skip

    said = scene.explain(1)

    assert f"waits for nuke: 1 of 1 held by ads.ingest · ad20.mp4 ({holder[:8]}) until about " in said


# ── engines ───────────────────────────────────────────────────────────────────────────────────────────────

ENGINES = (
    EngineNeed(name="comfy", rates={"comfy": RateNeed()}),
    EngineNeed(name="film_api", rates={"film_api": RateNeed()}),
)


def of_comfy(*rates: RateState) -> str:
    job_class: JobClass = a_class("cpu", engines=ENGINES, engine="comfy", rates={"comfy": (1, 0)})
    return "; ".join(engine_notes(job_class.needs, rates, NOW))


def away(key: str, times: int = TIMES, words: str = "nobody is there") -> RateState:
    fault = EndpointFault(trouble="down", words=words, since=NOW - 60, times=times)
    return a_rate(key, endpoint_fault=fault, closed_until=NOW + 20)


def test_of_an_engine_that_is_away_the_others_of_its_list_are_told() -> None:
    assert of_comfy(a_rate("comfy")) == ""
    assert of_comfy(away("comfy", times=1)) == (
        "its engine is comfy; asked 2 times in vain, that counts as away, and the next of its list takes the "
        "job: film_api"
    )
    assert of_comfy(away("comfy")) == (
        "its engine is comfy, which is away (nobody is there): film_api takes the job in its turn"
    )
    assert of_comfy(away("comfy"), away("film_api", words="film_api has no credit")) == (
        "its engine is comfy, which is away (nobody is there), and no other of its list is open: film_api "
        "(film_api has no credit); it goes on with the first that is there again"
    )
