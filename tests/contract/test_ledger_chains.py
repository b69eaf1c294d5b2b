"""Files and chains in the ledger, over Redis and over the twin."""

from __future__ import annotations

import math

import msgspec
import pytest
from chain_scenes import a_pair, begin_removal, chain, chains, done, path, removable, with_files
from ledger_scenes import NODE, LedgerScene, a_receipt, a_reservation, an_entry, an_id

from conductor.model.chains import RemovableFile
from conductor.model.decision import Admission
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.receipt import OutputFact


def test_a_chain_is_seen_by_its_heads_until_it_is_begun_and_then_by_itself(scene: LedgerScene) -> None:
    a_pair(scene)
    assert chains(scene) == ()
    seen = chain(scene, "w")
    assert (seen.node, seen.root, seen.kept) == (None, "scratch", {})
    writer, reader = seen.jobs
    assert (writer.job_id, writer.writes, writer.is_going) == (an_id("w"), {path("x"): 10}, False)
    assert (reader.reads, reader.after) == ((path("x"),), (an_id("w"),))

    scene.run("w")

    begun = chain(scene)
    assert (begun.node, begun.jobs[0].is_going) == (NODE, True)


def test_a_file_stays_until_its_last_reader_is_accepted_at_the_size_it_really_has(scene: LedgerScene) -> None:
    scene.put(with_files("w", writes={"x": 10}, readers={"x": ["r", "s"]}))
    scene.put(with_files("r", reads=["x"]), with_files("s", reads=["x"]))
    done(scene, "w", x=12)
    assert chain(scene).kept == {path("x"): 12}
    done(scene, "r")
    assert (removable(scene), begin_removal(scene), chain(scene).kept) == (0, [], {path("x"): 12})
    done(scene, "s")

    assert removable(scene) == 12
    assert scene.ledger.files.begin_removal(NODE) == (), "its room is not wanted"
    assert scene.ledger.files.begin_removal("elsewhere", "scratch", 1) == ()
    assert scene.ledger.files.begin_removal(NODE, "published", 1) == ()
    fact = RemovableFile(path=path("x"), job_id=an_id("w"), attempt=1, bytes=12)
    assert scene.ledger.files.begin_removal(NODE, "scratch", 1) == (fact,)
    assert scene.ledger.files.begin_removal(NODE) == (fact,), "until it says that it is gone"
    assert removable(scene) == 0
    assert chains(scene, "w", "r") == ()

    scene.ledger.files.gone(NODE, [path("x")])

    assert begin_removal(scene) == []


def test_room_is_made_by_the_files_that_were_read_first_and_by_no_more_than_it_takes(
    scene: LedgerScene,
) -> None:
    for name in "cab":
        scene.put(with_files(f"w{name}", writes={name: 10}, readers={name: [f"r{name}"]}))
        scene.put(with_files(f"r{name}", reads=[name]))
        done(scene, f"w{name}", **{name: 10})
    for name in "bca":
        done(scene, f"r{name}")
    assert removable(scene) == 30

    assert begin_removal(scene, 11) == [path("b"), path("c")]

    assert removable(scene) == 10
    assert scene.ledger.files.begin_removal(NODE, "scratch", 99, most=0) == scene.ledger.files.begin_removal(
        NODE
    )
    scene.ledger.files.gone(NODE, [path("b"), path("c")])
    assert (begin_removal(scene, 0), begin_removal(scene, 1)) == ([], [path("a")])


