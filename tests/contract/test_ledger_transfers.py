"""Files of a chain that go from one node to another in the ledger, over Redis and over the twin."""

from __future__ import annotations

import msgspec
import pytest
from chain_scenes import a_pair, chain, done, path, removable
from ledger_scenes import NODE, LedgerScene, a_receipt, an_entry, an_id

from conductor.core.chains.transfers import FOLDER
from conductor.model.chains import FileJob, LyingFile, RemovableFile
from conductor.model.failure_outcome import Dead
from conductor.model.ledger_entries import Entry, EntryFiles
from conductor.model.receipt import OutputFact

THERE = "node2"
COPY = f"nas:{FOLDER}/take-0000000/0"


def a_transfer(*files: str, target: str = THERE) -> tuple[Entry, Entry]:
    """`take` copies them to the NAS, `bring` copies them to the other node's disk."""
    here = tuple(map(path, files))
    take = FileJob(job_id=an_id("take"), reads=here, writes={COPY: 10}, bound_for=target)
    bring = FileJob(job_id=an_id("bring"), reads=(*here, COPY), bound_for=target)
    return (
        an_entry("take", files=EntryFiles(job=take, readers={COPY: (an_id("bring"),)})),
        an_entry("bring", files=EntryFiles(job=bring), after=(an_id("take"),)),
    )


def ends(scene: LedgerScene, name: str, node: str, attempt: int = 1, **outputs: int) -> str:
    """Run it there to its receipt."""
    assert scene.admit(name, attempt, node=node) is None
    assert scene.take("cpu-node1", "w1") == (an_id(name), attempt)
    scene.start(name, attempt)
    return accepted(scene, name, node, attempt, **outputs)


def accepted(scene: LedgerScene, name: str, node: str, attempt: int = 1, **outputs: int) -> str:
    paths = {COPY if file == "copy" else path(file): size for file, size in outputs.items()}
    facts = tuple(OutputFact(path=p, bytes=size, sha256="0" * 64) for p, size in paths.items())
    answer = scene.ledger.attempts.accept(
        msgspec.structs.replace(a_receipt(name, attempt), node=node, outputs=facts)
    )
    scene.check()
    return answer


def lying(scene: LedgerScene, name: str = "x") -> tuple[str, str, int] | None:
    found = scene.ledger.files.lying([path(name)])
    return (found[0].node, found[0].job_id, found[0].attempt) if found else None


def dropped(scene: LedgerScene, node: str = NODE) -> list[RemovableFile]:
    return list(scene.ledger.files.begin_removal(node))


