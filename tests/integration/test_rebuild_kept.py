"""What was dispatched is kept as it was then: rebuild goes by that, whatever manifests say by now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import a_spec
from msgspec.structs import replace
from rebuild_scene import CATALOGUE, RebuildScene
from redis import Redis

from conductor.base.settings.settings import Settings
from conductor.dispatch.dispatch import dispatch
from conductor.model.spec import Needs, Output
from conductor.ports import Ledger
from conductor.record import kept_manifests
from conductor.record.journal import Journal
from conductor.recovery.rebuild import rebuild


@pytest.fixture
def place(ledger: Ledger, tmp_path: Path, redis_url: str) -> RebuildScene:
    return RebuildScene(ledger, tmp_path, redis_url)


def test_what_was_dispatched_comes_back_whatever_its_file_says_by_now(place: RebuildScene) -> None:
    first, second = [a_spec(n) for n in range(4)], [a_spec(n) for n in range(4, 8)]
    place.dispatch(*first)
    path = place.dispatch(*second)
    path.write_text("not a manifest any more")
    place.flush()

    result = place.rebuild()

    assert place.states(*first, *second) == ["waiting"] * 8
    assert [(one.new, one.jobs) for one in result.manifests] == [(4, 4), (4, 4)]
    ledger_match = Journal(place.receipts).ledger_match(place.ledger.identity.generation())
    assert ledger_match.sentence is None and len(ledger_match.present) == 2
    assert place.rebuild().manifests[0].new == 0
    assert len(Journal(place.receipts).notes()) == 4, "nothing new to note"


def test_of_a_line_that_was_edited_the_one_dispatched_last_holds_also_over_several_lives(
    place: RebuildScene,
) -> None:
    small, large = a_spec(1, needs=Needs(ram_mib=10)), a_spec(1, needs=Needs(ram_mib=20))
    other = a_spec(2)
    place.dispatch(small)
    place.dispatch(large, other)
    for _ in range(2):
        place.flush()
        place.rebuild()
        view = place.ledger.jobs.job(large.id)
        assert view is not None and view.job_class.needs.ram_mib == 20
    place.dispatch(small)  # the operator thinks again
    place.flush()
    place.rebuild()
    view = place.ledger.jobs.job(small.id)
    assert view is not None and view.job_class.needs.ram_mib == 10
    assert place.states(other) == ["waiting"]


def test_in_two_backlogs_it_comes_back_to_the_one_that_had_it(place: RebuildScene) -> None:
    spec = a_spec(1)
    place.dispatch(spec, backlog="day")
    place.dispatch(spec, a_spec(2), backlog="night")
    place.flush()
    place.rebuild()
    assert place.ledger.tallies.counts("day")["waiting"] == 1
    assert place.ledger.tallies.counts("night")["waiting"] == 1


def test_what_was_moved_to_another_backlog_comes_back_there(place: RebuildScene) -> None:
    spec = a_spec(1)
    path = place.dispatch(spec, backlog="day")
    dispatch(place.ledger, path, "night", CATALOGUE, place.receipts, is_moving=True)
    for _ in range(2):
        place.flush()
        place.rebuild()
        assert place.ledger.tallies.counts("night")["waiting"] == 1
    dispatch(place.ledger, path, "day", CATALOGUE, place.receipts, is_moving=True)
    place.flush()
    place.rebuild()
    assert place.ledger.tallies.counts("day")["waiting"] == 1


def test_who_reads_what_another_manifest_of_that_name_writes_keeps_it(place: RebuildScene) -> None:
    writer = a_spec(1, writes=(Output(path="scratch:a", bytes=1),))
    early = a_spec(2, reads=("scratch:a",), after=(writer.id,))
    late = a_spec(3, reads=("scratch:a",), after=(writer.id,))
    place.dispatch(writer, early)
    place.dispatch(writer, late)
    place.flush()

    place.rebuild()

    with Redis.from_url(place.url, protocol=2, decode_responses=True) as client:
        assert client.smembers("conductor:readers:scratch:a") == {early.id, late.id}


def test_a_manifest_that_changed_and_is_kept_nowhere_is_said(place: RebuildScene) -> None:
    path = place.dispatch(a_spec(1), a_spec(2))
    shutil.rmtree(place.receipts / kept_manifests.FOLDER)
    place.flush()
    place.plan(a_spec(1), name=path.name)
    assert "not as it was" in place.rebuild().warnings[0]
    place.rebuild()
    assert len(Journal(place.receipts).ledger_match(None).sources) == 2, (
        "what it was rebuilt from is kept from now on"
    )


def test_what_a_disk_has_damaged_is_not_taken_for_what_was_dispatched(place: RebuildScene) -> None:
    path = place.dispatch(a_spec(1))
    (source,) = Journal(place.receipts).ledger_match(None).sources
    assert source.kept is not None and source.content() == source.kept
    source.kept.write_bytes(source.kept.read_bytes()[:-9])
    assert source.content() == path, "its own file still says the same"
    path.write_text("")
    assert source.content() is None


def test_what_can_no_more_be_dispatched_is_left_out_on_demand_only(
    place: RebuildScene, project: Settings
) -> None:
    place.dispatch(a_spec(1))
    place.dispatch(a_spec(2), name="n.jsonl")
    (source, _) = Journal(place.receipts).ledger_match(None).sources
    assert source.kept is not None
    bad = replace(source, manifest=place.manifest.with_name("gone.jsonl"), kept=None)
    bad.manifest.write_text("{}\n")
    place.flush()

    result = rebuild(place.ledger, place.receipts, CATALOGUE, [bad, source], 0.2, is_lenient=True)

    assert [one.new for one in result.manifests] == [1]
    assert "cannot be dispatched any more" in result.warnings[0]
