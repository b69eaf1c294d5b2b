"""The dashboard's pages cannot be made to run somebody's script, and ask for a password where one is
configured.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from conductor.adapters.open_ledger import connect
from conductor.base.errors import ConfigError
from conductor.views.dashboard import make_app, password_of

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'"
JOB, QUEUE = "abcdefgh12345678-a1", "cpu-here"
LOCAL = {"Host": "localhost"}
PAGES = ["/", "/0/view/workers", "/0/view/jobs", f"/0/view/jobs/{QUEUE}/queued/8/asc/1", f"/0/view/job/{JOB}"]
DATA = [f"/0/data/jobs/{QUEUE}/queued/8/asc/1.json", f"/0/data/job/{JOB}.json", "/0/data/queues.json"]


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        job = Job.create("workers.runner.run_job", id=JOB, origin=QUEUE, description=EVIL, connection=client,
                         serializer=JSONSerializer)  # fmt: skip
        Queue(QUEUE, connection=client, serializer=JSONSerializer).enqueue_job(job)
        client.hset(f"rq:job:{JOB}", "meta", f'{{"note": "{EVIL[:28]}"}}')
        client.sadd("rq:queues", f"rq:queue:{EVIL}")
        yield client


@pytest.fixture
def pages(client: Redis) -> Any:
    return make_app(client).test_client()


def test_what_is_put_into_the_page_is_no_html(pages: Any, client: Redis):
    stored = client.hget(f"rq:job:{JOB}", "description")
    assert stored == EVIL.encode(), "the control: this is what rq-dashboard would hand on"
    for path in DATA:
        answer = pages.get(path, headers=LOCAL)
        assert answer.status_code == 200, answer.text
        assert "<" not in answer.text and "onerror" in answer.text
        assert not re.search(r'\\"', answer.text), "nothing ends an attribute"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_only_the_scripts_it_was_served_with(pages: Any, path: str):
    answer = pages.get(path, headers=LOCAL)
    policy = answer.headers["Content-Security-Policy"]
    (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
    assert "'unsafe-inline'" not in policy.partition("style-src")[0] and "default-src 'none'" in policy
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts and all(f'nonce="{nonce}"' in script for script in scripts)
    assert "<img" not in answer.text and "alert(2)</script>" not in answer.text
    assert nonce not in pages.get(path, headers=LOCAL).headers["Content-Security-Policy"], (
        "a fresh one each time"
    )


def test_nothing_is_kept_framed_or_sniffed(pages: Any):
    headers = pages.get("/", headers=LOCAL).headers
    assert (headers["X-Frame-Options"], headers["Cache-Control"]) == ("DENY", "no-store")
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"


def test_the_scripts_and_styles_that_a_page_names_are_there_as_they_are(pages: Any):
    page = pages.get("/", headers=LOCAL).text
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(named) > 5
    for path in named:
        with pages.get(path, headers=LOCAL) as answer:
            assert answer.status_code == 200 and len(answer.get_data()) > 100, path
            assert b"nonce=" not in answer.get_data()


def login(password: str) -> dict[str, str]:
    return {**LOCAL, "Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


@pytest.mark.parametrize("path", [*PAGES, *DATA, "/static/js/underscore-umd-min.js"])
def test_with_a_password_nothing_is_shown_without_it(client: Redis, path: str):
    pages = make_app(client, "the password").test_client()
    for headers in (LOCAL, login(""), login("the passwor"), {**LOCAL, "Authorization": "Bearer x"}):
        answer = pages.get(path, headers=headers)
        assert answer.status_code == 401 and "Basic" in answer.headers["WWW-Authenticate"]
        assert JOB not in answer.text
    with pages.get(path, headers=login("the password")) as answer:
        assert answer.status_code == 200


def test_a_configured_password_that_is_empty_is_a_fault():
    assert password_of(None, {}) is None and password_of("P", {"P": "x"}) == "x"
    with pytest.raises(ConfigError, match=r"\$P, which is empty"):
        password_of("P", {})
