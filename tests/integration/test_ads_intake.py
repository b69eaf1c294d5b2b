"""A CRM before the real web process: what is signed becomes one job, what is not leaves no trace, what
comes while Redis is away is answered so that it comes again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from node_scene import Command, until
from standardwebhooks import Webhook
from web_scene import TOKEN, TOKEN_ENV, WebScene, configured, web_running

from conductor.adapters.files.web_files import web_url_file
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import Settings
from conductor.record.manifest import read

SECRET = "whsec_" + base64.b64encode(b"a secret of this test, long enough").decode()
ENV = {TOKEN_ENV: TOKEN, "ADS_SECRET": SECRET}
HOOK = """
[stores.ads]
url = "sqlite:scratch/ads.db"
[hooks.crm]
secret_env = "ADS_SECRET"
run = "ads event {payload} --attribution position"
"""


class PassingRedis:
    """Goes and comes back, with what it held."""

    def __init__(self, folder: Path) -> None:
        self._server = Settings(state_dir=folder).valkey
        self._session = ExitStack()
        self.url = self.start()

    def start(self) -> str:
        return self._session.enter_context(valkey.session(self._server))

    def stop(self) -> None:
        self._session.close()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassingRedis]:
    server = PassingRedis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, redis: PassingRedis) -> Iterator[WebScene]:
    settings = configured(tmp_path_factory.mktemp("crm"), redis.url, web=HOOK)
    with web_running(settings, ENV) as scene:
        yield scene


def body(lead: str = "L-1", **data: Any) -> str:
    said = {"lead": lead, "stage": "won", "value": 100, "currency": "EUR", "touches": [], **data}
    return json.dumps({"type": "lead.stage_changed", "timestamp": "2026-11-29T12:00:00Z", "data": said})


def delivered(
    url: str, name: str, text: str, secret: str = SECRET, ago_s: float = 0.0, sent: str | None = None
) -> tuple[int, dict[str, Any]]:
    moment = datetime.now(UTC) - timedelta(seconds=ago_s)
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, moment, text),
    }
    said = httpx.post(f"{url}hooks/crm", content=sent or text, headers=headers, timeout=120.0)
    return said.status_code, said.json()


def waiting(redis: PassingRedis) -> int:
    with connect(redis.url) as client:
        return redis_ledger(client).tallies.counts("crm").get("waiting", 0)


def kept(web: WebScene) -> list[str]:
    return sorted(file.name for file in (web.settings.manifests_dir / "hooks").glob("*"))


def manifests(web: WebScene) -> list[str]:
    return [name for name in kept(web) if name.endswith(".jsonl")]


def test_deliveries_at_once_to_two_processes_are_one_job(web: WebScene, redis: PassingRedis) -> None:
    before = waiting(redis)
    with closing(Command(web.settings, "web", env=ENV)):
        note = web_url_file(web.settings.state_dir)
        other = until(lambda: url if (url := note.read_text().strip()) not in ("", web.url) else "")
        with ThreadPoolExecutor(4) as pool:
            said = [pool.submit(delivered, url, "msg_1", body()) for url in (web.url, other) * 2]
    assert [each.result()[0] for each in said] == [200] * 4
    assert sorted(each.result()[1]["new"] for each in said) == [0, 0, 0, 1]
    assert waiting(redis) - before == 1
    (file,) = (web.settings.manifests_dir / "hooks").glob("*.jsonl")
    (spec,) = read(file)
    assert (spec.task, spec.args["event"], spec.args["lead"]) == ("ads.event", file.stem, "L-1")
    assert not [name for name in kept(web) if name.startswith(".")], "no draft is left"


def test_a_forged_an_old_and_an_altered_one_leave_no_trace(web: WebScene, redis: PassingRedis) -> None:
    before, files = waiting(redis), kept(web)
    other = "whsec_" + base64.b64encode(b"somebody else's secret, as long").decode()
    assert delivered(web.url, "forged", body(), secret=other)[0] == 401
    assert delivered(web.url, "old", body(), ago_s=3600)[0] == 401
    assert delivered(web.url, "early", body(), ago_s=-3600)[0] == 401
    assert delivered(web.url, "altered", body(), sent=body("L-2"))[0] == 401
    assert (waiting(redis), kept(web)) == (before, files)


def test_what_is_signed_and_cannot_be_used_is_said_in_one_sentence(
    web: WebScene, redis: PassingRedis
) -> None:
    before = waiting(redis), manifests(web)
    status, said = delivered(web.url, "bad", body(stage="?"))
    assert status == 400 and "data.stage: '?' is no stage that is known" in said["error"]
    # A kind that the workflow does not count is no failure of its sender's.
    other = json.dumps({"type": "contact.created", "timestamp": "2026-11-29T12:00:00Z", "data": {}})
    assert delivered(web.url, "other", other) == (200, {"exit_code": 0, "new": 0, "known": 0})
    assert delivered(web.url, "large", body(note="x" * (1 << 20)))[0] == 413
    assert (waiting(redis), manifests(web)) == before


def test_a_delivery_while_redis_is_away_comes_again_and_is_not_lost(
    web: WebScene, redis: PassingRedis
) -> None:
    before = waiting(redis)
    redis.stop()
    try:
        status, said = delivered(web.url, "msg_2", body("L-2"))
        assert status == 503, said
    finally:
        redis.start()
    assert delivered(web.url, "msg_2", body("L-2"))[1]["new"] == 1
    # Hours later, signed anew, as senders do.
    assert delivered(web.url, "msg_2", body("L-2"))[1]["known"] == 1
    assert waiting(redis) - before == 1
