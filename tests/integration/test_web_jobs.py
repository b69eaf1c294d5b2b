"""Jobs and events by HTTP: one running system, what is done to its jobs, and what those hear who watch."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import httpx
import pytest
from builders import a_spec
from node_scene import NodeScene, until
from rebuild_scene import RebuildScene
from web_scene import WebScene, web_with_jobs

from conductor.app.web import event_hub, log_stream
from conductor.base.logs.running_output import RunningNote, RunningOutput
from conductor.model.told_event import ToldEvent
from conductor.record.journal import Journal

numbers = count(1)
NIGHTLY = """
[schedules.nightly]
cron = "0 3 * * *"
zone = "UTC"
run = "system_test --mode debug --count 1"
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[tuple[WebScene, NodeScene]]:
    with web_with_jobs(tmp_path_factory.mktemp("jobs"), valkey_url, NIGHTLY) as both:
        yield both


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
        assert again["is_taken"] is False and again["kept"] == f"diagnostics.sleep ({job[:8]}) is waiting"
        assert ask.post(f"/api/v1/jobs/{job}/fail", params={"cause": "bad_input"}).json()["is_taken"] is True
        assert scene.job(job).cause == "bad_input"
        assert ask.post(f"/api/v1/jobs/{job}/fail", params={"cause": "nonsense"}).status_code == 400
        assert ask.post(f"/api/v1/jobs/{job}/explode").status_code == 422
        # Its way back.
        (deed, *_) = ask.get("/api/v1/deeds").json()["deeds"]
        assert (deed["words"], deed["back"]) == ("fail diagnostics.sleep", "1 job will wait again.")
        assert ask.post(f"/api/v1/deeds/{deed['number']}/back").json()["words"] == "Taken back for 1 job."
        assert scene.job(job).state == "waiting"
        again = ask.post(f"/api/v1/deeds/{deed['number']}/back")
        assert (again.status_code, again.json()["error"]) == (400, "it was taken back already")
        assert ask.post("/api/v1/deeds/99999/back").status_code == 404
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
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError):
            return  # The test is over, and has closed its client.

    def of_jobs(self) -> list[tuple[str, dict[str, object]]]:
        """What was said of jobs, by their events' ids: others act meanwhile, or did so just before."""
        found = [(event_id, data) for _, event_id, data in self.said]
        return [(event_id, data) for event_id, data in found if str(data.get("name")).startswith("job.")]

    def names(self) -> list[str]:
        return [str(data["name"]) for _, data in self.of_jobs()]


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
        (first, _), (_, last) = hearing.of_jobs()[-2:]
        assert last["message"] == "a job.done\nwith a break"
        until(lambda: of_job.names() == ["job.started"])

        again = Hearing(three, "/api/v1/events", last=first)
        until(lambda: again.names()[:1] == ["job.done"])
        stream.append([told("job.failed", job_id="job-9")])
        until(lambda: again.names()[-1:] == ["job.failed"])
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
            "about": "diagnostics.sleep",
            "state": "waiting",
        }


def test_a_log_is_followed_as_it_is_printed_until_the_job_has_ended(web: WebScene, scene: NodeScene) -> None:
    job, logs = new_job(scene), web.settings.logs_dir
    printed = logs / "w1.out"
    logs.mkdir(exist_ok=True)
    printed.write_bytes(b"of another body\nhello \x1b[2J\n")
    body = RunningOutput(job_id=job, attempt=1, file=str(printed), start=16, pid=os.getpid())
    RunningNote(logs, "w1").tell(body)
    with web.stranger() as one, web.friend() as ask:
        hearing = Hearing(one, f"/api/v1/jobs/{job[:12]}/log?follow=true")
        until(lambda: hearing.said)
        assert hearing.said[0][2] == {"attempt": 1, "line": "hello \x1b[2J", "stream": "stdout"}
        with printed.open("ab") as more:
            more.write(b"x" * 5000 + b"\nthe la")
        until(lambda: len(hearing.said) == 2)
        assert len(str(hearing.said[1][2]["line"])) == log_stream.MOST_CHARS
        with printed.open("ab") as more:
            more.write(b"st\n")
        ask.post(f"/api/v1/jobs/{job}/cancel")
        until(lambda: hearing.said[-1][0] == "end")
        assert [(name, data.get("line", data.get("state"))) for name, _, data in hearing.said[2:]] == [
            ("", "the last"),
            ("end", "cancelled"),
        ]
        assert ask.get("/api/v1/jobs/nobody/log", params={"follow": "true"}).status_code == 404


