"""The page in a real browser: what a person sees at a desk and on a phone, and that none of it is refused."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from browser_scene import DESK, EVENTS, PHONE, Watched, is_whole
from builders import a_report, a_spec
from night_page import put_night
from node_scene import NodeScene, until
from page_search import completes, grouped, searched
from rebuild_scene import RebuildScene
from web_scene import WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.analysis.what_if import ChangedEnds, MovedEnd
from conductor.app.web.application import STATIC
from conductor.app.web.routes.entrance import PAGES
from conductor.base.logs import job_output
from conductor.base.logs.running_output import RunningNote, RunningOutput
from conductor.model.engine import EngineJob
from conductor.model.failure_outcome import Retry
from conductor.model.pilot import EngineState, Pilot
from conductor.model.receipt import Receipt
from conductor.model.spec import Output
from conductor.views.as_json import json_text

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MOST_BYTES = 80_000
SCHEDULE = "[schedules.nightly]\ncron = '30 2 * * *'\nrun = 'system_test --count 2'"
#: Without a stream the page looks so often (`live.js`).
POLL_MS = 5000
#: What the server says of a look that is from before.
STALE = {"X-Stale": "1", "X-Age-S": "40.0", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, valkey_url: str, browser: Browser) -> Iterator[WebScene]:
    with connect(valkey_url) as client:
        client.flushall()
    with web_running(configured(tmp_path_factory.mktemp("page"), valkey_url, SCHEDULE)) as scene:
        yield scene


@pytest.fixture
def jobs(valkey_url: str, web: WebScene) -> Iterator[NodeScene]:
    with connect(valkey_url) as client:
        client.flushall()
        yield NodeScene(redis_ledger(client), web.settings)


@pytest.fixture(params=["desk", "phone"])
def seen(request: pytest.FixtureRequest, browser: Browser, web: WebScene) -> Iterator[Watched]:
    is_phone = request.param == "phone"
    size = PHONE if is_phone else DESK
    context = browser.new_context(
        base_url=web.url, viewport=size, color_scheme="dark" if is_phone else "light"
    )
    yield Watched(context.new_page())
    context.close()


def test_now_says_how_far_it_is_and_what_waits_for_a_person(seen: Watched, jobs: NodeScene) -> None:
    for n in range(20):
        jobs.put(n, 1.0)
    seen.page.goto("/")
    seen.page.get_by_role("heading", name="Nothing new starts: 0 of 20 jobs done.").wait_for()
    seen.page.get_by_role("link", name="20 jobs left and no conductor has run here yet").wait_for()
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen.page.keyboard.press("c")
    seen.page.get_by_text("Copied: conductor up").wait_for()
    assert seen.page.evaluate("navigator.clipboard.readText()") == "conductor up"
    is_whole(seen)


def test_what_changes_is_seen_without_a_word_and_without_a_stream(seen: Watched, jobs: NodeScene) -> None:
    seen.page.route(f"**{EVENTS}", lambda route: route.abort())
    seen.page.clock.install()
    seen.page.goto("/")
    seen.page.get_by_role("heading", name="No job has been dispatched").wait_for()
    seen.page.get_by_text("polling").wait_for()
    jobs.put(1, 1.0)

    def looked() -> bool:
        seen.page.clock.fast_forward(POLL_MS)
        return "0 of 1 job" in seen.page.get_by_role("heading", level=1).inner_text()

    until(looked, every_s=0.2)


def test_now_shows_the_gates_the_funnel_and_what_can_never_run(seen: Watched, jobs: NodeScene) -> None:
    put_night(jobs)
    seen.page.goto("/")
    closed = seen.page.get_by_role("article").filter(has_text="vram studio1/gpu0")
    closed.get_by_text("closed for 23 min").wait_for()
    for words in ("of 23.5 GiB free", "18 jobs wait", "Opens", "cost 1 h"):
        closed.get_by_text(words).wait_for()
    seen.page.get_by_role("article").filter(has_text="ram studio1").get_by_text("✓ open").wait_for()
    seen.page.get_by_role("rowheader", name="✕ Can never run here: 2 jobs").wait_for()
    seen.page.get_by_role("rowheader", name="vram: 16 jobs").wait_for()
    funnel = seen.page.get_by_role("list").filter(has_text="20 planned")
    said = " ".join(funnel.inner_text().split())
    assert said == "20 planned ○ 18 waiting ◔ 1 admitted ● 1 running ✓ 0 done"
    seen.page.get_by_text("(said first:").wait_for()
    is_whole(seen)


def test_hosts_shows_each_place_over_time_and_what_is_closed(seen: Watched, jobs: NodeScene) -> None:
    put_night(jobs)
    seen.page.goto("/hosts")
    seen.page.get_by_role("heading", name="2 hosts report, 1 with something closed.").wait_for()
    seen.page.get_by_text("of 64.0 GiB RAM free").first.wait_for()
    seen.page.get_by_text("✕ quarantined: it keeps 900 MiB that nobody holds").wait_for()
    seen.page.get_by_text("✕ not mounted: marker .conductor-mount is missing").wait_for()
    strip = seen.page.get_by_role("img", name="gpu0 since")
    assert "promised" in (strip.get_attribute("aria-label") or "")
    drawn = [strip.locator(f"path.{name}").count() for name in ("used", "foreign", "promised")]
    assert drawn == [1, 1, 1] and strip.locator("rect.headroom").count() == 1
    seen.page.get_by_role("link", name="1 h").click()
    seen.page.get_by_role("img", name="gpu0 since").wait_for()
    is_whole(seen)


def test_hosts_says_what_pilots_come_from_and_in_what_hosts_differ(seen: Watched, jobs: NodeScene) -> None:
    put_night(jobs)
    epoch = jobs.ledger.leadership.lead("test", 60.0)
    assert epoch is not None
    waits = EngineJob(state="pending", reason="Resources", position=4)
    pilot = Pilot(key="cdr-a-b-lab-7", engine="lab", state="placed", asked_at=1.0, job=waits)
    jobs.ledger.pilots.write(epoch, EngineState(name="lab", kind="slurm", max=4), [pilot])
    jobs.ledger.reports.publish(a_report("studio3", clock_ahead_s=-7200.0), 60.0)
    seen.page.goto("/hosts")
    engine = seen.page.locator("section").filter(has_text="Engine lab (Slurm)")
    engine.get_by_text("1 of at most 4 pilots").wait_for()
    engine.get_by_text("waits: Slurm says Resources, position 4").wait_for()
    seen.page.get_by_role("listitem").filter(has_text="the clock of studio3 is").wait_for()
    is_whole(seen)


def test_hosts_without_any_says_what_to_start(seen: Watched, jobs: NodeScene) -> None:
    seen.page.goto("/hosts")
    seen.page.get_by_role("heading", name="No host reports").wait_for()
    is_whole(seen)


def test_a_job_says_where_it_is_and_what_stands_against_it(seen: Watched, jobs: NodeScene) -> None:
    job_id = jobs.put(1, 1.0)
    seen.page.goto(f"/jobs/{job_id}")
    seen.page.get_by_role("heading", name="diagnostics.sleep").wait_for()
    seen.page.get_by_text("no conductor is running, so nobody hands it over").wait_for()
    seen.page.get_by_text("● live").wait_for()
    seen.page.locator("p").filter(has_text=re.compile(r"^waits .*\.$")).wait_for()
    seen.page.get_by_text("Nothing was printed yet.").wait_for()
    seen.page.get_by_text("Its line in the manifest").click()
    seen.page.get_by_text(f'"id":"{job_id}"').wait_for()
    is_whole(seen)


#: Of a stranger: markup, a terminal's command, letters that turn the order of those behind them.
EVIL = "<img src=x onerror=\"document.title='owned'\">\x1b[2J\u202egpj.exe"
RAISED = "Traceback (most recent call last):\n  File 'a.py', line 3\nKeyError: <b>audio</b>"


def fail_once(jobs: NodeScene, n: int) -> str:
    """A job that waited for VRAM, failed, and runs again with its words in a worker's file."""
    job_id, logs = jobs.put(n, 1.0), jobs.settings.logs_dir
    jobs.admit(job_id)
    jobs.ledger.attempts.start(job_id, 1, "w1", 3600.0)
    since = jobs.job(job_id).since
    receipt = Receipt(
        v=1, job_id=job_id, attempt=1, token="abcd1234", workflow="w", task="diagnostics.sleep",
        outcome="failed", cause="task_error", message="KeyError: audio", started_at=since + 40,
        ended_at=since + 60, node="here", worker="w1", waited_s=40.0, waited_for={"vram": 30.0},
        checked_s=2.0,
    )  # fmt: skip
    jobs.settings.receipts_dir.mkdir(exist_ok=True)
    (jobs.settings.receipts_dir / f"w{n}.jsonl").write_bytes(msgspec.json.encode(receipt) + b"\n")
    jobs.ledger.attempts.fail(receipt, Retry(delay_s=0.0))
    file = job_output.file_of(logs, job_id, receipt.body, since)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"hello\n\x1ediagnostics.sleep attempt 1 failed:\n{RAISED}\n")
    jobs.admit(job_id)
    jobs.ledger.attempts.start(job_id, 2, "w1", 3600.0)
    printed = logs / f"w{n}.out"
    printed.write_text(f"again\n{EVIL}\n")
    RunningNote(logs, f"w{n}").tell(
        RunningOutput(job_id=job_id, attempt=2, file=str(printed), start=0, pid=os.getpid())
    )
    return job_id


