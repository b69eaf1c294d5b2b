"""Real workers, the conductor's own loop, and servers on loopback that are down, busy, or refuse
everybody.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chat_scene import WORKERS, a_question, at_work, conducting, put
from free_ports import a_free_port
from moody_server import MoodyServer, Said, good, refusing

from conductor.adapters.open_ledger import connect
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.core.admission.sentences import words_of
from conductor.model.job_class import class_of
from conductor.model.reason import Reason
from conductor.ports import Ledger
from tests.worker_scene import WorkerScene, a_scene, wait_until

JOBS = 12


@pytest.fixture
def scene(project: Settings, ledger: Ledger) -> Iterator[WorkerScene]:
    scene = a_scene(project, ledger)
    yield scene
    scene.close()


def begin(scene: WorkerScene, base_url: str, jobs: int = JOBS, key_env: str = "") -> None:
    with (scene.folder / CONFIG_NAME).open("a") as config:
        config.write(f'\n[endpoints.api]\nbase_url = "{base_url}"\n')
        config.write(f'api_key_env = "{key_env}"\n' if key_env else "")
    specs = [a_question(n) for n in range(1, jobs + 1)]
    for spec in specs:
        assert set(class_of(spec, scene.catalogue[spec.task], "night").needs.rates) == {"api"}
    put(scene, specs)
    at_work(scene)


def counts(scene: WorkerScene) -> dict[str, int]:
    return dict(scene.ledger.tallies.counts("night"))


def all_done(scene: WorkerScene) -> None:
    wait_until(lambda: counts(scene).get("done") == JOBS, "all are done", scene.story, limit_s=60)


def causes(scene: WorkerScene) -> set[Any]:
    return {receipt.cause for receipt in scene.receipts() if receipt.outcome == "failed"}


def test_nobody_there_costs_no_retry_and_all_go_when_it_is_back(scene: WorkerScene, redis_url: str):
    port = a_free_port()
    begin(scene, f"http://127.0.0.1:{port}/v1")
    with conducting(scene, redis_url, window_s=60):
        wait_until(lambda: "api" in scene.ledger.calls.endpoint_faults(), "it is down", scene.story)
        wait_until(
            lambda: any(v.reason is Reason.ENDPOINT_UNAVAILABLE
                        and v.detail.words.startswith("api at 127.0.0.1")
                        for hold in scene.ledger.gate_record.gates().holds for v in hold.closed),
            "the gate says so", scene.story,
        )  # fmt: skip
        endpoint_fault = scene.ledger.calls.endpoint_faults()["api"]
        assert endpoint_fault.trouble == "down"
        assert len(scene.receipts()) <= WORKERS, "what lay in the queue was not tried"
        with MoodyServer(lambda request, number: good(request), port=port):
            all_done(scene)
    assert causes(scene) == {"endpoint_unavailable"}
    assert scene.ledger.calls.endpoint_faults() == {}


@pytest.mark.parametrize("status", [503, 529, 500])
def test_while_it_is_busy_nobody_asks_and_then_one_asks_first(
    scene: WorkerScene, redis_url: str, status: int
):
    def mood(request: dict[str, Any], number: int) -> Said:
        if number > 1:
            time.sleep(0.3)
        return (
            refusing(status, "overloaded", None, {"Retry-After": "3"})(request, 1)
            if number == 1
            else good(request)
        )

    with MoodyServer(mood) as server:
        begin(scene, server.base_url)
        with conducting(scene, redis_url, window_s=60):
            all_done(scene)
        first = server.arrivals[0]
        before = [at for at in server.arrivals if at < first + 3]
        later = [at for at in server.arrivals if at >= first + 3]
        assert len(before) <= WORKERS, "only what was under way when it said so"
        assert later[1] - later[0] >= 0.3, "the second one after the first was answered"
        assert len(server.arrivals) == JOBS + 1, "and nobody in vain"
    assert causes(scene) == {"endpoint_unavailable"}


def test_who_refuses_everybody_is_asked_by_few_and_opened_by_a_word(scene: WorkerScene, redis_url: str):
    is_right = threading.Event()

    def mood(request: dict[str, Any], number: int) -> Said:
        return (
            good(request)
            if is_right.is_set()
            else refusing(401, "Incorrect API key provided")(request, number)
        )

    with MoodyServer(mood) as server:
        begin(scene, server.base_url)
        with conducting(scene, redis_url, window_s=60):
            wait_until(
                lambda: counts(scene).get("waiting") == JOBS
                and any(v.is_refused for hold in scene.ledger.gate_record.gates().holds for v in hold.closed),
                "all wait", scene.story,
            )  # fmt: skip
            (message,) = {
                words_of(v) for h in scene.ledger.gate_record.gates().holds for v in h.closed if v.is_refused
            }
            assert "Incorrect API key provided" in message and "`conductor resume api`" in message
            assert len(server.requests) <= WORKERS
            is_right.set()
            assert scene.ledger.calls.open_rate("api")
            all_done(scene)
    assert causes(scene) == {"endpoint_unavailable"}, "no job died of it"


KEY = 'hunter2/"hunter2+key'


def test_a_key_that_a_server_echoes_is_written_nowhere(
    scene: WorkerScene, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    """In its answers in many spellings, and cut in its middle: in no file of the project, and nowhere in
    Redis.
    """
    import base64
    from urllib.parse import quote

    monkeypatch.setenv("ECHO_KEY", KEY + "\r\n")
    spellings = [KEY, repr(KEY), json.dumps(KEY), quote(KEY, safe=""), json.dumps(json.dumps(KEY))]
    spellings += [base64.b64encode(f"user:{KEY}".encode()).decode()]
    said = ["you sent " + ", ".join(spellings), f"you sent {'x' * 380} {KEY}"]

    def mood(request: dict[str, Any], number: int) -> Said:
        assert server.headers[number - 1]["authorization"] == f"Bearer {KEY}"
        return refusing(400 if number <= 2 else 401, said[number % 2])(request, number)

    with MoodyServer(mood) as server:
        begin(scene, server.base_url, key_env="ECHO_KEY")
        with conducting(scene, redis_url, window_s=60):
            wait_until(lambda: "api" in scene.ledger.calls.endpoint_faults(), "it refuses", scene.story)
            wait_until(lambda: counts(scene).get("running", 0) == 0, "none runs", scene.story)
        words = scene.ledger.calls.endpoint_faults()["api"].words
    assert "you sent" in words
    cores = [KEY, "hunter2", base64.b64encode(b"r:" + KEY.encode()).decode()[6:20]]
    with connect(redis_url) as client:
        held = {key: client.dump(key) for key in client.scan_iter()}
    in_redis = [
        key for key, dumped in held.items() if any(core.encode() in (dumped or b"") for core in cores)
    ]
    in_files = [
        file for file in scene.folder.rglob("*")
        if file.is_file() and any(core.encode() in file.read_bytes() for core in cores)
    ]  # fmt: skip
    assert (in_redis, in_files) == ([], [])
