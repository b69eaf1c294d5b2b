"""Priority is handed down to what a job waits for, of whatever manifest, and taken back: on both ledgers."""

from __future__ import annotations

import pytest
from ledger_scenes import LedgerScene, a_class, an_entry, an_id

from conductor.model.failure_outcome import Dead, Retry
from conductor.model.snapshot import Lookahead

URGENT = a_class("urgent", priority=100)


def priorities(scene: LedgerScene, *names: str) -> list[int]:
    return [scene.view(name).job_class.priority for name in names]


def order(scene: LedgerScene) -> dict[int, list[str]]:
    """Priority → those of it that may go now."""
    found: dict[int, list[str]] = {}
    for c in scene.ledger.waiting.candidates(Lookahead(heads=10)):
        found.setdefault(c.job_class.priority, []).extend(head.job_id[:1] for head in c.heads)
    return {priority: sorted(ids) for priority, ids in found.items()}


@pytest.fixture
def chain(scene: LedgerScene) -> LedgerScene:
    """a before b before u, which comes later and is urgent; x has nothing to do with them."""
    scene.put(an_entry("a"), an_entry("b", after=(an_id("a"),)), an_entry("x"))
    scene.put(an_entry("u", URGENT, after_ended=(an_id("b"),)))
    return scene


def test_what_an_urgent_job_of_another_manifest_waits_for_goes_as_it_does(chain: LedgerScene):
    assert priorities(chain, "a", "b", "u", "x") == [100, 100, 100, 0]
    assert order(chain) == {100: ["a"], 0: ["x"]}
    chain.run("a")
    chain.accept("a")
    assert order(chain) == {100: ["b"], 0: ["x"]}


@pytest.mark.parametrize("how", ["cancel", "fail"])
def test_it_is_taken_back_when_that_one_goes(chain: LedgerScene, how: str):
    chain.put(an_entry("v", a_class("some", priority=7), after=(an_id("a"),)))
    if how == "cancel":
        chain.ledger.commands.cancel(an_id("u"))
    else:
        chain.ledger.commands.fail(an_id("u"), "bad_input", "no")
    assert priorities(chain, "a", "b", "x") == [7, 0, 0]
    assert order(chain) == {7: ["a"], 0: ["x"]}

    assert chain.ledger.commands.retry(an_id("u"))
    assert priorities(chain, "a", "b", "x") == [100, 100, 0]


def test_one_that_died_and_lives_again_is_asked_for_again(chain: LedgerScene):
    chain.run("a")
    chain.fail("a", then=Dead())
    assert [chain.state(name) for name in "abu"] == ["dead", "dead", "waiting"], (
        "b died with it, u goes after the end"
    )
    assert chain.ledger.commands.retry(an_id("a"))
    assert [chain.state(name) for name in "abu"] == ["waiting", "waiting", "waiting"]
    assert priorities(chain, "a", "b") == [0, 0], "nobody waits for them any more"


def test_one_that_was_in_flight_meanwhile_comes_back_as_it_should_be(scene: LedgerScene):
    scene.put(an_entry("a"), an_entry("u", URGENT, after=(an_id("a"),)))
    scene.run("a")
    scene.ledger.commands.cancel(an_id("u"))
    scene.put(an_entry("w", a_class("some", priority=7), after=(an_id("a"),)))
    scene.fail("a", then=Retry())
    assert priorities(scene, "a") == [7]
    assert order(scene) == {7: ["a"]}


def test_one_that_waits_out_a_back_off_goes_on_waiting(scene: LedgerScene):
    scene.put(an_entry("a"))
    scene.run("a")
    scene.fail("a", then=Retry(delay_s=5000.0))
    scene.put(an_entry("u", URGENT, after=(an_id("a"),)))
    assert priorities(scene, "a") == [100] and order(scene) == {}
    assert scene.view("a").not_before is not None


def test_what_was_handed_down_in_its_own_manifest_is_taken_back_too(scene: LedgerScene):
    scene.put(an_entry("a", URGENT, own_priority=3), an_entry("u", URGENT, after=(an_id("a"),)))
    assert priorities(scene, "a") == [100]
    scene.ledger.commands.cancel(an_id("u"))
    assert priorities(scene, "a") == [3]


def test_a_line_that_waits_for_another_one_takes_its_priority_along(chain: LedgerScene):
    line = b'{"v":1,"args":{"text":"other"}}'
    entry = an_entry("u", URGENT, after=(an_id("x"),))
    from msgspec.structs import replace

    chain.ledger.intake.revise("night", [replace(entry, line=line)])
    assert priorities(chain, "a", "b", "x") == [0, 0, 100]
    # Its own manifest is dispatched once more: that does not take it away.
    chain.ledger.intake.revise("night", [an_entry("x")])
    assert priorities(chain, "x") == [100]