def test_a_job_shows_its_life_its_traceback_and_its_log_as_it_is_printed(
    seen: Watched, jobs: NodeScene
) -> None:
    job_id = fail_once(jobs, 7)
    seen.page.goto(f"/jobs/{job_id}")
    seen.page.get_by_text("waited 40 s (vram 30 s), ran in vain 18 s, was verified 2.0 s").wait_for()
    pieces = seen.page.locator(".life span")
    assert [part.get_attribute("class") for part in pieces.all()][:3] == ["wait", "wait gate0", "failed"]
    seen.page.locator("summary").get_by_text("KeyError: audio").click()
    seen.page.locator("details pre").get_by_text("KeyError: <b>audio</b>").wait_for()
    log = seen.page.get_by_role("region", name="Log")
    log.get_by_text("── attempt 2 ──").wait_for()
    log.locator(".stderr").get_by_text("diagnostics.sleep attempt 1 failed:").wait_for()
    log.locator(".stdout").get_by_text("again").wait_for()
    log.get_by_text("onerror=\"document.title='owned'\">\\u001b[2J\\u202egpj.exe").wait_for()
    assert "owned" not in seen.page.title() and seen.page.locator("main img").count() == 0
    with (jobs.settings.logs_dir / "w7.out").open("a") as more:
        more.write("and on it goes\n")
    log.get_by_text("and on it goes").wait_for()
    is_whole(seen)
    # The other tests count the jobs of the record.
    (jobs.settings.receipts_dir / "w7.jsonl").unlink()


