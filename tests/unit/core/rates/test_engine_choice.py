"""Which engine a job waits for: the preferred one unless that is away, and never one that is away itself."""

from __future__ import annotations

import pytest
from builders import NOW, a_candidate, a_class, a_rate, a_spec

from conductor.core.rates.engine_choice import MOST_AHEAD, Move, away, moves, other_engine, without
from conductor.model.calls import EndpointFault, Trouble
from conductor.model.job_class import JobClass, class_of, named, with_engine
from conductor.model.reason import Reason
from conductor.model.snapshot import RateState
from conductor.model.spec import EngineNeed, Needs, RateNeed, TaskDecl, from_line, needs_of, to_line

LOCAL = EngineNeed(name="comfy", rates={"comfy": RateNeed()}, counters={"comfy": 1})
API = EngineNeed(name="film_api", rates={"film_api": RateNeed(tokens=4000)})
PLAIN = EngineNeed(name="templates")
ALL = (LOCAL, API, PLAIN)
DECL = TaskDecl(name="toon.segment", lane="cpu", module="toon")


def on(engine: EngineNeed, *engines: EngineNeed, **more: object) -> JobClass:
    return with_engine(
        named(a_class("cpu", engines=engines or ALL, cpu=1, counters={"own": 2}, **more)), engine
    )


def a_fault(
    key: str = "comfy", trouble: Trouble = "down", times: int = 2, closed_s: float = 10.0, **more: int
) -> RateState:
    fault = EndpointFault(trouble=trouble, words="nobody is there", times=times)
    return a_rate(key, endpoint_fault=fault, closed_until=NOW + closed_s, **more)


def moved(job_class: JobClass, *rates: RateState, waiting: int = 3) -> list[Move]:
    return moves([a_candidate(job_class, waiting=waiting)], rates, NOW)


def test_a_line_names_its_engines_and_is_admitted_for_the_first() -> None:
    spec = a_spec(task="toon.segment", needs=Needs(cpu=1, engines=ALL))
    assert from_line(to_line(spec)) == spec and b'"engine"' not in to_line(spec)
    needs = needs_of(spec, DECL)
    assert (needs.engine, needs.rates, needs.counters) == ("comfy", LOCAL.rates, LOCAL.counters)
    assert class_of(spec, DECL, "b").needs == needs
    assert a_spec(task="toon.segment", needs=Needs(cpu=1)).id == spec.id, "who makes it is not what is made"


def test_another_engine_is_another_class_that_takes_only_its_budget() -> None:
    first = on(LOCAL)
    second = with_engine(first, API)
    assert second.id != first.id and with_engine(second, LOCAL) == first
    assert (second.needs.rates, second.needs.counters) == (API.rates, {"own": 2})
    assert with_engine(second, API, is_bound=True).needs.engines == (API,)


def test_who_waits_for_an_engine_that_is_away_goes_to_the_next_that_is_there() -> None:
    (first, *rest) = moved(on(LOCAL), a_fault())
    assert (first.left, first.engine, first.is_fallback) == ("comfy", "film_api", True)
    assert first.why == (Reason.ENDPOINT_UNAVAILABLE, "nobody is there") and len(rest) == 2
    (first, *_) = moved(on(LOCAL), a_fault(), a_fault("film_api", times=1))
    assert first.engine == "templates", (
        "its gate is closed: nothing may be known for long, and nobody waits twice"
    )
    assert not moved(on(LOCAL, LOCAL, API), a_fault(), a_fault("film_api"))


@pytest.mark.parametrize(
    "rate",
    [
        a_fault(times=1),
        a_fault(trouble="limited", times=9),
        a_fault(closed_s=-1.0),
        a_rate("comfy", requests_left=0, requests_limit=10),
    ],
    ids=["once", "429", "opens", "busy with others"],
)
def test_who_can_wait_for_the_preferred_one_does(rate: RateState) -> None:
    assert not moved(on(LOCAL), rate)


def test_one_that_refuses_everybody_is_not_asked_twice() -> None:
    (first, *_) = moved(on(LOCAL), a_fault(trouble="refuses", times=1))
    assert first.why.reason is Reason.ENDPOINT_REFUSES


def test_while_one_asks_whether_it_is_back_the_others_go_on_elsewhere() -> None:
    assert moved(on(LOCAL), a_fault(closed_s=-1.0, going=1))


def test_money_that_is_spent_or_promised_is_not_spent_again() -> None:
    spent = a_rate("film_api", usd_left=0.3, usd_limit=5.0, usd_per_token=0.0001)
    found = away(API, {"film_api": spent}, NOW)
    assert found is not None and found.reason is Reason.MONEY_SPENT and "0.30 of 5.00 USD" in found.words
    (first, *_) = moved(on(LOCAL), a_fault(), spent)
    assert first.engine == "templates"
    assert not moved(on(API), a_rate("film_api", usd_left=0.5, usd_limit=5.0, usd_per_token=0.0001))


def test_who_went_away_comes_back_where_the_other_one_is_away_too() -> None:
    (first, *_) = moved(on(API), a_fault("film_api"))
    assert first.engine == "comfy" and not first.is_fallback


def test_a_bound_job_waits() -> None:
    assert not moved(with_engine(on(API), API, is_bound=True), a_fault("film_api"))


def test_what_an_engine_gave_up_goes_on_with_a_later_one_and_never_round_in_circles() -> None:
    needs = on(API).needs
    assert other_engine(needs, {}, NOW, is_given_up=True) == PLAIN
    assert other_engine(on(PLAIN).needs, {}, NOW, is_given_up=True) is None


def test_so_many_go_at_once_that_the_rest_is_there_when_the_engine_is_back() -> None:
    waits, there = on(LOCAL), with_engine(on(LOCAL), API)
    candidates = [a_candidate(waits, waiting=500), a_candidate(there, waiting=MOST_AHEAD - 2)]
    found = moves(candidates, [a_fault()], NOW)
    assert len(found) == 2 and {move.job_class.id for move in found} == {there.id}
    left = without(candidates, [move.job_id for move in found])
    assert [(c.waiting, len(c.heads)) for c in left] == [(498, 14), (MOST_AHEAD - 2, MOST_AHEAD - 2)]
    assert (
        without([a_candidate(waits, waiting=2)], [h.job_id for h in a_candidate(waits, waiting=2).heads])
        == ()
    )