def test_who_is_about_to_read_a_file_keeps_it_and_cannot_have_back_what_is_being_removed(
    scene: LedgerScene,
) -> None:
    scene.put(
        with_files("w", writes={"x": 10, "y": 7}, readers={"x": ["r"], "y": ["r"]}),
        with_files("r", reads=["x", "y"]),
    )
    done(scene, "w", x=10, y=7)
    done(scene, "r")
    assert removable(scene) == 17
    assert len(begin_removal(scene, 1)) == 1
    going, left = (path("x"), path("y")) if removable(scene) == 7 else (path("y"), path("x"))

    assert scene.ledger.files.keep({left: [an_id("late")], going: [an_id("late")]}) == {going: NODE}

    assert (removable(scene), begin_removal(scene)) == (0, [going])
    assert not scene.redo("w"), "a new file would be removed in the place of the old one"
    scene.ledger.files.gone(NODE, [going])
    assert scene.ledger.files.keep({}) == {}
    assert scene.redo("w")
    scene.put(with_files("late", reads=[left[8:], going[8:]], after=(an_id("w"),)))
    done(scene, "w", 2, x=10, y=7)
    assert chain(scene).kept == {path("x"): 10, path("y"): 7}
    done(scene, "late")
    assert removable(scene) == 17


def test_what_is_made_again_beside_a_file_that_is_wanted_is_no_result(scene: LedgerScene) -> None:
    scene.put(
        with_files("w", writes={"x": 10, "y": 7}, readers={"x": ["r"], "y": ["r"]}),
        with_files("r", reads=["x", "y"]),
    )
    done(scene, "w", x=10, y=7)
    done(scene, "r")
    assert scene.redo("w")
    done(scene, "w", 2, x=10, y=7)

    assert removable(scene) == 17


def test_one_that_is_made_again_waits_for_those_that_make_what_it_reads(scene: LedgerScene) -> None:
    scene.put(with_files("v", writes={"y": 3}, readers={"y": ["w"]}))
    scene.put(with_files("w", reads=["y"], writes={"x": 10}, readers={"x": ["r"]}, after=(an_id("v"),)))
    done(scene, "v", y=3)
    done(scene, "w", x=10)

    assert scene.redo("v")
    assert scene.ledger.commands.redo(an_id("w"), 1, own=((an_id("v"),), ()))

    assert (scene.heads(), scene.view("w").waits_for) == (["v"], (an_id("v"),))
    done(scene, "v", 2, y=3)
    assert chain(scene).kept == {path("y"): 3}
    done(scene, "w", 2, x=10)
    assert removable(scene) == 3


def test_what_nobody_reads_is_a_result_and_is_never_let_go(scene: LedgerScene) -> None:
    scene.put(with_files("w", writes={"x": 10, "y": 5}, readers={"x": ["r"]}), with_files("r", reads=["x"]))
    writer = chain(scene, "w").jobs[0]
    assert (writer.writes, writer.stays) == ({path("x"): 10}, 5)
    done(scene, "w", x=10, y=5)
    done(scene, "r")

    assert begin_removal(scene) == [path("x")]


def test_nothing_is_let_go_before_readers_that_are_still_being_dispatched(scene: LedgerScene) -> None:
    scene.put(with_files("w", writes={"x": 10}, readers={"x": ["r", "late"]}), with_files("r", reads=["x"]))
    done(scene, "w", x=10)
    done(scene, "r")
    assert removable(scene) == 0
    scene.put(with_files("late", reads=["x"]))
    assert chain(scene).kept == {path("x"): 10}
    done(scene, "late")

    assert begin_removal(scene) == [path("x")]


def test_chains_that_turn_out_to_share_a_file_become_one(scene: LedgerScene) -> None:
    a_pair(scene)
    scene.put(with_files("v", writes={"y": 3}, readers={"y": ["u"]}), with_files("u", reads=["y"]))
    done(scene, "v", y=3)
    assert len(chains(scene, "w", "v")) == 2
    scene.put(with_files("both", reads=["x", "y"]))

    joined = chain(scene, "w")

    assert {job.job_id for job in joined.jobs} == {an_id(name) for name in ("w", "r", "u", "both")}
    assert (joined.node, joined.kept) == (NODE, {path("y"): 3})