def test_a_job_that_is_not_there_is_said(seen: Watched, jobs: NodeScene) -> None:
    seen.page.goto("/jobs/zzzzzzzz")
    seen.page.get_by_text("no job's id begins with zzzzzzzz").wait_for()


def test_a_redis_that_does_not_answer_is_said_and_what_was_known_stays(
    seen: Watched, jobs: NodeScene
) -> None:
    put_night(jobs)
    page = seen.page
    page.goto("/")
    page.get_by_text("18 waiting").wait_for()
    page.route("**/api/v1/now", lambda route: route.fulfill(response=route.fetch(), headers=STALE))
    gone = {"error": "Redis at x cannot be reached; start it", "exit_code": 4, "problems": []}
    page.route("**/api/v1/alerts", lambda route: route.fulfill(status=503, json=gone))
    look_again = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(look_again)
    page.get_by_text("Redis does not answer").wait_for()
    page.get_by_text("18 waiting").wait_for()
    page.get_by_role("link", name="Alerts").click()
    page.locator("#trouble").get_by_text("Redis at x cannot be reached").wait_for()
    seen.faults.clear()  # the browser's own word on the 503
    is_whole(seen)
    page.unroute("**/api/v1/alerts")
    page.evaluate(look_again)
    page.get_by_role("heading", name="Nobody has looked yet").wait_for()
    page.get_by_text("● live").wait_for()
    assert page.locator("#trouble").inner_text() == ""


@pytest.mark.parametrize(
    ("page", "words"), [("/alerts", "Nobody has looked yet"), ("/schedules", "1 schedule.")]
)
def test_what_is_wrong_and_what_is_to_come_have_a_page(
    seen: Watched, jobs: NodeScene, page: str, words: str
) -> None:
    seen.page.goto(page)
    seen.page.get_by_role("heading", name=words).wait_for()
    is_whole(seen)


