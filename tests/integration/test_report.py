"""A real small night, from its dispatch to the proof of it: the file, the page, the check, as their
users meet them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import media
import pytest
from browser_scene import DESK, PHONE, Watched, unreadable
from builders import a_spec
from cli_tools import Cli, Result, conductor
from web_scene import WebScene, configured, web_running

from conductor.adapters.open_ledger import connect
from conductor.base.settings.settings import Settings
from conductor.client import Client
from conductor.model.spec import JobSpec, Output
from conductor.planning import input_of
from conductor.record import manifest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEY = {"TEST_REPORT_KEY": "a key that nobody guesses"}
NASTY = "<img src=x onerror=alert(1)> clip"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Settings:
    """Two films are cut; the third is no film, and what comes after it never runs."""
    folder = tmp_path_factory.mktemp("night")
    with connect(valkey_url) as client:
        client.flushall()
    settings = configured(folder, valkey_url, "[alerts]\ncommand = ['tee', 'sent.json']")
    clips = folder / "in"
    clips.mkdir()
    for n in range(2):
        media.clip(clips / f"{NASTY} {n}.mp4", seconds=4.0)
    (clips / "broken.mp4").write_bytes(b"no film at all")
    jobs = [cut(clips / f"{NASTY} {n}.mp4", n) for n in range(2)]
    broken = cut(clips / "broken.mp4", 2)
    behind = a_spec(9, after=(broken.id,))
    path = folder / "night.jsonl"
    manifest.write(path, [*jobs, broken, behind])
    for words in (("dispatch", str(path), "--target", "backlog:night"), ("conduct", "--until-done")):
        found = conductor(*words, cwd=folder)
        assert found.code in (0, 1), found.err
    return settings


def cut(film: Path, n: int) -> JobSpec:
    return a_spec(
        n,
        task="media.cut",
        args={"start_s": 0.0, "duration_s": 4.0, "width": 320, "height": 180, "fps": 25},
        reads=(str(film),),
        inputs=input_of(film),
        writes=(Output(path=f"published:cut {n}.mp4", bytes=1_000_000),),
    )


@pytest.fixture
def report(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """`conductor report WORDS`; further names are variables of its environment."""
    cli = Cli(project.project, capsys, monkeypatch)

    def run(*words: str, **env: str) -> Result:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return cli("report", *words)

    return run


@pytest.mark.slow
def test_the_file_says_it_all_and_holds(
    project: Settings, report: Callable[..., Result], browser: Browser
) -> None:
    file = project.project / "night.html"
    made = report("--since", "1h", "--html", str(file), "--send", "--json")
    assert made.code == 0, made.err
    figures = made.json
    jobs = {name: n for name, n in figures["jobs"].items() if n}
    assert jobs == {"done": 2, "dead": 1, "behind": 1}
    assert figures["outputs"]["read"] == 2 and all(row["poster"] for row in figures["outputs"]["rows"])
    assert figures["sources"]["ticks"] > 1 and figures["what_if"]["played"]["as_is"]["done"] == 2

    sent = json.loads((project.project / "sent.json").read_text())
    assert "1 job dead of 1 cause" in sent["title"] and sent["attachment"] == str(file)

    for size, scheme in ((DESK, "light"), (PHONE, "dark")):
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
        seen = Watched(context.new_page())
        seen.page.goto(file.as_uri())
        seen.page.get_by_role("heading", name="Waiting for you: 1 job dead of 1 cause.").wait_for()
        assert seen.page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert (seen.faults, unreadable(seen.page)) == ([], [])
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()

    held = report("--check", str(file))
    assert (held.code, held.err.count("Traceback")) == (0, 0), held.out
    file.write_text(file.read_text().replace('"dead":1,', '"dead":0,'))
    found = report("--check", str(file))
    assert found.code == 1 and "jobs.dead: 0 in the file, 1 by the record" in found.out


def test_a_film_that_was_changed_since_is_told_and_so_is_another_key(
    project: Settings, report: Callable[..., Result]
) -> None:
    config_file = project.project / "conductor.toml"
    plain = config_file.read_text()
    config_file.write_text(plain.replace("[redis]\n", '[redis]\nsigning_key_env = "TEST_REPORT_KEY"\n'))
    file = project.project / "signed.html"
    film = project.roots["published"].path / "cut 0.mp4"
    whole = film.read_bytes()
    try:
        assert report("--since", "1h", "--html", str(file), **KEY).code == 0
        assert report("--check", str(file), **KEY).code == 0
        other = report("--check", str(file), TEST_REPORT_KEY="another key that is none")
        film.write_bytes(whole[:-1] + b"x")
        changed = report("--check", str(file), **KEY)
    finally:
        film.write_bytes(whole)
        config_file.write_text(plain)
    assert other.code == 1 and "the signature: it does not fit" in other.out
    assert changed.code == 1 and "outputs.altered: 0 in the file, 1 by the record" in changed.out


def test_what_cannot_be_is_said_in_a_sentence(report: Callable[..., Result]) -> None:
    for words, code in (
        (("--since", "soon"), 2),
        (("--since", "2026-01-02", "--until", "2026-01-01"), 2),
        (("--check", __file__), 3),
        (("--check", "none.html", "--send"), 2),
        (("--html", "nowhere/x.html", "--quick"), 3),
    ):
        found = report(*words)
        assert (found.code, len(found.err.strip().splitlines())) == (code, 1), found.err


@pytest.fixture(scope="module")
def web(project: Settings, browser: Browser) -> Iterator[WebScene]:
    with web_running(project) as scene:
        yield scene


def test_the_page_shows_the_night_and_gives_the_file(web: WebScene, browser: Browser, tmp_path: Path) -> None:
    for size, scheme in ((DESK, "light"), (PHONE, "dark")):
        context = browser.new_context(base_url=web.url, viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        seen = Watched(context.new_page())
        seen.page.clock.install()
        asked: list[str] = []
        seen.page.on("request", lambda request, asked=asked: asked.append(request.url))
        seen.page.goto("/night?since=24h")
        seen.page.get_by_role("heading", name="Waiting for you: 1 job dead of 1 cause.").wait_for()
        seen.page.get_by_role("heading", name="Retries, by task and cause").wait_for()
        assert (seen.faults, unreadable(seen.page)) == ([], [])
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        seen.page.get_by_text("over: this stands as of").wait_for()
        seen.page.clock.fast_forward(120_000)
        with seen.page.expect_response(lambda answer: "/api/v1/report?" in answer.url):
            seen.page.get_by_role("button", name="Look again").click()
        assert len([url for url in asked if "/api/v1/report?" in url]) == 2, "once, and when it was told to"
        seen.page.get_by_role("link", name="media.cut · broken.mp4").first.click()
        seen.page.get_by_role("heading", name="media.cut").wait_for()
        seen.page.go_back()
        seen.page.get_by_role("link", name="media.cut · cut 0.mp4").first.click()
        made = seen.page.locator("section").filter(has=seen.page.get_by_role("heading", name="What it made"))
        made.get_by_label("published:cut 0.mp4").wait_for()
        digest = sha256((web.settings.roots["published"].path / "cut 0.mp4").read_bytes()).hexdigest()
        made.get_by_text(digest[:12]).wait_for()
        assert unreadable(seen.page) == []
        context.close()


def test_the_api_gives_figures_and_file_and_takes_no_options(web: WebScene) -> None:
    with Client(web.url) as client:
        assert client.report("24h").jobs.done == 2
    with web.stranger() as ask:
        figures = ask.get("/api/v1/report", params={"since": "24h"}).json()
        assert figures["jobs"]["dead"] == 1 and not figures["is_deep"]
        file = ask.get("/api/v1/report/file", params={"since": "24h", "quick": True}, timeout=60.0)
        assert file.headers["content-disposition"].startswith('attachment; filename="night-20')
        assert "Waiting for you: 1 job dead" in file.text and file.text.count("<img") == 2
        for words in ("soon", "--html=x", "x" * 41):
            assert ask.get("/api/v1/report", params={"since": words}).status_code in (400, 422)
    assert not (web.settings.project / "x").exists()
