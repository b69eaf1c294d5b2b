"""The HTTP API as it stands to be looked at: one running system, asked many things."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from builders import a_device, a_report
from cli_tools import conductor
from node_scene import NodeScene, until
from web_scene import TOKEN_ENV, WebScene, configured, web_running

from conductor.adapters.files.web_files import web_socket, web_url_file
from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.adapters.redis import valkey
from conductor.app.web.serve import listening
from conductor.ports import Ledger


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[WebScene]:
    with connect(valkey_url) as client:
        client.flushall()
    with web_running(configured(tmp_path_factory.mktemp("web"), valkey_url)) as scene:
        yield scene


@pytest.fixture(scope="module")
def ledger(valkey_url: str, web: WebScene) -> Iterator[Ledger]:
    with connect(valkey_url) as client:
        yield redis_ledger(client)


def test_it_lives_and_says_what_it_answers(web: WebScene) -> None:
    with web.stranger() as ask:
        assert ask.get("/livez").json() == {"alive": True}
        document = ask.get("/api/v1/openapi.json").json()
    assert "/api/v1/health" in document["paths"]
    refs = {ref for ref in json.dumps(document).split('"') if ref.startswith("#/components/schemas/")}
    assert {ref.rpartition("/")[2] for ref in refs} <= set(document["components"]["schemas"])


#: What others build on.
PROMISED = (
    *("/livez", "/metrics", "/hooks/{}", "/api/v1/health", "/api/v1/jobs", "/api/v1/jobs/{}"),
    *(
        "/api/v1/jobs/{}/log",
        "/api/v1/jobs/{}/events",
        "/api/v1/events",
        "/api/v1/jobs/{}/{}",
        "/api/v1/bulk",
    ),
    *("/api/v1/gates", "/api/v1/nodes", "/api/v1/backlogs", "/api/v1/review/pending", "/api/v1/review/{}"),
    *("/api/v1/schedules", "/api/v1/alerts", "/api/v1/report", "/api/v1/manifests"),
)


def test_every_address_that_is_promised_is_in_the_description(web: WebScene) -> None:
    with web.stranger() as ask:
        told = ask.get("/api/v1/openapi.json").json()
    paths = {re.sub(r"\{\w+\}", "{}", path) for path in told["paths"]}
    assert paths >= set(PROMISED)
    one = told["paths"]["/api/v1/jobs/{job_id}/{word}"]["post"]["parameters"]
    words = next(each["schema"]["enum"] for each in one if each["name"] == "word")
    assert {"cancel", "fail", "requeue", "retry"} <= set(words)
    listed = {each["name"] for each in told["paths"]["/api/v1/jobs"]["get"]["parameters"]}
    assert {"state", "backlog", "task", "cause", "text", "since", "cursor"} <= listed


def test_status_by_http_is_what_the_command_line_says(web: WebScene, ledger: Ledger) -> None:
    scene = NodeScene(ledger, web.settings)
    scene.put(1, 1.0)
    with web.stranger() as ask:
        until(lambda: ask.get("/api/v1/status").json()["backlogs"])
        by_http = ask.get("/api/v1/status").json()
        assert ask.get("/api/v1/backlogs").json()["backlogs"][0]["states"]["waiting"] == 1
        assert ask.get("/api/v1/status", params={"backlog": "nothing"}).status_code == 404
    said = conductor("status", "--json", cwd=web.settings.project, env={TOKEN_ENV: "x" * 8})
    moving = {"now"}
    assert {k: v for k, v in by_http.items() if k not in moving} == {
        k: v for k, v in said.json.items() if k not in moving
    }


def test_nodes_and_gates_are_those_of_the_ledger(web: WebScene, ledger: Ledger) -> None:
    ledger.reports.publish(a_report("studio1", devices=(a_device(0),)), 60.0)
    try:
        with web.stranger() as ask:
            until(lambda: [n["node"] for n in ask.get("/api/v1/nodes").json()["nodes"]] == ["studio1"])
            assert ask.get("/api/v1/gates").json()["has_leader"] is False
    finally:
        ledger.reports.withdraw("studio1")


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in(web: WebScene) -> None:
    with web.stranger() as ask:
        page = ask.get("/")
        script = ask.get("/static/js/main.js")
        assert ask.get("/static/../application.py").status_code == 404
        assert ask.get("/static/%2e%2e/application.py").status_code == 404
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert script.headers["content-type"].startswith("text/javascript")
    assert (
        "unsafe" not in page.headers["content-security-policy"]
        and "http" not in page.text.split("</head>")[0]
    )


def test_no_answer_waits_for_an_acknowledgement() -> None:
    with listening("127.0.0.1", 0) as port:
        assert port.proto == socket.IPPROTO_TCP, "asyncio leaves Nagle on where it is another"


def test_the_socket_is_its_owners_alone(web: WebScene) -> None:
    file = web_socket(web.settings.state_dir)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with web.owner() as ask:
        assert ask.get("/api/v1/whoami").json()["may_act"] is True


def test_an_answer_is_json_that_no_terminal_obeys(web: WebScene, ledger: Ledger) -> None:
    ledger.reports.publish(a_report("evil\x9b31m\u202e"), 60.0)
    try:
        with web.stranger() as ask:
            text = until(lambda: found if "evil" in (found := ask.get("/api/v1/nodes").text) else "")
        assert text.isprintable() and "evil\\u009b31m\\u202e" in text
    finally:
        ledger.reports.withdraw("evil\x9b31m\u202e")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebScene]:
    """On the project's own Valkey, and with a journal that hangs whoever opens it."""
    folder = tmp_path_factory.mktemp("alone")
    settings = configured(folder, None)
    settings.receipts_dir.mkdir()
    os.mkfifo(settings.receipts_dir / "journal.jsonl")
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HANGING)
    hung = {"PYTHONPATH": str(hooks), "HANGS_BELOW": str(folder), "HANGS_WHILE": str(folder / "dead")}
    with web_running(settings, hung) as scene:
        yield scene


