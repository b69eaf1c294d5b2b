"""The list of jobs and the operator's word on many of them, from the command line, on a real ledger."""

from __future__ import annotations

import getpass

import pytest

from conductor.base.settings.settings import Settings
from conductor.model.spec import JobSpec, Output
from conductor.ports import Ledger
from conductor.record.journal import Journal
from tests.builders import a_spec
from tests.cli_tools import Cli
from tests.rebuild_scene import RebuildScene


@pytest.fixture
def place(project: Settings, ledger: Ledger, redis_url: str) -> RebuildScene:
    place = RebuildScene(ledger, project.project, redis_url)
    place.dispatch(*(spec(n) for n in range(6)))
    return place


def spec(number: int) -> JobSpec:
    return a_spec(number, writes=(Output(path=f"published:clip {number} \x1b[31m.mp4"),))


def states(place: RebuildScene) -> dict[int, str]:
    found = place.ledger.jobs.states([spec(n).id for n in range(6)])
    return {n: found[spec(n).id] for n in range(6)}


def test_the_list_has_what_waits_and_no_name_reaches_the_terminal_as_it_is(
    cli: Cli, place: RebuildScene
) -> None:
    shown = cli("jobs", 'file:"clip 3"')
    assert shown.code == 0
    assert "○ waiting" in shown.out
    assert "\x1b" not in shown.out
    assert shown.out.endswith("\n1 job\n")
    pages = [cli("jobs", "--json", "--limit", "4").json]
    pages.append(cli("jobs", "--json", "--limit", "4", "--cursor", pages[0]["cursor"]).json)
    assert [len(page["rows"]) for page in pages] == [4, 2]
    assert pages[0]["count"] == 6
    assert {row["job_id"] for page in pages for row in page["rows"]} == {spec(n).id for n in range(6)}
    wrong = cli("jobs", "state:gone")
    assert (wrong.code, wrong.out) == (2, "")
    assert "is no state" in wrong.err
    assert cli("jobs", "--cursor", "x").code == 2


def test_many_are_cancelled_counted_and_brought_back_and_the_journal_says_who_did_it(
    cli: Cli, place: RebuildScene
) -> None:
    for words in ((), ("",)):
        assert cli("drop", *words, "--yes").code == 2, "an empty filter means nothing"
    asked = cli("cancel", "state:waiting")
    assert asked.code == 2
    assert "cancel 6 jobs? nobody can be asked here" in asked.err
    assert set(states(place).values()) == {"waiting"}

    done = cli("cancel", 'file:"clip 1"', 'file:"clip"', "--yes", "--json").json
    assert (done["taken"], done["verb"], done["ids"]) == (1, "cancel", [spec(1).id])
    assert states(place)[1] == "cancelled"
    assert cli("drop", "state:waiting", "--yes").out == "drop: done to 5 jobs\n"
    assert set(states(place).values()) == {"cancelled"}
    assert cli("drop", "state:waiting", "--yes").code == 1
    assert cli("retry", "state:cancelled", "--yes").out == "retry: done to 6 jobs\n"
    assert set(states(place).values()) == {"waiting"}

    told = [note for note in Journal(place.receipts).notes() if note.what == "acted"]
    assert [(note.kind, note.words, note.jobs) for note in told] == [
        ("cancel", 'file:"clip 1" file:clip', 1),
        ("drop", "state:waiting", 5),
        ("drop", "state:waiting", 0),
        ("retry", "state:cancelled", 6),
    ]
    assert all(note.who.startswith(f"{getpass.getuser()}@") for note in told)
    events = place.ledger.events.latest(100)
    heard = [event.fields for event in events if event.name == "operator.acted_on_many"]
    assert [(each["what"], each["jobs"]) for each in heard][:2] == [
        ('cancel file:"clip 1" file:clip', 1),
        ("drop state:waiting", 5),
    ]


def test_what_is_dispatched_and_what_is_cancelled_is_on_the_stream(cli: Cli, place: RebuildScene) -> None:
    assert cli("cancel", spec(2).id).code == 0
    told = {event.name: event for event in place.ledger.events.latest(100)}
    assert told["job.cancelled"].fields["job_id"] == spec(2).id
    assert "which was waiting" in told["job.cancelled"].message
    assert told["job.dispatched"].fields["jobs"] == 6


def test_a_priority_is_given_shown_and_kept_by_a_rebuild(cli: Cli, place: RebuildScene) -> None:
    assert cli("priority", "1001", "state:waiting", "--yes").code == 2
    assert cli("priority", "40", spec(2).id[:9]).out == "priority: done to 1 job\n"
    assert cli("priority", "--yes", "--", "-7", 'file:"clip 3"').code == 0
    assert {n: priority(place, n) for n in (1, 2, 3)} == {1: 0, 2: 40, 3: -7}
    rows = {row["job_id"]: row["priority"] for row in cli("jobs", "--json").json["rows"]}
    assert (rows[spec(2).id], rows[spec(3).id]) == (40, -7)

    place.flush()
    place.rebuild()
    assert {n: priority(place, n) for n in (1, 2, 3)} == {1: 0, 2: 40, 3: -7}


def priority(place: RebuildScene, number: int) -> int:
    view = place.ledger.jobs.job(spec(number).id)
    assert view is not None
    return view.job_class.priority