def test_as_many_follow_a_log_as_may(web: WebScene, scene: NodeScene) -> None:
    job = new_job(scene)
    with ExitStack() as stack:
        asked = f"GET /api/v1/jobs/{job}/log?follow=1 HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode()
        at = ("127.0.0.1", int(web.host.rpartition(":")[2]))
        said: list[bytes] = []
        for _ in range(log_stream.MOST_FOLLOWERS + 3):
            raw = stack.enter_context(socket.create_connection(at, 10))
            raw.sendall(asked)
            said.append(raw.recv(12))
        assert said.count(b"HTTP/1.1 503") == 3
    with web.friend() as ask:
        ask.post(f"/api/v1/jobs/{job}/cancel")
        until(lambda: ask.get(f"/api/v1/jobs/{job}/log?follow=1").status_code == 200, every_s=0.2)


def test_schedules_and_alerts_are_acted_on_as_on_the_command_line(web: WebScene, scene: NodeScene) -> None:
    with web.friend(X_Conductor_Actor="dee") as ask, web.stranger() as stranger:
        assert stranger.post("/api/v1/schedules/nightly/pause").status_code == 401
        assert stranger.post("/api/v1/alerts/scratch-low/silence").status_code == 401
        new_job(scene)
        (backlog,) = scene.ledger.tallies.backlogs()
        paused = ask.post(f"/api/v1/backlogs/{backlog}/pause").json()
        assert paused == {"backlog": backlog, "is_paused": True, "was_paused": False}
        assert ask.post(f"/api/v1/backlogs/{backlog}/resume").json()["was_paused"] is True
        assert ask.post("/api/v1/backlogs/nigt/pause").status_code == 404
        last = ask.post(f"/api/v1/backlogs/{backlog}/pause").headers["X-Deed"]
        assert stranger.post(f"/api/v1/deeds/{last}/back").status_code == 401
        assert ask.post(f"/api/v1/deeds/{last}/back").json()["words"] == (
            f"Taken back: the backlog {backlog} is fed again."
        )
        assert not scene.ledger.control.controls().paused_backlogs
        (deed, *_) = ask.get("/api/v1/deeds").json()["deeds"]
        assert (deed["taken_back_by"], deed["back"]) == ("dee (127.0.0.1)", "")
        done = ask.post("/api/v1/schedules/nightly/pause").json()
        assert done == {"schedule": "nightly", "is_paused": True, "was_paused": False}
        assert [row["state"] for row in ask.get("/api/v1/schedules").json()["schedules"]] == ["paused"]
        assert ask.post("/api/v1/schedules/nightly/resume").json()["was_paused"] is True
        fired = ask.post("/api/v1/schedules/nightly/run", timeout=60.0).json()
        assert (fired["exit_code"], fired["outcome"]) == (0, "fired"), fired
        wrong = ask.post("/api/v1/schedules/nigtly/run")
        assert (wrong.status_code, "did you mean nightly" in wrong.json()["error"]) == (404, True)
        silenced = ask.post("/api/v1/alerts/scratch-low/silence", params={"for_s": 60}).json()
        assert silenced["rule"] == "scratch-low" and silenced["until"] > time.time()
        assert "scratch-low" in ask.get("/api/v1/alerts").json()["silenced"]
        assert ask.post("/api/v1/alerts/scratch-low/silence?for_s=0").json()["until"] is None
        for words in ("nothing-low/silence", "scratch-low/silence?for_s=-1", "scratch-low/silence?for_s=nan"):
            assert ask.post(f"/api/v1/alerts/{words}").status_code == 400
    written = (web.settings.logs_dir / "web.jsonl").read_text()
    assert "dee (127.0.0.1): run the schedule nightly" in written


def test_health_counts_who_died_in_the_last_hour(web: WebScene, scene: NodeScene) -> None:
    with web.friend() as ask:
        before = failed_part(ask)["last_hour"]
        place = RebuildScene(scene.ledger, web.settings.project, str(web.settings.redis.url))
        spec = a_spec(next(numbers) + 900)
        place.dispatch(spec)
        place.receipt(
            spec, "failed", cause="bad_input", message="no film", started_at=time.time(), ended_at=time.time()
        )
        assert ask.post(f"/api/v1/jobs/{spec.id}/fail", params={"cause": "bad_input"}).json()["is_taken"]
        until(lambda: failed_part(ask)["last_hour"] == before + 1, 30.0, every_s=0.3)


def failed_part(ask: httpx.Client) -> dict[str, float]:
    def figures() -> dict[str, float]:
        parts = ask.get("/api/v1/health").json()["parts"]
        return next(part["figures"] for part in parts if part["name"] == "failed")

    return until(lambda: found if "last_hour" in (found := figures()) else {}, every_s=0.2)


def test_the_bounds_of_a_watcher_leave_room_for_what_was_missed() -> None:
    assert event_hub.MOST_BEHIND < event_hub.KEPT
