"""Jobs and events by HTTP: one running system, what is done to its jobs, and what those hear who watch."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from itertools import count

import httpx
import pytest
from node_scene import NodeScene, until
from web_scene import WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.app.web import event_hub
from conductor.model.told_event import ToldEvent
from conductor.record.journal import Journal

numbers = count(1)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[tuple[WebScene, NodeScene]]:
    with connect(valkey_url) as client:
        client.flushall()
        with web_running(configured(tmp_path_factory.mktemp("jobs"), valkey_url)) as web:
            yield web, NodeScene(redis_ledger(client), web.settings)


@pytest.fixture
def web(both: tuple[WebScene, NodeScene]) -> WebScene:
    return both[0]


@pytest.fixture
def scene(both: tuple[WebScene, NodeScene]) -> NodeScene:
    return both[1]


def new_job(scene: NodeScene) -> str:
    return scene.put(next(numbers), 1.0)


def test_a_job_is_found_by_its_first_letters(web: WebScene, scene: NodeScene) -> None:
    job = new_job(scene)
    with web.stranger() as ask:
        story = ask.get(f"/api/v1/jobs/{job[:10]}").json()
        assert (story["job"]["job_id"], story["job"]["state"]) == (job, "waiting")
        assert ask.get("/api/v1/jobs/none-of-that-name").status_code == 404


def test_cancel_and_retry_do_what_the_command_line_does(web: WebScene, scene: NodeScene) -> None:
    job = new_job(scene)
    with web.friend() as ask:
        assert ask.post(f"/api/v1/jobs/{job}/requeue").json()["is_taken"] is True
        assert ask.post(f"/api/v1/jobs/{job}/cancel").json()["was"] == "waiting"
        assert scene.job(job).state == "cancelled"
        assert ask.post(f"/api/v1/jobs/{job}/cancel").json()["is_taken"] is False
        assert ask.post(f"/api/v1/jobs/{job}/retry").json()["is_taken"] is True
        assert scene.job(job).state == "waiting"
        again = ask.post(f"/api/v1/jobs/{job}/retry").json()
        assert again["is_taken"] is False and again["kept"] == f"{job} is waiting"
        assert ask.post(f"/api/v1/jobs/{job}/fail", params={"cause": "bad_input"}).json()["is_taken"] is True
        assert scene.job(job).cause == "bad_input"
        assert ask.post(f"/api/v1/jobs/{job}/fail", params={"cause": "nonsense"}).status_code == 400
        assert ask.post(f"/api/v1/jobs/{job}/explode").status_code == 422
    assert Journal(web.settings.receipts_dir).stamp() is not None


class Hearing:
    """Events as a browser hears them, by a thread of its own."""

    def __init__(self, client: httpx.Client, path: str, last: str = "") -> None:
        self.said: list[tuple[str, str, dict[str, object]]] = []
        self.is_open = threading.Event()
        self._stream = client.stream("GET", path, headers={"Last-Event-ID": last} if last else {})
        self._answer = self._stream.__enter__()
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()
        assert self.is_open.wait(10)

    def _hear(self) -> None:
        name = event_id = ""
        try:
            for line in self._answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "retry":
                    self.is_open.set()
                elif field == "event":
                    name = value
                elif field == "id":
                    event_id = value
                elif field == "data":
                    self.said.append((name, event_id, json.loads(value)))
                    name = event_id = ""
        except httpx.HTTPError:
            return

    def names(self) -> list[str]:
        return [str(data.get("name", name)) for name, _, data in self.said]


def told(name: str, **fields: object) -> ToldEvent:
    return ToldEvent(name=name, at=time.time(), message=f"a {name}\nwith a break", fields=fields)


def test_who_watches_hears_what_happens_and_who_comes_back_what_was_missed(
    web: WebScene, scene: NodeScene
) -> None:
    stream = scene.ledger.events
    with web.stranger() as one, web.stranger() as two, web.stranger() as three:
        hearing = Hearing(one, "/api/v1/events")
        of_job = Hearing(two, "/api/v1/jobs/job-7/events")
        stream.append([told("job.started", job_id="job-7"), told("job.done", job_id="job-8")])
        until(lambda: hearing.names()[-2:] == ["job.started", "job.done"])
        assert hearing.said[-1][2]["message"] == "a job.done\nwith a break"
        first = hearing.said[-2][1]
        until(lambda: of_job.names() == ["job.started"])

        again = Hearing(three, "/api/v1/events", last=first)
        until(lambda: again.names()[:1] == ["job.done"])
        stream.append([told("job.failed", job_id="job-9")])
        until(lambda: again.names()[-1] == "job.failed")
        assert again.names().count("job.done") == 1


@pytest.mark.parametrize("last", ["1-0", "nonsense"])
def test_who_has_been_away_too_long_is_told_to_begin_anew(web: WebScene, scene: NodeScene, last: str) -> None:
    scene.ledger.events.append([told("job.started", job_id="job-7")])
    with web.stranger() as one:
        hearing = Hearing(one, "/api/v1/events", last=last)
        until(lambda: hearing.said)
        assert hearing.said[0][0] == "reset"


def test_what_somebody_does_by_http_is_heard_by_who_watches(web: WebScene, scene: NodeScene) -> None:
    job = new_job(scene)
    with web.stranger() as one, web.friend(X_Conductor_Actor="cem") as cem:
        hearing = Hearing(one, "/api/v1/events")
        cem.post(f"/api/v1/jobs/{job}/cancel")

        def told() -> list[dict[str, str]]:
            """Of this job: what was done to others before may still be on its way."""
            acted = (data["fields"] for _, _, data in hearing.said if data.get("name") == "operator.acted")
            return [fields for fields in acted if fields["job_id"] == job]

        until(told)
        assert told()[0] == {
            "who": "cem (127.0.0.1)",
            "what": "cancel",
            "job_id": job,
            "state": "waiting",
        }


def test_the_bounds_of_a_watcher_leave_room_for_what_was_missed() -> None:
    assert event_hub.MOST_BEHIND < event_hub.KEPT