@pytest.mark.parametrize("verb", ["rescue", "fail", "give_back", "requeue"])
def test_a_chain_of_which_nothing_runs_or_lies_anywhere_may_begin_elsewhere(
    scene: LedgerScene, verb: str
) -> None:
    a_pair(scene)
    if verb in ("give_back", "requeue"):
        scene.admit("w")
    else:
        scene.run("w")
    assert chain(scene).node == NODE
    actions = {
        "rescue": lambda: scene.rescue("w"),
        "fail": lambda: scene.fail("w"),
        "give_back": lambda: scene.ledger.orphans.give_back(an_id("w"), 1),
        "requeue": lambda: scene.requeue("w"),
    }
    actions[verb]()

    assert chains(scene) == ()
    assert (chain(scene, "w").node, chain(scene, "w").jobs[0].is_going) == (None, False)


def test_a_chain_whose_file_lies_somewhere_stays_there_whatever_becomes_of_an_attempt(
    scene: LedgerScene,
) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    scene.run("r")
    scene.fail("r", then=Retry(delay_s=500))

    assert (chain(scene).node, chain(scene).kept) == (NODE, {path("x"): 10})


def test_what_a_dead_reader_would_read_stays_for_its_retry(scene: LedgerScene) -> None:
    scene.put(with_files("w", writes={"x": 10}, readers={"x": ["r", "s"]}))
    scene.put(with_files("r", reads=["x"]), with_files("s", reads=["x"]))
    done(scene, "w", x=10)
    scene.run("r")
    scene.fail("r", then=Dead())
    assert chain(scene).kept == {}, "no job of the chain will give it back"
    done(scene, "s")
    assert (removable(scene), chains(scene)) == (0, ())

    scene.retry("r")

    assert chain(scene).kept == {path("x"): 10}
    done(scene, "r", 2)
    assert begin_removal(scene) == [path("x")]


