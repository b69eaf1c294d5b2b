"""`conductor top` at its keys, driven by textual's pilot, in a terminal of 80 by 24."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from conductor.app.top.dialogs import LaneChoice, TextPage, YesOrNo
from conductor.app.top.screen import Top
from conductor.app.top.source import TopLane, TopRow, TopView
from conductor.base.errors import Unreachable, UsageError
from conductor.model.job_filter import JobFilter
from conductor.views.headline import Headline

LANES = (
    TopLane(place="gpu", is_paused=False, words="gpu 1 of 2 work"),
    TopLane(place="cpu", is_paused=True, words="cpu 0 of 1 work, PAUSED"),
)


def a_row(name: str, state: str = "running", words: str = "45%") -> TopRow:
    cells = (f"● {state}", f"media.cut · {name}.mp4", name[:8], "3 min", "node1/gpu0", words)
    return TopRow(job_id=f"{name}-whole-id", state=state, cells=cells)  # type: ignore[arg-type]


VIEW = TopView(
    headline=Headline(tone="runs", words="Running: 2 of 40 jobs done, the rest done about 04:10."),
    rows=(a_row("one"), a_row("[red]two\x1b[31m"), a_row("three", "dead", "bad_input: cut off")),
    lanes=LANES,
    places=(
        TopLane(place="node1/gpu0", is_paused=False, kind="device", words="node1/gpu0 RTX"),
        TopLane(place="night", is_paused=False, kind="backlog", words="backlog night, 3 jobs left"),
    ),
    gates=("vram node1/gpu0: 31 wait: needs 10.0 GiB, has 6.1 GiB",),
    devices=("node1/gpu0 RTX: 6.1 GiB used of 24.0 GiB",),
)


class TopDesk:
    """What is looked at, and what was done."""

    def __init__(self) -> None:
        self.view = VIEW
        self.away = ""
        self.looked: list[JobFilter] = []
        self.done: list[Any] = []

    def look(self, wanted: JobFilter) -> TopView:
        self.looked.append(wanted)
        if self.away:
            raise Unreachable(self.away)
        return self.view

    def parse(self, words: str) -> JobFilter:
        if "stat:" in words:
            raise UsageError("stat: is no word of a filter, did you mean state:?")
        return JobFilter(texts=(words,)) if words else JobFilter()

    def explain(self, job_id: str) -> list[str]:
        return [f"{job_id} waits", "for [bold]vram\x1b[2J"]

    def log(self, job_id: str) -> list[str]:
        return [f"line {n} of {job_id}" for n in range(200)]

    def cancel(self, job_id: str) -> str:
        self.done.append(("cancel", job_id))
        return "being stopped"

    def set_paused(self, lane: TopLane) -> str:
        self.done.append(("pause", lane.place, not lane.is_paused))
        return "paused"


def at_the_desk(play: Callable[[Top, Pilot[None], TopDesk], Awaitable[None]]) -> None:
    async def whole() -> None:
        desk = TopDesk()
        top = Top(desk.look, desk, every_s=0.02)
        async with top.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: table(top).row_count == 3)
            await play(top, pilot, desk)
        top.close()

    asyncio.run(whole())


async def until(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come to that")


def table(top: Top) -> DataTable[Any]:
    return top.screen_stack[0].query_one("#jobs", DataTable)


def said(top: Top, name: str) -> str:
    return str(top.screen_stack[0].query_one(name, Static).render())


def cells(top: Top, job_id: str) -> list[str]:
    return [str(cell) for cell in table(top).get_row(job_id)]


def test_jobs_lanes_gates_and_devices_stand_there_and_strangers_names_are_only_text():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        assert "Running: 2 of 40 jobs done" in said(top, "#headline")
        assert "gpu 1 of 2 work · cpu 0 of 1 work, PAUSED" in said(top, "#lanes")
        assert "31 wait" in said(top, "#gates") and "RTX" in said(top, "#devices")
        assert cells(top, "one-whole-id")[1:3] == ["media.cut · one.mp4", "one"]
        assert "[red]two" in cells(top, VIEW.rows[1].job_id)[1]
        shown = [w.size for w in top.screen.children if w.display]
        assert sum(size.height for size in shown) <= 24 and table(top).size.height >= 8

    at_the_desk(play)


def test_what_changes_changes_in_place_and_the_cursor_stays_with_its_job():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        await pilot.press("j", "j")
        assert top.chosen == "three-whole-id"
        desk.view = replace(VIEW, rows=(a_row("one", words="60%"), *VIEW.rows[1:]))
        await until(pilot, lambda: cells(top, "one-whole-id")[5] == "60%")
        assert top.chosen == "three-whole-id"
        desk.view = replace(VIEW, rows=(a_row("new"), *VIEW.rows[1:]))
        await until(pilot, lambda: table(top).get_row_index("new-whole-id") == 0 if "new-whole-id" in {
            key.value for key in table(top).rows} else False)  # fmt: skip
        assert top.chosen == "three-whole-id"

    at_the_desk(play)


def test_a_job_is_cancelled_only_after_a_yes():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        await pilot.press("c")
        assert isinstance(top.screen, YesOrNo) and "media.cut · one.mp4 (one)" in top.screen.words
        for key in ("enter", "c"):
            await pilot.press(key)
        await pilot.press("escape")
        assert desk.done == [] and not isinstance(top.screen, YesOrNo)
        await pilot.press("c", "y")
        await until(pilot, lambda: desk.done == [("cancel", "one-whole-id")])

    at_the_desk(play)


def test_a_lane_or_a_device_is_chosen_and_asked_for_before_it_is_paused_or_fed_again():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        await pilot.press("p")
        assert isinstance(top.screen, LaneChoice)
        await pilot.press("1")
        await until(pilot, lambda: isinstance(top.screen, YesOrNo))
        assert isinstance(top.screen, YesOrNo) and top.screen.words.startswith("Pause lane gpu?")
        await pilot.press("n")
        assert desk.done == []
        await pilot.press("p", "2")
        await until(pilot, lambda: isinstance(top.screen, YesOrNo))
        await pilot.press("y")
        await until(pilot, lambda: desk.done == [("pause", "cpu", False)])
        await pilot.press("p", "3")
        await until(pilot, lambda: isinstance(top.screen, YesOrNo))
        assert isinstance(top.screen, YesOrNo) and top.screen.words.startswith("Pause node1/gpu0?")
        await pilot.press("y")
        await until(pilot, lambda: desk.done[1:] == [("pause", "node1/gpu0", True)])
        await pilot.press("p", "4")
        await until(pilot, lambda: isinstance(top.screen, YesOrNo))
        assert isinstance(top.screen, YesOrNo) and top.screen.words.startswith("Pause backlog night?")
        await pilot.press("y")
        await until(pilot, lambda: desk.done[2:] == [("pause", "night", True)])

    at_the_desk(play)


def test_explain_log_and_help_are_read_and_left_and_obey_nothing_that_strangers_wrote():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        for key in ("e", "enter", "l", "question_mark"):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(top.screen, TextPage))
            await pilot.press("escape")
            assert not isinstance(top.screen, TextPage)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(top.screen, TextPage))
        text = str(top.screen.query("VerticalScroll Static").first(Static).render())
        assert text == "one-whole-id waits\nfor [bold]vram\\x1b[2J"

    at_the_desk(play)


def test_the_filter_has_the_words_of_conductor_jobs_and_esc_takes_it_away():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        await pilot.press("slash", *"stat:", "enter")
        box = top.query_one(Input)
        assert box.has_class("open"), "what is no filter stays to be mended"
        await pilot.press("home", *("delete",) * 5, *"clip7", "enter")
        await until(pilot, lambda: desk.looked[-1] == JobFilter(texts=("clip7",)))
        assert not box.has_class("open") and table(top).has_focus
        await pilot.press("escape")
        await until(pilot, lambda: desk.looked[-1].is_empty)

    at_the_desk(play)


def test_while_redis_is_gone_the_last_look_stays_and_says_so_and_it_comes_back():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        desk.away = "Redis does not answer"
        await until(pilot, lambda: "Redis does not answer; this is from" in said(top, "#headline"))
        assert table(top).row_count == 3
        desk.away = ""
        await until(pilot, lambda: "Running: 2 of 40" in said(top, "#headline"))

    at_the_desk(play)


def test_q_leaves():
    async def play(top: Top, pilot: Pilot[None], desk: TopDesk) -> None:
        await pilot.press("q")
        await until(pilot, lambda: not top.is_running)

    at_the_desk(play)
