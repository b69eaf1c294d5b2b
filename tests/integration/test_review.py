"""A person's verdict, from the dispatch to the proof: made, looked at, judged, gone on with, verified; by the
command line and by HTTP; and Redis emptied in the middle of it. One running system for all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import media
import pytest
from browser_scene import DESK, PHONE, Watched, unreadable
from builders import a_spec
from cli_tools import Cli
from node_scene import until
from redis import Redis
from review_scene import CONFIG, PNG, ReviewScene
from web_scene import TOKEN, WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.errors import ConductorError
from conductor.client import Client
from conductor.model.spec import JobSpec, Output

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

ESCAPE = "\x1b"
XSS = '<img src=x onerror="window.hacked = 1">'


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str
) -> Iterator[tuple[ReviewScene, WebScene]]:
    settings = configured(tmp_path_factory.mktemp("review"), valkey_url, CONFIG)
    with connect(valkey_url) as client:
        client.flushall()
        scene = ReviewScene(settings, redis_ledger(client))
        try:
            with web_running(settings) as web:
                yield scene, web
        finally:
            scene.close()


@pytest.fixture
def scene(system: tuple[ReviewScene, WebScene]) -> ReviewScene:
    return system[0]


@pytest.fixture
def web(system: tuple[ReviewScene, WebScene]) -> WebScene:
    return system[1]


@pytest.fixture
def cli(scene: ReviewScene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(scene.folder, capsys, monkeypatch)


def test_the_first_of_a_kind_is_seen_by_eye_before_the_rest_starts(scene: ReviewScene, cli: Cli) -> None:
    specs = [scene.render(n) for n in range(3)]
    manifest = scene.dispatch(*specs, name="canary")
    first = next(iter(until(scene.ledger.reviews.shown, 40.0)))
    assert [scene.view(spec).state for spec in specs].count("waiting") == len(specs) - 1
    waits = next(spec.id for spec in specs if spec.id != first)
    words = "canary by eye: 0 of 1 accepted, 1 job to look at (`conductor review`)"
    until(lambda: words in cli("explain", waits).out)
    (row,) = cli("review", "--json").json["rows"]
    assert row["is_canary"] and row["items"][0]["item"]["picture"].endswith("a.png")
    assert cli("review", "accept", "task:mine.render", "--yes").code == 0
    for spec in specs:
        scene.until(spec, "done")
    assert cli("verify", str(manifest)).code == 0


def test_the_page_and_the_api_show_what_was_made_and_take_one_word(scene: ReviewScene, web: WebScene) -> None:
    spec = scene.detect(50, "<b>a save</b>" + ESCAPE + "[31m")
    scene.dispatch(spec, scene.reel(51, spec), name="api")
    scene.until(spec, "review")
    with web.friend() as ask:
        answer = until(
            lambda: a if (a := ask.get("/api/v1/review/pending?q=backlog:api")).json()["rows"] else None
        )
        assert ESCAPE not in answer.text and answer.headers["content-type"] == "application/json"
        (row,) = answer.json()["rows"]
        assert (row["job_id"], row["behind"], row["left"]) == (spec.id, 1, 1)
        assert ask.get("/api/v1/review/pending?q=backlog:none").json()["rows"] == []
        place = f"/api/v1/jobs/{spec.id}/artefacts/"
        picture = ask.get(place + row["items"][0]["item"]["picture"])
        assert (picture.content, picture.headers["content-type"]) == (PNG, "image/png")
        for path in ("published:../../conductor.toml", "/etc/passwd", "published:other.png"):
            assert ask.get(place + path.replace("/", "%2F")).status_code == 404

        at = f"/api/v1/review/{spec.id}"
        with web.stranger() as stranger:
            assert stranger.post(at, json={"is_accepted": True}).status_code == 401
            assert stranger.get("/api/v1/review/pending").status_code == 200, "looking is free on this host"
        assert ask.post(at, content=b"yes").status_code == 400
        assert ask.post(at, json={"is_accepted": True, "items": [2]}).status_code == 400
        assert ask.post("/api/v1/review/nobody", json={"is_accepted": True}).status_code == 404
        assert scene.view(spec).state == "review"
        said = {"is_accepted": True, "note": "fine"}
        taken = ask.post(at, json=said, headers={"x-conductor-actor": "ann"})
        assert (taken.status_code, taken.json()["state"], taken.json()["left"]) == (200, "done", 0)
        second = ask.post(at, json={"is_accepted": False}, headers={"x-conductor-actor": "bob"})
        assert second.status_code == 409 and "ann (127.0.0.1) accepted it already" in second.json()["error"]
        waiting = ask.post(f"/api/v1/review/{scene.reel(51, spec).id}", json=said)
        assert waiting.status_code == 409 and "waits for no verdict" in waiting.json()["error"]
        with Client(web.url, TOKEN, actor="cat") as client:
            assert client.reviews("backlog:api").rows == ()
            with pytest.raises(ConductorError, match=r"ann .* accepted it already"):
                client.judge(spec.id, is_accepted=False)
    scene.until(scene.reel(51, spec), "done")
    (verdict,) = scene.receipts(spec)[-1].verdicts
    assert (verdict.item, verdict.is_accepted, verdict.note) == (1, True, "fine")


def test_a_night_that_a_person_has_to_see_goes_on_by_her_word_and_is_proved(
    scene: ReviewScene, cli: Cli, valkey_url: str
) -> None:
    good, bad = scene.detect(1, "a goal?"), scene.detect(2, "a save" + ESCAPE + "[31m")
    many = scene.detect(3, "kick-off", "a shot", rejected="left_out")
    reels = [scene.reel(10 + n, spec) for n, spec in enumerate((good, bad, many))]
    manifest = scene.dispatch(good, bad, many, *reels)
    for spec in (good, bad, many):
        scene.until(spec, "review")

    # What is to be seen, and that nothing of it is called done.
    rows = {row["job_id"]: (row["left"], row["behind"]) for row in cli("review", "--json").json["rows"]}
    assert rows == {good.id: (1, 1), bad.id: (1, 1), many.id: (2, 1)}
    said = cli("review").out
    assert "1. a goal? at 1:01.5, 60% sure  published:" in said and ESCAPE not in said
    found = cli("verify", str(manifest))
    assert found.code == 1 and "waits for a person's verdict: `conductor review`" in found.out
    assert "3 review, 3 missing" in found.out
    which = f"`conductor review accept {good.id[:12]}`"
    assert f"waits for a person's verdict on 1 item («a goal?»): {which}" in cli("explain", good.id).out
    refused = cli("retry", good.id)
    assert refused.code == 1 and which in refused.out + refused.err
    assert cli("audit").code == 0

    # A yes, and who waited goes on by itself.
    done = cli("review", "accept", good.id, "--note", "clear")
    assert done.code == 0 and "accepted 1 item, the job is done" in done.out
    scene.until(reels[0], "done")
    assert json.loads(scene.made(reels[0]).read_text()) == [[1, True, "clear"]]
    again = cli("review", "reject", good.id)
    assert again.code == 1 and "accepted it already" in again.out

    # A no, with its reason.
    assert cli("review", "reject", bad.id, "--note", "too dark" + ESCAPE + "[2J").code == 0
    view = scene.view(bad)
    assert (view.state, view.cause) == ("dead", "rejected") and "too dark" in view.message
    assert scene.view(reels[1]).cause == "dependency_dead"
    said = cli("verify", str(manifest)).out
    assert "rejected: by " in said and ESCAPE not in said

    # Half a word, and Redis forgets everything.
    assert cli("review", "reject", many.id, "--item", "2").code == 0
    with Redis.from_url(valkey_url, protocol=2) as client:
        client.flushall()
    assert cli("rebuild").code == 0
    states = [scene.view(spec).state for spec in (good, bad, many, reels[0], reels[1])]
    assert states == ["done", "dead", "review", "done", "dead"]
    assert scene.view(bad).message == view.message
    (row,) = cli("review", "--json").json["rows"]
    assert (row["job_id"], row["left"], row["items"][1]["verdict"]["is_accepted"]) == (many.id, 1, False)

    # The rest of it, and the rejected one once more.
    assert cli("review", "accept", many.id).code == 0
    scene.until(reels[2], "done")
    assert [said[:2] for said in json.loads(scene.made(reels[2]).read_text())] == [[1, True], [2, False]]
    assert cli("retry", bad.id).code == 0
    scene.until(bad, "review")
    assert cli("review", "accept", bad.id).code == 0
    scene.until(reels[1], "done")
    assert cli("verify", str(manifest)).code == 0
    assert cli("audit").code == 0
    ends = sorted((r.outcome, r.cause or "", bool(r.verdicts)) for r in scene.receipts(bad))
    assert ends == [
        ("failed", "rejected", True), ("ok", "", True), ("review", "", False), ("review", "", False)
    ]  # fmt: skip
    assert scene.lives()


def test_a_reviewer_who_rejects_everything_ends_the_night_with_her_reasons(
    scene: ReviewScene, cli: Cli
) -> None:
    specs = [scene.render(n) for n in range(20, 23)]
    left_out = scene.detect(23, "a goal?", "a shot?", rejected="left_out")
    reel = scene.reel(24, left_out)
    manifest = scene.dispatch(*specs, left_out, reel, name="no")
    seen: set[str] = set()
    for _ in specs:
        # Of the canaries another one is made for each that was rejected.
        shown = until(lambda: [spec for spec in specs if spec.id in scene.ledger.reviews.shown()], 40.0)
        (spec,) = shown
        assert cli("review", "reject", spec.id, "--note", "not sharp").code == 0
        seen.add(spec.id)
    scene.until(left_out, "review")
    assert cli("review", "reject", "backlog:no", "--note", "not one", "--yes").code == 0

    assert seen == {spec.id for spec in specs}
    views = [scene.until(spec, "dead") for spec in specs]
    assert {(view.cause, "not sharp" in view.message) for view in views} == {("rejected", True)}
    scene.until(reel, "done")
    assert [said[1:] for said in json.loads(scene.made(reel).read_text())] == [[False, "not one"]] * 2
    assert cli("review", "--json").json["rows"] == []
    found = cli("verify", str(manifest))
    assert found.code == 1 and found.out.count("not sharp") == len(specs)
    status = cli("status").out
    assert "3 dead" in status.splitlines()[0] and "rejected" in status
    assert cli("audit").code == 0


def test_films_are_shown_by_the_tasks_that_come_along_and_what_waits_goes_on_at_the_word(
    scene: ReviewScene, cli: Cli
) -> None:
    (scene.folder / "inputs").mkdir()
    film = str(media.scenes(scene.folder / "inputs" / "match.mp4"))

    def a_film(n: int, task: str, *names: str, **args: Any) -> JobSpec:
        writes = tuple(Output(path=f"published:{{id}}/{name}") for name in names)
        return a_spec(n, task=task, args=args, reads=(film,), writes=writes)

    preview = a_film(0, "media.preview", "a.jpg", "a.mp4", review=True, width=64, seconds=1.0)
    unsure = a_film(0, "vision.analyse", "a.json", review_below=10.0, seconds=1.0)
    sure = a_film(1, "vision.analyse", "b.json", review_below=0.001, seconds=1.0)
    reels = [scene.reel(60 + n, spec) for n, spec in enumerate((preview, unsure))]
    manifest = scene.dispatch(preview, unsure, sure, *reels, name="films")
    scene.until(preview, "review")
    scene.until(unsure, "review")
    scene.until(sure, "done")

    rows = {row["job_id"]: row["items"][0]["item"] for row in cli("review", "--json").json["rows"]}
    assert rows.keys() == {preview.id, unsure.id}
    look = rows[preview.id]
    assert look["words"] == "preview of match.mp4, at 0.4 s"
    assert (look["picture"], look["clip"]) == tuple(write.path for write in preview.writes)
    window = rows[unsure.id]
    assert window["words"].startswith("is this worth a cut? The best of match.mp4 has a score of ")
    assert window["clip"] == film and (window["at_s"], window["ends_s"]) == (1.0, 2.0)

    assert cli("review", "accept", preview.id).code == 0
    assert cli("review", "reject", unsure.id, "--note", "nothing moves").code == 0
    scene.until(reels[0], "done")
    assert scene.until(unsure, "dead").cause == "rejected"
    assert scene.until(reels[1], "dead").cause == "dependency_dead"
    found = cli("verify", str(manifest))
    assert found.code == 1 and "nothing moves" in found.out


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_key_judges_what_fills_the_screen_and_goes_on_to_the_next(
    scene: ReviewScene, web: WebScene, browser: Browser, size: ViewportSize
) -> None:
    n, name = size["width"], f"eye{size['width']}"
    first = scene.detect(n, XSS, "a shot", rejected="left_out")
    reel = scene.reel(n + 1, first)
    scene.dispatch(first, reel, name=name)
    scene.until(first, "review")
    context = browser.new_context(
        base_url=web.url, viewport=size, extra_http_headers={"Authorization": f"Bearer {TOKEN}"}
    )
    seen = Watched(context.new_page())
    page = seen.page

    page.goto(f"/review?q=backlog:{name}")
    page.get_by_role("heading", name="2 to look at").wait_for()
    page.get_by_role("heading", name=XSS).wait_for()
    picture = page.locator(".review img")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    page.get_by_text("1 job waits for this job.").wait_for()
    sums = page.get_by_role("region", name="By task").get_by_role("row").filter(has_text="mine.detect")
    assert sums.get_by_role("cell").all_inner_texts()[1:4] == ["1", "2", "1"]
    assert seen.faults == [] and unreadable(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.hacked") is None

    page.keyboard.press("a")
    page.get_by_role("heading", name="1 to look at").wait_for()
    page.get_by_role("heading", name="a shot").wait_for()
    page.keyboard.press("u")
    page.get_by_role("heading", name="2 to look at").wait_for()
    assert scene.ledger.reviews.asked([first.id])[0].verdicts == (), "taken back before anybody heard it"
    page.keyboard.press("a")
    page.get_by_role("heading", name="a shot").wait_for()
    page.get_by_label("Why").fill("no ball")
    page.get_by_label("Why").press("Escape")
    page.keyboard.press("r")
    page.get_by_role("heading", name="Nothing to look at.").wait_for()
    page.keyboard.press("g")  # whoever leaves the page has said it
    scene.until(reel, "done")
    assert json.loads(scene.made(reel).read_text()) == [[1, True, ""], [2, False, "no ball"]]
    assert seen.faults == []
    context.close()