def test_redo_of_a_reader_takes_back_what_was_about_to_be_removed(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    done(scene, "r")
    assert removable(scene) == 10

    assert scene.redo("r")

    assert removable(scene) == 0
    assert (chain(scene).node, chain(scene).kept) == (NODE, {path("x"): 10})
    done(scene, "r", 2)
    assert begin_removal(scene) == [path("x")]


def test_writer_and_reader_made_again_live_as_at_first(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    done(scene, "r")
    assert begin_removal(scene) == [path("x")]
    scene.ledger.files.gone(NODE, [path("x")])
    assert scene.redo("r")
    assert scene.redo("w", after=["r"])

    assert [job.job_id for job in chain(scene, "w").jobs] == [an_id("w"), an_id("r")]
    done(scene, "w", 2, x=11)
    assert chain(scene).kept == {path("x"): 11}
    done(scene, "r", 2)
    assert begin_removal(scene) == [path("x")]


def test_jobs_that_were_done_before_redis_was_emptied_leave_what_is_still_to_be_read(
    scene: LedgerScene,
) -> None:
    scene.put(with_files("w", writes={"x": 10}, readers={"x": ["r", "s"]}, is_done=True, attempts=1))
    scene.put(with_files("r", reads=["x"], is_done=True, attempts=1), with_files("s", reads=["x"]))

    assert (chain(scene).node, chain(scene).kept) == (NODE, {path("x"): 10})
    done(scene, "s")
    assert begin_removal(scene) == [path("x")]


def test_what_was_read_by_all_before_redis_was_emptied_may_go(scene: LedgerScene) -> None:
    writer = with_files("w", writes={"x": 10}, readers={"x": ["r", "s"]}, is_done=True, attempts=1)
    scene.put(writer, with_files("r", reads=["x"], is_done=True, attempts=1))
    assert removable(scene) == 0
    scene.put(with_files("s", reads=["x"], is_done=True, attempts=1))

    assert removable(scene) == 10


def test_an_adopted_attempt_begins_its_chain_where_it_runs(scene: LedgerScene) -> None:
    from ledger_scenes import a_reservation

    a_pair(scene)
    assert scene.ledger.attempts.adopt(a_reservation("w", 1), "w1", 30.0) == "ok"

    assert (chain(scene).node, chain(scene).jobs[0].is_going) == (NODE, True)


def test_what_was_written_lately_is_told_by_disk(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    scene.run("r")
    facts = tuple(
        OutputFact(path=where, bytes=size, sha256="0" * 64)
        for where, size in (("published:a", 3), ("published:b", 4))
    )
    scene.ledger.attempts.accept(msgspec.structs.replace(a_receipt("r"), outputs=facts))

    written = scene.ledger.waiting.chain_states([]).written

    assert [(fact.node, fact.root, fact.bytes) for fact in written] == [
        (NODE, "scratch", 10),
        (NODE, "published", 7),
    ]
    assert written[0].at == pytest.approx(scene.ledger.bell.now(), abs=5)


def test_what_lands_within_a_moment_is_told_together_and_nothing_of_it_is_lost(scene: LedgerScene) -> None:
    names = [f"j{n}" for n in range(200)]
    scene.put(*(an_entry(name) for name in names))
    began = scene.ledger.bell.now()
    admissions = [Admission(reservation=a_reservation(name), backlog="night") for name in names]
    assert scene.ledger.handover.admit(scene.epoch, admissions) == (None,) * len(names)
    for n, name in enumerate(names):
        scene.ledger.attempts.start(an_id(name), 1, "w1", 30.0)
        facts = (
            OutputFact(path=f"scratch:{name}", bytes=3, sha256="0" * 64),
            OutputFact(path=f"published:{name}", bytes=1, sha256="0" * 64),
        )
        accepted = scene.ledger.attempts.accept(msgspec.structs.replace(a_receipt(name), outputs=facts))
        assert accepted == "accepted"
        if n % 20 == 19:  # After each verb, the check of 200 jobs took a minute on a loaded machine.
            scene.check()

    written = scene.ledger.waiting.chain_states([]).written

    moments = math.ceil((scene.ledger.bell.now() - began) / 0.25) + 1
    assert sum(fact.bytes for fact in written) == 200 * 4
    assert len(written) <= 2 * moments
    assert all(fact.at >= began for fact in written), "never told as older than it is"


def test_the_longest_first_wait_is_remembered(scene: LedgerScene) -> None:
    scene.put(an_entry("a"), an_entry("b"))
    scene.let(0.3)
    scene.run("a")
    first = scene.ledger.waiting.chain_states([]).longest_wait_s
    assert first == pytest.approx(0.3, abs=0.25)
    scene.fail("a")
    scene.let(0.3)
    scene.run("a", 2)
    assert scene.ledger.waiting.chain_states([]).longest_wait_s == first, "a retry waits for its own sake"
    scene.run("b")

    assert scene.ledger.waiting.chain_states([]).longest_wait_s >= 0.55


def test_heads_are_found_wherever_they_stand_in_their_class(scene: LedgerScene) -> None:
    scene.put(*(an_entry(f"n{i}") for i in range(5)), an_entry("bound", after=(an_id("n0"),)))
    assert scene.heads(2) == ["n0", "n1"]

    found = scene.ledger.waiting.heads([an_id("n4"), an_id("bound"), an_id("nobody")])

    assert [(class_id, head.job_id, head.attempts) for class_id, head in found] == [("c1", an_id("n4"), 0)]


def test_a_second_look_costs_only_what_changed_and_says_the_same(scene: LedgerScene) -> None:
    a_pair(scene)
    assert chain(scene, "w") == chain(scene, "w")
    scene.put(with_files("s", reads=["x"]))
    assert [job.job_id for job in chain(scene, "w").jobs] == [an_id(name) for name in ("w", "r", "s")]
    done(scene, "w", x=10)
    assert chain(scene) == chain(scene)
    scene.run("r")
    assert [job.is_going for job in chain(scene).jobs] == [True, False]
