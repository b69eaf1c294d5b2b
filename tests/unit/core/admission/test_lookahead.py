"""What the next tick reads of each class."""

from __future__ import annotations

from builders import NOW, a_candidate, a_class, a_reservation

from conductor.core.admission.lookahead import (
    ALL_HEADS,
    FEWEST_HEADS,
    MOST_HEADS,
    USUAL_HEADS,
    next_look,
)
from conductor.model.decision import Admission, Decision
from conductor.model.snapshot import Candidate, Lookahead


def classes(count: int, waiting: int = 10_000, heads: int = 4) -> list[Candidate]:
    return [a_candidate(a_class(id=f"c{i}"), waiting=waiting, heads=heads) for i in range(count)]


def admitting(**of: int) -> Decision:
    reservations = (a_reservation(class_id=class_id) for class_id, count in of.items() for _ in range(count))
    return Decision(now=NOW, admit=tuple(Admission(reservation=r, backlog="b") for r in reservations))


def test_of_many_classes_with_long_backlogs_few_are_read_each() -> None:
    look = next_look(Lookahead(), classes(100), admitting(), has_chains=False)

    assert look == Lookahead(heads=ALL_HEADS // 100)
    assert next_look(Lookahead(), classes(5000), admitting(), has_chains=False).heads == FEWEST_HEADS


def test_few_classes_short_backlogs_and_chains_are_read_as_far_as_usual() -> None:
    for candidates, has_chains in (
        (classes(10), False),
        (classes(90, waiting=2), False),
        (classes(100), True),
    ):
        assert next_look(Lookahead(heads=4), candidates, admitting(), has_chains) == Lookahead(
            heads=USUAL_HEADS
        )


def test_only_the_class_that_is_fed_is_read_further() -> None:
    candidates, look = classes(100), Lookahead(heads=4)
    for wanted in (16, 64, MOST_HEADS, MOST_HEADS):
        look = next_look(look, candidates, admitting(c7=len(candidates[7].heads)), has_chains=False)
        candidates[7] = a_candidate(candidates[7].job_class, waiting=10_000, heads=wanted)

        assert look == Lookahead(heads=4, of={"c7": wanted})


def test_what_a_tick_takes_is_read_twice_over_and_given_up_by_halves() -> None:
    candidates, look = classes(100, heads=64), Lookahead(heads=4, of={"c7": 64})

    assert next_look(look, candidates, admitting(c7=5), has_chains=False).of == {"c7": 32}
    assert next_look(look, candidates, admitting(c7=20), has_chains=False).of == {"c7": 64}
    for expected in (32, 16, 8):
        look = next_look(look, candidates, admitting(), has_chains=False)
        assert look.of == {"c7": expected}
    assert next_look(look, candidates, admitting(), has_chains=False).of == {}


def test_a_class_that_ran_dry_is_forgotten_and_the_backlogs_stay() -> None:
    look = Lookahead(heads=4, of={"c7": 64}, backlogs=("night",))

    assert next_look(look, classes(3), admitting(), has_chains=False) == Lookahead(
        heads=USUAL_HEADS, backlogs=("night",)
    )