#: A mount whose server went: whoever looks at anything below it waits, as long as the file `dead` is there.
HANGING = """
import os, time
stat, below, flag = os.stat, os.environ["HANGS_BELOW"], os.environ["HANGS_WHILE"]
parts = ("receipts", "scratch", "published")
def hanging(path, *args, **kwargs):
    name = os.fspath(path) if not isinstance(path, int) else ""
    if isinstance(name, str) and name.startswith(tuple(f"{below}/{part}" for part in parts)):
        while os.access(flag, os.F_OK):
            time.sleep(0.02)
    return stat(path, *args, **kwargs)
os.stat = hanging
"""


def test_a_mount_on_which_every_look_hangs_hangs_no_health(alone: WebScene) -> None:
    flag = alone.settings.project / "dead"
    flag.touch()
    try:
        with alone.stranger() as ask:
            for path in ("/livez", "/api/v1/health", "/api/v1/now", "/api/v1/gates", "/api/v1/health") * 2:
                began = time.monotonic()
                assert ask.get(path).status_code in (200, 503)
                assert time.monotonic() - began < 2.0, path
            began = time.monotonic()
            said = ask.get("/api/v1/jobs")
            assert said.status_code == 503 or "history" in said.text
            assert time.monotonic() - began < 8.0, "that one needs the record"
            assert ask.get("/livez").json() == {"alive": True}
    finally:
        flag.unlink()


def test_a_file_that_hangs_hangs_no_answer(alone: WebScene) -> None:
    with alone.stranger() as ask:
        began = time.monotonic()
        assert ask.get("/api/v1/status").status_code == 200
        assert ask.get("/api/v1/health").json()["state"] == "degraded"
        assert time.monotonic() - began < 4.0


def test_a_redis_that_stands_still_is_said_within_two_seconds(alone: WebScene) -> None:
    pid = int(valkey.place_of(alone.settings.valkey).pid_file.read_text())
    with alone.stranger() as ask:
        until(lambda: ask.get("/api/v1/health").json()["state"] == "degraded")
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: parts(ask)["redis"]["state"] == "unhealthy", 30.0)
            began = time.monotonic()
            assert ask.get("/api/v1/health").status_code == 503
            assert ask.get("/api/v1/backlogs").headers["x-stale"] == "1"
            assert time.monotonic() - began < 4.0
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: parts(ask)["redis"]["state"] == "healthy", 30.0)


def parts(ask: httpx.Client) -> dict[str, dict[str, str]]:
    began = time.monotonic()
    found = ask.get("/api/v1/health").json()["parts"]
    assert time.monotonic() - began < 2.0
    return {part["name"]: part for part in found}


def test_it_ends_as_it_is_told_and_leaves_nothing(tmp_path: Path, redis_url: str) -> None:
    settings = configured(tmp_path, redis_url)
    with web_running(settings) as scene:
        with socket.create_connection(("127.0.0.1", int(scene.host.rpartition(":")[2]))):
            scene.command.process.send_signal(signal.SIGTERM)
            assert scene.command.wait() == 0
        assert not web_url_file(settings.state_dir).exists() and not web_socket(settings.state_dir).exists()
        assert "Traceback" not in scene.command.said


def test_two_words_to_stop_end_it_at_once_and_without_a_traceback(tmp_path: Path, valkey_url: str) -> None:
    settings = configured(tmp_path, valkey_url)
    with web_running(settings) as scene:
        address = ("127.0.0.1", int(scene.host.rpartition(":")[2]))
        with socket.create_connection(address):
            scene.command.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(address))  # It has heard the first, and waits for the open connection.
            scene.command.process.send_signal(signal.SIGINT)
            assert scene.command.wait(15) == 0
        assert not web_url_file(settings.state_dir).exists() and not web_socket(settings.state_dir).exists()
        assert "Traceback" not in scene.command.said


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('bind = "0.0.0.0"\nport = 0', "lets other hosts in, and there is no token"),
        ('token_env = "NOBODY_HAS_SET_THIS"', "$NOBODY_HAS_SET_THIS, which is empty"),
        ('bind = "localhost"', "web.bind"),
    ],
)
def test_what_would_let_anybody_in_is_refused_at_the_start(
    tmp_path: Path, redis_url: str, section: str, words: str
) -> None:
    (tmp_path / "conductor.toml").write_text(f'[redis]\nurl = "{redis_url}"\n[web]\n{section}\n')
    ended = conductor("web", cwd=tmp_path)
    assert ended.code == 3 and words in ended.err and "Traceback" not in ended.err
    assert ended.err.count("\n") <= 2
