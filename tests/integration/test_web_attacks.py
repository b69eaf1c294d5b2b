"""Attacks on the HTTP API: a page elsewhere, a stranger without the token, names and paths that lie, and
those who send too much or fetch too little.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from types import SimpleNamespace

import httpx
import psutil
import pytest
from fastapi import HTTPException, Request
from node_scene import NodeScene, until
from web_scene import TOKEN, WebScene, all_routes, web_with_jobs

from conductor.adapters.memory import memory_ledger
from conductor.app.web.application import make_app
from conductor.app.web.event_hub import MOST_WATCHERS
from conductor.app.web.rights import COOKIE, Door, acts, anybody, looks, refuse_foreign_page, signed
from conductor.app.web.stack import Stack
from conductor.model.told_event import ToldEvent

EVIL = "<img src=x onerror=alert(1)>\x1b]0;owned\x07\x9b31m\u202e.mp4"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[tuple[WebScene, NodeScene]]:
    with web_with_jobs(tmp_path_factory.mktemp("attacks"), valkey_url) as both:
        yield both


@pytest.fixture
def web(scene: tuple[WebScene, NodeScene]) -> WebScene:
    return scene[0]


@pytest.fixture
def job(scene: tuple[WebScene, NodeScene]) -> str:
    """One that waits; an attack that came through would end it."""
    job_id = scene[1].put(1, 1.0)
    yield job_id  # pyright: ignore[reportReturnType]
    assert scene[1].job(job_id).state == "waiting"


def test_every_route_names_its_right_and_what_changes_something_asks_for_the_token(web: WebScene) -> None:
    own = web.settings
    stack = Stack(
        ledger=memory_ledger(), code=own.for_code, valkey=own.valkey, lease_s=1.0, schedules=own.schedules
    )
    routes = list(all_routes(make_app(stack, Door()).routes))
    rights = {acts, looks, anybody, signed, refuse_foreign_page}
    for route in routes:
        asked = rights & {each.call for each in route.dependant.dependencies}
        assert len(asked) == 1, route.path
        if route.methods != {"GET"}:
            others = ("/api/v1/login", "/api/v1/logout", "/hooks/{name}")
            assert asked == {acts} or route.path in others, route.path
    open_to_all = {r.path for r in routes if anybody in {d.call for d in r.dependant.dependencies}}
    assert {path for path in open_to_all if path.startswith(("/api/", "/metrics", "/hooks"))} == {
        "/api/v1/openapi.json"
    }


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9280", "localhost.evil.example", "127.0.0.1.nip.io", ""),
        # What would poison the path of an address that is made of it.
        *("localhost:1/livez?", "localhost/livez?", "[::1]/livez?", "x@localhost", "localhost:x"),
    ],
)
def test_a_name_that_was_made_to_point_here_is_turned_down(web: WebScene, job: str, host: str) -> None:
    with web.friend(Host=host) as evil:
        assert evil.get("/api/v1/status").status_code == 403
        assert evil.post(f"/api/v1/jobs/{job}/cancel").status_code == 403
        assert evil.get("/").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_changes_nothing_even_with_the_token(
    web: WebScene, job: str, headers: dict[str, str]
) -> None:
    with web.friend(**headers) as evil:
        assert evil.post(f"/api/v1/jobs/{job}/cancel").status_code == 403
    if "Sec_Fetch_Site" in headers:
        with web.stranger(**headers) as evil:
            assert evil.get("/api/v1/status").status_code == 403


def test_without_the_token_one_looks_and_changes_nothing(web: WebScene, job: str) -> None:
    with web.stranger() as stranger:
        assert stranger.get(f"/api/v1/jobs/{job}").status_code == 200
        assert stranger.post(f"/api/v1/jobs/{job}/cancel").status_code == 401
        stranger.headers["Authorization"] = f"Bearer {TOKEN}x"
        assert stranger.post(f"/api/v1/jobs/{job}/cancel").status_code == 401
    with web.stranger(Cookie=f"{COOKIE}=9999999999.61.deadbeef", Origin=web.url.rstrip("/")) as forged:
        assert forged.post(f"/api/v1/jobs/{job}/cancel").status_code == 401


@pytest.mark.parametrize("right", [acts, looks, refuse_foreign_page], ids=lambda right: right.__name__)
def test_no_right_knows_the_path_by_which_somebody_comes(right: Callable[[Request], object]) -> None:
    """A request without one: whoever asks for it here fails by a `KeyError`."""
    state = SimpleNamespace(door=Door(token=TOKEN))
    scope = {"type": "http", "headers": [], "client": ("127.0.0.1", 1), "state": {},
             "app": SimpleNamespace(state=state)}  # fmt: skip
    with pytest.raises(HTTPException) if right is acts else nullcontext():
        right(Request(scope))
    scope["headers"] = [(b"authorization", f"Bearer {TOKEN}".encode())]
    right(Request(scope))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs/{}/cancel/",
        "//api/v1/jobs/{}/cancel",
        "/livez/../api/v1/jobs/{}/cancel",
        "/static/%2e%2e/api/v1/jobs/{}/cancel",
        "/api/v1/jobs/{}/cancel%3f/livez",
        "/api/v1/jobs/{}/cancel;/livez",
        "http://127.0.0.1/livez?/api/v1/jobs/{}/cancel",
    ],
)
def test_no_spelling_of_a_path_goes_round_a_right(web: WebScene, job: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", int(web.host.rpartition(":")[2])), 5) as raw:
        raw.sendall(
            f"POST {path.format(job)} HTTP/1.1\r\nHost: {web.host}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        status = int(raw.recv(100).split(b" ")[1])
    assert status in (400, 401, 403, 404, 405)


def test_a_link_logs_in_once_and_the_cookie_needs_the_browsers_word(
    web: WebScene, scene: tuple[WebScene, NodeScene]
) -> None:
    job = scene[1].put(7, 1.0)
    with web.owner() as owner:
        code = owner.post("/api/v1/links").json()["code"]
    with web.stranger(Origin=web.url.rstrip("/"), Sec_Fetch_Site="same-origin") as browser:
        said = browser.post("/api/v1/login", json={"token": code, "name": "ann\x1b[31m"})
        assert said.status_code == 200
        cookie = said.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and code.lower() not in cookie
        assert browser.get("/api/v1/whoami").json()["name"] == "ann\\x1b[31m (127.0.0.1)"
        del browser.headers["origin"], browser.headers["sec-fetch-site"]
        assert browser.post(f"/api/v1/jobs/{job}/cancel").status_code == 403
        browser.headers["origin"] = web.url.rstrip("/")
        assert browser.post(f"/api/v1/jobs/{job}/cancel").json()["is_taken"] is True
    with web.stranger() as second:
        assert second.post("/api/v1/login", json={"token": code}).status_code == 401


def test_who_acted_is_kept_and_the_token_is_not(web: WebScene, scene: tuple[WebScene, NodeScene]) -> None:
    job = scene[1].put(8, 1.0)
    with web.friend(X_Conductor_Actor="bea") as bea:
        assert bea.post(f"/api/v1/jobs/{job}/cancel").json() == {
            "job_id": job,
            "was": "waiting",
            "is_taken": True,
            "kept": "",
        }
        assert bea.get(f"/api/v1/jobs/{TOKEN}").status_code == 404
    written = (web.settings.logs_dir / "web.jsonl").read_text()
    assert "bea (127.0.0.1): cancel" in written and '"operator.acted"' in written
    assert TOKEN not in written and TOKEN not in web.command.said


def test_names_messages_and_words_are_shown_and_not_obeyed(
    web: WebScene, scene: tuple[WebScene, NodeScene]
) -> None:
    job = scene[1].put(9, 1.0, args={"seconds": 1.0, "note": EVIL}, inputs={f"/data/{EVIL}": "size:1"})
    day = web.settings.logs_dir / "jobs" / "2026-11-29"
    day.mkdir(parents=True)
    (day / f"{job}.1.abc.out").write_text(f"{EVIL}\nforged 12:00:00 all is well\n")
    with web.stranger() as ask:
        for path in (f"/api/v1/jobs/{job}", f"/api/v1/jobs/{job}/log", f"/api/v1/jobs/{job}/artefacts"):
            said = ask.get(path)
            assert said.status_code == 200 and said.text.isprintable()
            assert said.headers["content-type"] == "application/json"
            assert said.headers["x-content-type-options"] == "nosniff"
        text = ask.get(f"/api/v1/jobs/{job}/log", params={"text": "true"})
    assert text.headers["content-type"].startswith("text/plain") and "\x1b" not in text.text
    assert all(line.isprintable() for line in text.text.split("\n"))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "..%2f..%2fconductor.toml",
        "published:..%2f..%2fconductor.toml",
        "published:link.png",
        "conductor.toml",
        "published:made.png%00.txt",
        "file:%2f%2f%2fetc%2fpasswd",
        ".conductor/web.url",
    ],
)
def test_an_artefact_is_one_of_the_jobs_own_and_lies_below_its_folder(
    web: WebScene, scene: tuple[WebScene, NodeScene], name: str
) -> None:
    folder = web.settings.roots["published"].path
    (folder / "made.png").write_bytes(b"picture")
    if not (folder / "link.png").is_symlink():
        (folder / "link.png").symlink_to("/etc/passwd")
    job = scene[1].put(10, 1.0, reads=("published:made.png", "published:link.png", "/etc/passwd"))
    with web.stranger() as ask:
        for target in (f"/api/v1/jobs/{job}/artefacts/{name}", f"/api/v1/jobs/{job}/artefacts/../{name}"):
            said = ask.get(target)
            assert said.status_code in (404, 405) and "root:" not in said.text, said.text


def test_an_artefact_is_sent_in_part_and_as_nothing_that_runs(
    web: WebScene, scene: tuple[WebScene, NodeScene]
) -> None:
    folder = web.settings.roots["published"].path
    (folder / "clip.mp4").write_bytes(bytes(range(100)))
    (folder / "page.html").write_text("<script>alert(1)</script>")
    job = scene[1].put(11, 1.0, reads=("published:clip.mp4", "published:page.html"))
    with web.stranger() as ask:
        at = f"/api/v1/jobs/{job}/artefacts"
        assert ask.get(at).json()["files"] == ["published:clip.mp4", "published:page.html"]
        whole = ask.get(f"{at}/published:clip.mp4")
        assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
        part = ask.get(f"{at}/published:clip.mp4", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
        assert part.headers["content-range"] == "bytes 10-19/100"
        assert ask.get(f"{at}/published:clip.mp4", headers={"Range": "bytes=-5"}).content == bytes(
            range(95, 100)
        )
        page = ask.get(f"{at}/published:page.html")
        assert page.headers["content-type"] == "application/octet-stream"
        assert (
            page.headers["content-disposition"] == "attachment"
            and "sandbox" in page.headers["content-security-policy"]
        )


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(web: WebScene) -> None:
    with socket.create_connection(("127.0.0.1", int(web.host.rpartition(":")[2])), 5) as raw:
        raw.sendall(
            f"POST /api/v1/login HTTP/1.1\r\nHost: {web.host}\r\nContent-Length: {1 << 30}\r\n\r\n".encode()
        )
        assert b" 413 " in raw.recv(200)
    with web.stranger() as ask:
        began = time.monotonic()
        said = ask.post("/api/v1/login", content=(b"x" * 65536 for _ in range(1 << 14)))
        assert said.status_code == 413 and time.monotonic() - began < 5.0


def test_a_reader_that_fetches_nothing_is_let_go(web: WebScene, scene: tuple[WebScene, NodeScene]) -> None:
    stream = scene[1].ledger.events
    with socket.socket() as slow, web.stranger() as ask:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", int(web.host.rpartition(":")[2])))
        slow.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode())
        until(lambda: b"retry" in slow.recv(4096))
        process = psutil.Process(web.command.pid)
        filler = [ToldEvent(name="job.done", at=1.0, message="x" * 20_000) for _ in range(200)]

        def is_let_go() -> bool:
            stream.append(filler)
            assert ask.get("/livez").status_code == 200
            mine = [
                c for c in process.net_connections("tcp") if c.raddr and c.raddr.port == slow.getsockname()[1]
            ]
            return not mine

        until(is_let_go, 20.0, every_s=0.2)


def test_a_thousand_watchers_are_bounded_and_keep_nobody_out(web: WebScene) -> None:
    before = psutil.Process(web.command.pid).memory_info().rss
    with ExitStack() as stack:
        asked = f"GET /api/v1/events HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode()
        at = ("127.0.0.1", int(web.host.rpartition(":")[2]))
        said: list[bytes] = []
        for _ in range(20):
            some = [stack.enter_context(socket.create_connection(at, 10)) for _ in range(50)]
            for raw in some:
                raw.sendall(asked)
            said += [raw.recv(12) for raw in some]
        watching, full = said.count(b"HTTP/1.1 200"), said.count(b"HTTP/1.1 503")
        assert (watching, full) == (MOST_WATCHERS, 1000 - MOST_WATCHERS)
        with web.stranger() as ask:
            assert ask.get("/api/v1/health").status_code in (200, 503)
        assert psutil.Process(web.command.pid).memory_info().rss - before < 128 << 20
    with httpx.Client(base_url=web.url) as ask:
        until(lambda: watches(ask), 20.0, every_s=0.1)


def watches(ask: httpx.Client) -> bool:
    """They went, so there is room again."""
    with ask.stream("GET", "/api/v1/events") as said:
        return said.status_code == 200