@pytest.mark.slow
def test_jobs_are_searched_for_and_opened_by_keys(
    browser: Browser, web: WebScene, jobs: NodeScene, valkey_url: str
) -> None:
    clips = [a_spec(n, writes=(Output(path=f"published:clip {n}.mp4"),)) for n in range(300)]
    RebuildScene(jobs.ledger, jobs.settings.project, valkey_url).dispatch(*clips)
    for size in (DESK, PHONE):
        seen = Watched(browser.new_page(base_url=web.url, viewport=size))
        completes(seen)
        grouped(seen)
        searched(seen)
        seen.page.close()


def test_what_if_says_both_ends_before_one_presses(seen: Watched, jobs: NodeScene) -> None:
    """The play itself is asked for in `test_web_job_lists`; here is what a person sees of its answer."""
    put_night(jobs)
    end = MovedEnd(jobs=20, ends_at=4e9, then_ends_at=4e9 - 7200, never=2, then_never=0)
    told = ChangedEnds(
        now=4e9 - 9000, words="With 1 more GPU: sooner.", all=end, meant=None, backlogs={"night": end}
    )
    answer = json_text(told)
    seen.page.route(
        "**/api/v1/what-if*", lambda route: route.fulfill(body=answer, content_type="application/json")
    )
    seen.page.goto("/what-if")
    seen.page.get_by_label("more GPUs").fill("1")
    seen.page.keyboard.press("Enter")
    seen.page.get_by_role("heading", name="With 1 more GPU: sooner.").wait_for()
    row = seen.page.get_by_role("row").filter(has_text="backlog:night")
    row.get_by_text("2 h 00 min sooner").wait_for()
    row.get_by_text("✕ 2 jobs can never run").wait_for()
    assert seen.page.url.endswith("/what-if?gpus=1")
    is_whole(seen)
    seen.page.goto("/what-if?pause=night")
    seen.page.get_by_text("conductor pause backlog:night").wait_for()
    seen.page.get_by_role("row").filter(has_text="all the rest").wait_for()


def test_keys_are_shown_and_lead_from_page_to_page(seen: Watched, jobs: NodeScene) -> None:
    seen.page.goto("/hosts")
    seen.page.get_by_role("heading", name="No host reports").wait_for()
    seen.page.keyboard.press("?")
    seen.page.get_by_role("dialog").get_by_text("search the jobs").wait_for()
    is_whole(seen)
    seen.page.keyboard.press("Escape")
    seen.page.get_by_role("dialog").wait_for(state="hidden")
    for place in ("review", "night"):
        seen.page.keyboard.press("g")
        seen.page.wait_for_url(f"**/{place}")
    seen.page.keyboard.press("g")
    seen.page.get_by_role("heading", name="1 schedule.").wait_for()
    for _ in range(3):
        seen.page.go_back()
    seen.page.get_by_role("heading", name="No host reports").wait_for()


def test_a_server_that_is_gone_is_said_and_its_figures_stay(
    browser: Browser, tmp_path: Path, valkey_url: str
) -> None:
    with web_running(configured(tmp_path, valkey_url)) as web:
        seen = Watched(browser.new_page(base_url=web.url))
        seen.page.clock.install()
        seen.page.goto("/")
        known = seen.page.get_by_role("heading", level=1).filter(has_text=re.compile("jobs done|dispatched"))
        known.wait_for()
    seen.page.clock.fast_forward("00:30")
    seen.page.get_by_text("the server does not answer").wait_for()
    assert known.is_visible()
    seen.page.close()


def test_every_page_has_an_address_of_its_own(web: WebScene) -> None:
    with web.stranger() as ask:
        pages = {ask.get(page.format(job="k3v7")).text for page in PAGES}
    assert len(pages) == 1


def test_who_opens_a_second_page_fetches_no_file_again(browser: Browser, web: WebScene) -> None:
    seen = Watched(browser.new_page(base_url=web.url))
    asked: list[str] = []
    seen.page.on("response", lambda answer: None if answer.from_service_worker else asked.append(answer.url))
    seen.page.goto("/hosts")
    seen.page.get_by_role("heading", name="No host reports").wait_for()
    files = [url for url in asked if "/static/" in url]
    assert len(files) > 20 and len(files) == len(set(files)), "each once, those that are fetched ahead too"
    fetched = "performance.getEntriesByType('resource').filter((r) => r.transferSize).map((r) => r.name)"
    seen.page.goto("/alerts")
    seen.page.get_by_role("heading", name="Nobody has looked yet").wait_for()
    assert [url for url in seen.page.evaluate(fetched) if "/static/" in url] == []
    seen.page.close()


def test_the_page_is_small() -> None:
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_BYTES
