"""The page under what a night does to it: nothing, twenty and a hundred thousand jobs, twenty tabs, a
conductor that dies while one looks, and somebody who acts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_scene import DESK, EVENTS, PHONE, Watched, unreadable
from builders import a_spec
from node_scene import NodeScene, until
from web_scene import WebScene, configured, web_running

from conductor.adapters.open_ledger import connect, redis_ledger
from conductor.base.logs.running_output import RunningNote, RunningOutput
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.spec import Output, to_line
from conductor.model.told_event import ToldEvent
from conductor.ports import Ledger
from conductor.record.journal import Journal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SOME, MANY = 20, 100_000
#: Page → what its heading says once it knows; the list of jobs last, which is looked at.
HEADS = {
    "Now": "0 of {:,} jobs done|No job has been dispatched",
    "Hosts": "No host reports",
    "Review": "Nothing to look at",
    "Schedules": "1 schedule.",
    "Alerts": "Nobody has looked yet",
    "What if": "What if …",
    "Jobs": "{:,} job",
}
TABS = 20
#: With a stream, too, the page looks so often (`live.js`).
POLL_MS = 5000
SCHEDULE = "[schedules.nightly]\ncron = '30 2 * * *'\nrun = 'system_test --count 2'"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, valkey_url: str, browser: Browser) -> Iterator[WebScene]:
    with connect(valkey_url) as client:
        client.flushall()
    with web_running(configured(tmp_path_factory.mktemp("attacks"), valkey_url, SCHEDULE)) as scene:
        yield scene


@pytest.fixture(scope="module")
def ledger(web: WebScene, valkey_url: str) -> Iterator[Ledger]:
    with connect(valkey_url) as client:
        yield redis_ledger(client)


def dispatched(web: WebScene, ledger: Ledger, first: int, last: int) -> None:
    """Into the record and the ledger, without a look at each: a hundred thousand are seconds so."""
    line = to_line(a_spec(0, writes=(Output(path="published:clip 0.mp4"),), id="k" * 20))
    decl = load_catalogue()["diagnostics.echo"]
    job_class = class_of(a_spec(0), decl, "night")
    numbers = [b"%06d" % n for n in range(first, last)]
    lines = [line.replace(b"k" * 20, b"kkkkkkkkkkkkkk" + n).replace(b"clip 0", b"clip " + n) for n in numbers]
    manifest = web.settings.project / f"m{last}.jsonl"
    manifest.write_bytes(b"\n".join(lines) + b"\n")
    for i in range(0, len(lines), 5000):
        some = zip(numbers[i : i + 5000], lines[i : i + 5000], strict=True)
        entries = [
            Entry(job_id=f"kkkkkkkkkkkkkk{n.decode()}", line=text, job_class=job_class) for n, text in some
        ]
        ledger.intake.put("night", entries)
    Journal(web.settings.receipts_dir).dispatched(manifest, "night", len(lines), "g")


def at_least(web: WebScene, ledger: Ledger, count: int) -> None:
    """The tests of a file may run in several processes: each has to have its jobs."""
    had = sum(ledger.tallies.counts("night").values())
    if had < count:
        dispatched(web, ledger, had, count)


def rung(ledger: Ledger) -> str:
    """Something happened, so that who looks asks again."""
    ledger.events.append([ToldEvent(name="job.dispatched", at=ledger.bell.now(), fields={"jobs": 1})])
    return "rung"


def look(page: Page, name: str, count: int) -> None:
    """By a click in the bar, as one goes from page to page."""
    page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
    words = re.compile(HEADS[name].format(count))
    page.get_by_role("heading", level=1).filter(has_text=words).wait_for()


@pytest.mark.slow
def test_each_page_with_nothing_with_some_and_with_a_hundred_thousand_jobs(
    browser: Browser, web: WebScene, ledger: Ledger
) -> None:
    seen = [Watched(browser.new_page(base_url=web.url, viewport=size)) for size in (DESK, PHONE)]
    desk, phone = seen
    for one in seen:
        one.page.goto("/")
    had = 0
    for count in (0, SOME, MANY):
        if count:
            dispatched(web, ledger, had, count)
            had = count
            # The first who asks waits for the index: it is fed behind the page.
            desk.page.get_by_role("link", name="Jobs", exact=True).click()
            listed = desk.page.get_by_role("heading", name=f"{count:,} jobs")
            until(lambda listed=listed: rung(ledger) and listed.is_visible(), 60.0, every_s=0.2)
        for name in HEADS:
            for one in seen if count == SOME else (phone,):
                look(one.page, name, count)
                assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                assert one.faults == [], name
            if count == SOME:
                assert unreadable(desk.page) == [], name
    assert desk.page.get_by_role("row").count() < 60, "only what is in sight is made"
    for one in seen:
        one.page.close()


@pytest.mark.slow
def test_twenty_tabs_are_live_with_one_stream(browser: Browser, web: WebScene, ledger: Ledger) -> None:
    at_least(web, ledger, SOME)
    context = browser.new_context(base_url=web.url)
    streams: list[str] = []
    context.on("request", lambda asked: streams.append(asked.url) if asked.url.endswith(EVENTS) else None)
    tabs = [context.new_page() for _ in range(TABS)]
    job_id, printed = running(web, ledger)
    on_job = tabs[TABS // 2 : -1]
    for tab in tabs:
        tab.goto(f"/jobs/{job_id}" if tab in on_job else "/", wait_until="commit")
    for tab in tabs:
        tab.get_by_text("● live").wait_for()
    before = cancelled(ledger)
    ledger.commands.cancel("kkkkkkkkkkkkkk000000")
    ledger.events.append([ToldEvent(name="operator.acted", at=ledger.bell.now())])
    for tab in (tabs[0], tabs[7], tabs[-1]):
        tab.get_by_role("link", name=f"{before + 1} cancelled").wait_for()
    # Of those that show one job's log some follow it, the others fetch it: no tab waits for a connection.
    with printed.open("a") as more:
        more.write("and on it goes\n")
    ledger.events.append([ToldEvent(name="job.progress", at=ledger.bell.now(), fields={"job_id": job_id})])
    for tab in on_job:
        tab.get_by_role("region", name="Log").get_by_text("and on it goes").wait_for()
    assert len(streams) == 1
    context.close()


def running(web: WebScene, ledger: Ledger) -> tuple[str, Path]:
    """A job whose body prints into that file."""
    scene = NodeScene(ledger, web.settings)
    job_id = scene.put(7, 1.0)
    scene.admit(job_id)
    ledger.attempts.start(job_id, 1, "w1", 3600.0)
    logs = web.settings.logs_dir
    printed = logs / "w7.out"
    printed.write_text("hello\n")
    note = RunningOutput(job_id=job_id, attempt=1, file=str(printed), start=0, pid=os.getpid())
    RunningNote(logs, "w7").tell(note)
    return job_id, printed


def cancelled(ledger: Ledger) -> int:
    return ledger.tallies.counts("night").get("cancelled", 0)


def test_a_conductor_that_dies_is_missed_within_seconds_and_one_that_comes_is_seen(
    browser: Browser, web: WebScene, ledger: Ledger
) -> None:
    at_least(web, ledger, SOME)
    seen = Watched(browser.new_page(base_url=web.url))
    # Its time is made to pass: the page looks by itself each five seconds, and no other clock is touched.
    seen.page.clock.install()
    assert ledger.leadership.lead("test", 60.0) is not None
    seen.page.goto("/")
    heading = seen.page.get_by_role("heading", level=1)
    goes_on = re.compile("(Running|Waiting): ")
    heading.filter(has_text=goes_on).wait_for()
    seen.page.get_by_text("● live").wait_for()

    def said(words: str) -> bool:
        seen.page.clock.fast_forward(POLL_MS)
        return bool(re.match(words, heading.inner_text()))

    assert ledger.leadership.lead("test", 0.1) is not None
    # Its lease runs out, and nobody tells of it: the one who would have is dead.
    until(lambda: said("Nothing new starts"), every_s=0.2)
    assert ledger.leadership.lead("test", 60.0) is not None
    until(lambda: said(goes_on.pattern), every_s=0.2)
    assert seen.faults == []
    seen.page.close()


def test_who_has_the_link_cancels_and_retries_what_was_counted(
    browser: Browser, web: WebScene, ledger: Ledger
) -> None:
    at_least(web, ledger, 1000)
    with web.friend(X_Conductor_Actor="ann") as ask:
        code = ask.post("/api/v1/links").json()["code"]
    seen = Watched(browser.new_page(base_url=web.url))
    page = seen.page
    page.goto(f"/jobs?q=file:%22clip%2000077%22#{code}")
    page.get_by_role("heading", name="10 jobs of").wait_for()
    for verb, state in (("cancel", "cancelled"), ("retry", "waiting")):
        page.get_by_role("button", name=verb, exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("heading", name=f"{verb.capitalize()} 10 jobs?").wait_for()
        assert unreadable(page) == []
        dialog.get_by_role("button", name=f"{verb.capitalize()} 10").click()
        page.get_by_text(f"{verb.capitalize()}: done to 10 jobs.").wait_for()
        ids = [f"kkkkkkkkkkkkkk00077{n}" for n in range(10)]
        until(lambda ids=ids, state=state: set(ledger.jobs.states(ids).values()) == {state})
    # A slip: the way back is offered where it was done, and says what it does before it does it.
    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("dialog").get_by_text("10 jobs will be what they were").wait_for()
    assert unreadable(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    page.get_by_text("Taken back for 10 jobs.").wait_for()
    until(lambda: set(ledger.jobs.states(ids).values()) == {"cancelled"})
    page.keyboard.press("d")
    done = page.get_by_role("dialog").get_by_role("listitem")
    done.filter(has_text="retry of 10 jobs").get_by_text("taken back by ann").wait_for()
    done.filter(has_text="cancel of 10 jobs").get_by_role("button", name="Take back").click()
    page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    page.get_by_text("Taken back for 10 jobs.").wait_for()
    page.goto("/")
    page.get_by_role("button", name="Pause night").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    page.get_by_text("⊘ paused").wait_for()
    page.get_by_role("button", name="Resume night").wait_for()
    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    page.get_by_role("button", name="Pause night").wait_for()
    page.goto("/schedules")
    page.get_by_role("button", name="Pause nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Resume nightly").wait_for()
    assert seen.faults == []
    seen.page.close()
