"""Jobs by a filter over HTTP: the list, and the word on all of them, which is counted before it is done."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from builders import a_report, a_spec
from msgspec.structs import replace
from node_scene import until
from rebuild_scene import RebuildScene
from web_scene import WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.model.report import QueueReport
from conductor.model.spec import Estimate, JobSpec, Output
from conductor.record.journal import Journal

JOBS = 6


def spec(number: int) -> JobSpec:
    return a_spec(number, writes=(Output(path=f"published:clip {number}.mp4"),))


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str
) -> Iterator[tuple[WebScene, RebuildScene]]:
    with connect(valkey_url) as client:
        client.flushall()
        with web_running(configured(tmp_path_factory.mktemp("lists"), valkey_url)) as web:
            place = RebuildScene(redis_ledger(client), web.settings.project, valkey_url)
            place.dispatch(*(spec(n) for n in range(JOBS)))
            yield web, place


@pytest.fixture
def web(both: tuple[WebScene, RebuildScene]) -> WebScene:
    return both[0]


@pytest.fixture
def place(both: tuple[WebScene, RebuildScene]) -> RebuildScene:
    return both[1]


def test_a_page_of_jobs_and_the_next_one(web: WebScene) -> None:
    with web.stranger() as ask:
        first = ask.get("/api/v1/jobs", params={"q": "state:waiting", "limit": 4}).json()
        rest = ask.get("/api/v1/jobs", params={"q": "state:waiting", "cursor": first["cursor"]}).json()
    assert (first["count"], first["is_live"], len(first["rows"]), len(rest["rows"])) == (JOBS, True, 4, 2)
    assert {row["job_id"] for row in first["rows"] + rest["rows"]} == {spec(n).id for n in range(JOBS)}


def test_a_filter_may_be_written_as_parameters_too(web: WebScene) -> None:
    with web.stranger() as ask:
        found = ask.get("/api/v1/jobs", params={"state": "waiting", "file": '"clip 3"'}).json()
        assert [row["file"] for row in found["rows"]] == ["clip 3.mp4"]
        wrong = ask.get("/api/v1/jobs", params={"q": "state:gone"})
        assert (wrong.status_code, "is no state" in wrong.json()["error"]) == (400, True)
        assert ask.get("/api/v1/jobs", params={"cursor": "x"}).status_code == 400


def test_what_the_jobs_of_a_filter_come_to_is_told_by_groups(web: WebScene) -> None:
    with web.stranger() as ask:
        told = ask.get("/api/v1/sums", params={"q": "state:waiting", "by": "task"}).json()
        assert (told["jobs"], told["is_exact"]) == (JOBS, True)
        assert [(row["name"], row["jobs"]) for row in told["groups"]] == [("diagnostics.echo", JOBS)]
        by_file = ask.get("/api/v1/sums", params={"q": "file:clip", "by": "file"}).json()
        assert len(by_file["groups"]) == JOBS
        assert ask.get("/api/v1/sums", params={"by": "id"}).status_code == 422
        assert ask.get("/api/v1/sums", params={"q": "state:gone"}).status_code == 400


def test_a_search_is_told_what_there_is_to_complete(web: WebScene) -> None:
    with web.stranger() as ask:
        ask.get("/api/v1/jobs")
        told = ask.get("/api/v1/filter-words").json()
    assert "cause" in told["qualifiers"] and "timeout" in told["causes"]
    assert told["names"]["task"] == {"diagnostics.echo": JOBS}
    assert told["names"]["backlog"] == {"night": JOBS}


def test_what_would_come_of_a_change_is_played_and_nothing_is_done(
    web: WebScene, place: RebuildScene
) -> None:
    timed = [a_spec(100 + n, task="diagnostics.sleep", estimate=Estimate(duration_s=60.0)) for n in range(4)]
    place.dispatch(*timed, name="timed.jsonl", backlog="timed")
    queues = (QueueReport(queue="cpu-node1", lane="cpu", workers=1),)
    place.ledger.reports.publish(replace(a_report(devices=1), queues=queues), 60.0)
    try:
        with web.stranger() as ask:
            ask.timeout = httpx.Timeout(60.0)
            alone = ask.get("/api/v1/what-if", params={"priority": 5})
            assert (alone.status_code, "go together" in alone.json()["error"]) == (400, True)
            asked = {"priority": 5, "q": f"id:{timed[3].id}"}
            # On a busy machine the play may be given up: then it is asked for once more.
            answers: list[httpx.Response] = []
            until(
                lambda: answers.append(ask.get("/api/v1/what-if", params=asked)) or answers[-1].is_success, 90
            )
            told = answers[-1].json()
            assert told["notes"] == ["diagnostics.echo, of which nobody knows how long it takes"]
            assert told["meant"]["jobs"] == 1 and told["words"].startswith("With priority 5")
    finally:
        place.ledger.reports.withdraw("node1")
    job = place.ledger.jobs.job(timed[3].id)
    assert job is not None and (job.state, job.job_class.priority) == ("waiting", 0)


def test_nothing_is_done_to_many_unless_it_was_counted_and_the_count_still_holds(
    web: WebScene, place: RebuildScene
) -> None:
    some = {"action": "cancel", "filter": f"id:{spec(1).id},{spec(2).id}"}
    with web.friend() as ask:
        counted = ask.post("/api/v1/bulk", json=some).json()
        assert (counted["count"], sorted(counted["ids"])) == (2, sorted([spec(1).id, spec(2).id]))
        other = ask.post("/api/v1/bulk", json={**some, "count": 3})
        assert (other.status_code, other.json()["error"].split(",")[0]) == (409, "3 were counted")
        assert set(place.ledger.jobs.states([spec(1).id, spec(2).id]).values()) == {"waiting"}
        done = ask.post("/api/v1/bulk", json={**some, "count": 2}, headers={"X-Name": "anna"})
    assert done.json()["taken"] == 2
    assert place.ledger.jobs.states([spec(1).id, spec(2).id, spec(3).id]) == {
        spec(1).id: "cancelled",
        spec(2).id: "cancelled",
        spec(3).id: "waiting",
    }
    acted = [note for note in Journal(web.settings.receipts_dir).notes() if note.what == "acted"]
    assert [(note.kind, note.jobs) for note in acted] == [("cancel", 2)]
    with web.friend() as ask:
        back = ask.post(f"/api/v1/deeds/{done.headers['X-Deed']}/back").json()
    assert back["words"] == "Taken back for 2 jobs."
    assert set(place.ledger.jobs.states([spec(1).id, spec(2).id]).values()) == {"waiting"}


def test_an_empty_filter_and_a_stranger_are_refused(web: WebScene) -> None:
    with web.friend() as friend, web.stranger() as stranger:
        empty = friend.post("/api/v1/bulk", json={"action": "drop", "filter": " ", "count": JOBS})
        assert (empty.status_code, "wants a filter" in empty.json()["error"]) == (400, True)
        assert friend.post("/api/v1/bulk", json={"action": "explode", "filter": "x"}).status_code == 400
        refused = stranger.post("/api/v1/bulk", json={"action": "drop", "filter": "state:waiting"})
        assert refused.status_code in (401, 403)


def test_a_priority_is_changed_for_all_that_are_meant(web: WebScene, place: RebuildScene) -> None:
    asked = {"action": "priority", "filter": 'file:"clip 4"', "priority": 50, "count": 1}
    with web.friend() as ask:
        done = ask.post("/api/v1/bulk", json=asked)
        assert done.json()["taken"] == 1 and priority_of(place, 4) == 50
        back = ask.post(f"/api/v1/deeds/{done.headers['X-Deed']}/back").json()
    assert (back["words"], priority_of(place, 4)) == ("Taken back for 1 job.", 0)


def priority_of(place: RebuildScene, number: int) -> int:
    job = place.ledger.jobs.job(spec(number).id)
    assert job is not None
    return job.job_class.priority