def test_a_chain_goes_on_where_its_files_were_brought_and_the_copies_go(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    assert lying(scene) == (NODE, an_id("w"), 1)
    scene.put(*a_transfer("x"))
    moving = chain(scene)
    assert (moving.node, {job.job_id: job.bound_for for job in moving.jobs if job.bound_for}) == (
        NODE,
        {an_id("take"): THERE, an_id("bring"): THERE},
    )
    assert ends(scene, "take", NODE, copy=10) == "accepted"
    assert (chain(scene).node, chain(scene).kept) == (NODE, {path("x"): 10}), "until it is there"

    assert ends(scene, "bring", THERE, x=10) == "accepted"

    assert (lying(scene), chain(scene).node, chain(scene).kept) == (
        (THERE, an_id("bring"), 1), THERE, {path("x"): 10},
    )  # fmt: skip
    was = RemovableFile(path=path("x"), job_id=an_id("w"), attempt=1, bytes=10)
    assert dropped(scene) == [was], "at once: a copy is nobody's result"
    assert scene.ledger.files.keep({path("x"): [an_id("later")]}) == {}, "the file itself is there"
    assert scene.ledger.files.removable(NODE, ["nas"]) == {"nas": 10}, "what it went by goes, too"
    scene.ledger.files.gone(NODE, [path("x")])
    assert (dropped(scene), dropped(scene, THERE), removable(scene)) == ([], [], 0)


def test_the_last_reader_lets_the_brought_file_go_from_where_it_was_brought(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    scene.put(*a_transfer("x"))
    ends(scene, "take", NODE, copy=10)
    ends(scene, "bring", THERE, x=10)

    ends(scene, "r", THERE)

    assert scene.ledger.files.removable(THERE, ["scratch"]) == {"scratch": 10}
    assert scene.ledger.files.removable(NODE, ["scratch"]) == {}
    assert scene.ledger.files.lying([path("x")]) == ()


def test_a_transfer_that_is_late_moves_nothing_twice(scene: LedgerScene) -> None:
    """Two of them were planned by two leaders, to two nodes: the file lies in one place at every instant."""
    a_pair(scene)
    done(scene, "w", x=10)
    scene.put(*a_transfer("x"))
    other = FileJob(job_id=an_id("other"), reads=(path("x"),), bound_for="node3")
    scene.put(an_entry("other", files=EntryFiles(job=other)))
    ends(scene, "take", NODE, copy=10)
    ends(scene, "bring", THERE, x=10)

    ends(scene, "other", "node3", x=10)

    assert (lying(scene), chain(scene).node) == (("node3", an_id("other"), 1), "node3")
    assert [fact.job_id for fact in dropped(scene, THERE)] == [an_id("bring")]
    assert accepted(scene, "bring", THERE, 1, x=10) == "accepted", "the same receipt again"
    assert lying(scene) == ("node3", an_id("other"), 1)


def test_a_file_of_a_joined_chain_is_known_to_lie_elsewhere_until_it_was_brought(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    far = FileJob(job_id=an_id("far"), writes={path("y"): 7})
    scene.put(an_entry("far", files=EntryFiles(job=far, readers={path("y"): (an_id("both"),)})))
    ends(scene, "far", THERE, y=7)
    both = FileJob(job_id=an_id("both"), reads=(path("x"), path("y")))
    scene.put(an_entry("both", files=EntryFiles(job=both)))

    joined = chain(scene)
    apart = path("y") if joined.node == NODE else path("x")
    assert list(joined.away) == [apart]
    assert apart not in joined.kept

    bring = FileJob(job_id=an_id("bring"), reads=(apart,), bound_for=joined.node or "")
    scene.put(an_entry("bring", files=EntryFiles(job=bring)))
    ends(scene, "bring", joined.node or "", **{apart[8:]: 7})

    assert (chain(scene).away, chain(scene).node) == ({}, joined.node)
    assert set(chain(scene).kept) == {path("x"), path("y")}


def test_what_comes_when_nobody_reads_it_any_more_goes_again(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    scene.put(*a_transfer("x"))
    ends(scene, "take", NODE, copy=10)
    assert scene.admit("bring", node=THERE) is None
    assert scene.take("cpu-node1", "w1") == (an_id("bring"), 1)
    scene.start("bring")
    ends(scene, "r", NODE)

    assert accepted(scene, "bring", THERE, x=10) == "accepted"

    assert [fact.job_id for fact in dropped(scene, THERE)] == [an_id("bring")]
    assert removable(scene) == 10


def test_one_that_makes_a_brought_file_again_meets_neither_copy(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    scene.put(*a_transfer("x"))
    ends(scene, "take", NODE, copy=10)
    ends(scene, "bring", THERE, x=10)
    assert len(dropped(scene)) == 1

    assert scene.redo("w", after=("r",))

    assert dropped(scene) == [], "what lies at that name may be the new one by then"
    assert [fact.job_id for fact in dropped(scene, THERE)] == [an_id("bring")]
    assert lying(scene) is None


def test_a_transfer_that_died_is_told_until_it_is_tried_again(scene: LedgerScene) -> None:
    a_pair(scene)
    done(scene, "w", x=10)
    scene.put(*a_transfer("x"))
    scene.run("take")
    scene.fail("take", then=Dead())

    assert chain(scene).failed_transfers == {an_id("take"): THERE, an_id("bring"): THERE}
    assert scene.retry("take")
    assert chain(scene).failed_transfers == {}
    assert lying(scene) == (NODE, an_id("w"), 1)


@pytest.mark.parametrize("is_removed", [False, True])
def test_after_a_rebuild_a_file_lies_where_it_was_brought(scene: LedgerScene, is_removed: bool) -> None:
    """From receipts, in the order of the dispatches; also where its first copy was removed meanwhile."""
    x = path("x")
    writer, reader = FileJob(job_id=an_id("w"), writes={x: 10}), FileJob(job_id=an_id("r"), reads=(x,))
    bring = FileJob(job_id=an_id("bring"), reads=(x,), bound_for=THERE)
    lies = {} if is_removed else {x: 10}
    wrote = EntryFiles(job=writer, readers={x: (reader.job_id,)}, node=NODE, outputs=lies)
    scene.put(an_entry("w", is_done=True, attempts=1, files=wrote))
    scene.put(an_entry("r", files=EntryFiles(job=reader)))

    brought = EntryFiles(job=bring, node=THERE, outputs={x: 10})
    scene.put(an_entry("bring", is_done=True, attempts=1, files=brought))

    (fact,) = scene.ledger.files.lying([x])
    assert fact == LyingFile(path=x, node=THERE, job_id=bring.job_id, attempt=1, bytes=10)
    assert chain(scene).node == THERE
