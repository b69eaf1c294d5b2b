"""The list of jobs as somebody uses it who looks for one: what the page answers to each letter and key."""

from __future__ import annotations

from browser_scene import PHONE, Watched, is_whole, unreadable


def searched(seen: Watched) -> None:
    page = seen.page
    page.goto("/jobs")
    page.get_by_role("heading", name="300 jobs").wait_for()
    page.get_by_role("row").first.wait_for()
    assert page.get_by_role("row").count() < 60, "only what is in sight is made"
    is_whole(seen)
    page.keyboard.press("/")
    page.keyboard.type('file:"clip 7.mp4"')
    page.get_by_role("heading", name="1 job of").wait_for()
    assert "clip+7.mp4" in page.url
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    opened(seen)
    half_typed(seen)
    columns(seen)


def opened(seen: Watched) -> None:
    """Where there is room, first beside the list and then as its own page."""
    page, name = seen.page, "diagnostics.echo · clip 7.mp4"
    pane = page.get_by_role("complementary", name="The chosen job")
    page.keyboard.press("Enter")
    if page.viewport_size and page.viewport_size["width"] >= 1100:
        pane.get_by_role("heading", level=2, name=name).wait_for()
        assert "job=" in page.url and page.title() == "Jobs · Conductor"
        assert page.get_by_role("grid", name="Jobs").is_visible()
        is_whole(seen)
        page.keyboard.press("Escape")
        pane.wait_for(state="hidden")
        assert "job=" not in page.url
        page.keyboard.press("Enter")
        pane.get_by_role("heading", level=2, name=name).wait_for()
        page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name=name).wait_for()
    page.go_back()
    page.get_by_role("heading", name="1 job of").wait_for()
    page.keyboard.press("Escape")
    pane.wait_for(state="hidden")


def half_typed(seen: Watched) -> None:
    """What is wrong so far stands at the field, and the list is the last that there was."""
    page = seen.page
    box = page.get_by_role("combobox", name="Search the jobs")
    told: list[str] = []
    page.on("response", lambda answer: told.append(answer.url) if answer.status == 400 else None)
    box.fill("state:gone")
    page.locator("#search-fault").get_by_text("is no state").wait_for()
    assert box.get_attribute("aria-invalid") == "true"
    page.get_by_role("heading", name="1 job of «file:").wait_for()
    page.get_by_role("link", name="diagnostics.echo · clip 7.mp4").wait_for()
    assert page.locator("h1 .alarm, h1.alarm").count() == 0 and page.locator("#said").inner_text() == ""
    assert unreadable(page) == []
    # Nobody is asked again for what was refused, whatever happens meanwhile.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    box.fill("state:waiting")
    page.get_by_role("heading", name="300 jobs of «state:waiting»").wait_for()
    assert page.locator("#search-fault").inner_text() == ""
    assert len([url for url in told if "/api/v1/jobs" in url]) == 1


def columns(seen: Watched) -> None:
    """Who looks says which, and this browser remembers."""
    page = seen.page
    if page.viewport_size == PHONE:
        assert page.locator("details.columns").is_hidden()
        return
    page.get_by_role("columnheader", name="Where").wait_for()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("Priority").check()
    page.get_by_label("Where").uncheck()
    assert unreadable(page) == []
    page.reload()
    page.get_by_role("columnheader", name="Priority").wait_for()
    assert page.get_by_role("columnheader", name="Where").count() == 0


def grouped(seen: Watched) -> None:
    page = seen.page
    page.goto("/jobs?q=backlog:night")
    page.get_by_role("heading", name="300 jobs of").wait_for()
    page.get_by_label("Group by").select_option("task")
    row = page.get_by_role("region", name="Groups").get_by_role("row").filter(has_text="diagnostics.echo")
    row.get_by_text("300").wait_for()
    assert "by=task" in page.url
    is_whole(seen)
    row.get_by_role("link").click()
    page.get_by_role("heading", name="300 jobs of «backlog:night task:diagnostics.echo»").wait_for()
    page.go_back()
    page.get_by_role("region", name="Groups").wait_for()


def completes(seen: Watched) -> None:
    page = seen.page
    page.goto("/jobs")
    page.get_by_role("heading", name="300 jobs").wait_for()
    box = page.get_by_role("combobox", name="Search the jobs")
    box.focus()
    page.keyboard.type("tas")
    page.get_by_role("option", name="task:").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.type("ech")
    page.get_by_role("option", name="task:diagnostics.echo").wait_for()
    is_whole(seen)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert box.input_value() == "task:diagnostics.echo "
    page.keyboard.type("cause:timeo")
    page.get_by_role("option", name="cause:timeout").click()
    assert box.input_value() == "task:diagnostics.echo cause:timeout "
    page.get_by_role("heading", name="0 jobs of").wait_for()
    page.keyboard.type("st")
    page.get_by_role("option", name="state:").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("listbox").wait_for(state="hidden")
    # «cause:timeo» was asked for where the machine is slower than the typing, and refused.
    seen.faults.clear()
