"""Work that comes in by HTTP, and the typed client: one running system with a hook."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from builders import a_spec
from standardwebhooks import Webhook
from web_scene import WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.errors import ManifestError, UsageError
from conductor.client import Client
from conductor.model.spec import JobSpec
from conductor.ports import Ledger

SECRET = "whsec_" + base64.b64encode(b"a secret of this test, long enough").decode()
HOOK = """
[hooks.arrived]
secret_env = "TEST_HOOK_SECRET"
run = "system_test --mode backlog --count 1"
"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[WebScene]:
    with connect(valkey_url) as client:
        client.flushall()
    settings = configured(tmp_path_factory.mktemp("intake"), valkey_url, web=HOOK)
    with web_running(settings, {"TEST_HOOK_SECRET": SECRET}) as scene:
        yield scene


@pytest.fixture(scope="module")
def ledger(valkey_url: str, web: WebScene) -> Iterator[Ledger]:
    with connect(valkey_url) as client:
        yield redis_ledger(client)


def a_nap(n: int) -> JobSpec:
    return a_spec(n, task="diagnostics.sleep", args={"seconds": 1.0, "n": n})


def test_the_client_hands_work_in_over_the_socket_and_ends_it(web: WebScene, ledger: Ledger) -> None:
    with Client.here(web.settings.project) as conductor:
        assert conductor.health().state in ("degraded", "unhealthy")
        trial = conductor.submit(a_nap(1), backlog="posted", is_dry_run=True)
        assert trial.said["new"] == 1 and ledger.jobs.job(trial.job_ids[0]) is None
        put = conductor.submit(a_nap(1), backlog="posted")
        again = conductor.submit(a_nap(1), backlog="posted")
        assert (put.said["new"], again.said["new"], again.said["known"]) == (1, 0, 1)
        assert conductor.job(put.job_ids[0][:10]).job.state == "waiting"
        assert conductor.status().backlogs["posted"]["waiting"] == 1
        assert conductor.cancel(put.job_ids[0]).is_taken
        assert conductor.wait(put.job_ids[0], 5.0).job.state == "cancelled"
        assert conductor.log(put.job_ids[0]) == ""
        with pytest.raises(UsageError, match="no job's id"):
            conductor.job("nothing-like-it")


def test_a_manifest_with_faults_is_refused_with_each_of_them(web: WebScene) -> None:
    bad = web.settings.project / "bad.jsonl"
    bad.write_text('{"v": 1, "id": "x"}\nno line\n')
    with Client(web.url, "a-token-of-this-test-0123456789") as conductor:
        with pytest.raises(ManifestError) as refused:
            conductor.submit_manifest(bad)
        assert len(refused.value.problems) >= 2
    with web.stranger() as ask:
        assert ask.post("/api/v1/manifests", content=b"{}").status_code == 401


def delivered(web: WebScene, delivery: str, body: str, secret: str = SECRET) -> tuple[int, dict[str, object]]:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery, now, body),
    }
    with web.stranger() as ask:
        said = ask.post("/hooks/arrived", content=body, headers=headers, timeout=60.0)
    return said.status_code, said.json()


def test_deliveries_at_once_are_one_job_and_another_id_is_another(web: WebScene, ledger: Ledger) -> None:
    at_once = 4  # Each that is not the first starts a process; ten showed no more.
    with ThreadPoolExecutor(at_once) as pool:
        said = list(pool.map(lambda _: delivered(web, "msg_1", '{"file": "a.mp4"}'), range(at_once)))
    assert {status for status, _ in said} == {200}, said
    assert sorted(int(str(answer["new"])) for _, answer in said) == [0] * (at_once - 1) + [1]
    assert ledger.tallies.counts("arrived")["waiting"] == 1
    assert delivered(web, "msg_2", '{"file": "a.mp4"}')[1]["new"] == 1


def test_a_delivery_that_is_not_signed_starts_nothing(web: WebScene, ledger: Ledger) -> None:
    before = ledger.tallies.counts("arrived")
    other = "whsec_" + base64.b64encode(b"somebody else's secret").decode()
    assert delivered(web, "msg_3", "{}", secret=other)[0] == 401
    with web.stranger() as ask:
        assert ask.post("/hooks/arrived", content=b"{}").status_code == 401
        nonsense = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,%%%"}
        assert ask.post("/hooks/arrived", content=b"{}", headers=nonsense).status_code == 401
        assert ask.post("/hooks/unknown", content=b"{}").status_code == 404
    assert ledger.tallies.counts("arrived") == before
    assert SECRET not in (web.settings.logs_dir / "web.jsonl").read_text()


def test_metrics_have_the_names_that_rules_and_dashboards_use(web: WebScene) -> None:
    with web.stranger() as ask:
        said = ask.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = set(re.findall(r"^# TYPE (\S+)", said.text, re.MULTILINE))
    assert {
        *("conductor_jobs", "conductor_gate_blocked_seconds_total", "conductor_job_duration_seconds"),
        *(
            "conductor_receipts_total",
            "conductor_build_info",
            "conductor_has_leader",
            "conductor_vram_free_bytes",
        ),
    } <= names
