"""`conductor top` on a terminal: a table of jobs under the headline, lanes, gates and devices, and keys.

A thread looks, the screen draws what is another than before: calm, it costs next to nothing. While Redis is
away the last look stays and says of when it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static

from conductor.app.top.dialogs import LaneChoice, TextPage, YesOrNo, plain
from conductor.app.top.source import COLUMNS, TopLane, TopRow, TopView
from conductor.base.errors import ConductorError
from conductor.model.job_filter import JobFilter
from conductor.views.headline import Tone, line

LOOK_EVERY_S = 1.0
#: On the way out; the thread hangs on nothing longer than its connection does.
PATIENCE_S = 1.0
STYLES: dict[Tone, str] = {
    "act": "bold red",
    "runs": "bold cyan",
    "waits": "bold yellow",
    "over": "bold green",
    "empty": "bold",
}
STATE_STYLES = {"running": "cyan", "dead": "red", "done": "green", "review": "magenta"}
HELP = """/      filter, as of `conductor jobs`: state:dead cause:timeout task:media.* file:clip7 since:18:00
Esc    all jobs again
j k    down and up, as the arrows do
e ↵    explain: why it waits, failed or is where it is
l      what it printed
c      cancel it (asks first)
p      pause a lane, a device or a backlog, or feed it again (asks first)
?      this page
q      leave; what runs goes on"""


class KeyDeeds(Protocol):
    """What the keys do, each in a thread of its own. All raise `ConductorError`."""

    def parse(self, words: str) -> JobFilter: ...

    def explain(self, job_id: str) -> list[str]: ...

    def log(self, job_id: str) -> list[str]: ...

    def cancel(self, job_id: str) -> str:
        """What became of it, in words."""
        ...

    def set_paused(self, lane: TopLane) -> str: ...


T = TypeVar("T")
Look = Callable[[JobFilter], TopView]


class Top(App[None]):
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #headline { height: auto; max-height: 3; padding: 0 1; }
    #lanes { height: 1; padding: 0 1; color: $text-muted; }
    #jobs { height: 1fr; }
    #gates, #devices { height: auto; padding: 0 1; color: $text-muted; }
    #gates { color: $warning; }
    #filter { height: 3; display: none; }
    #filter.open { display: block; }
    YesOrNo, LaneChoice { align: center middle; }
    .box { width: auto; max-width: 76; height: auto; padding: 1 2; border: round $accent; }
    .box { background: $surface; }
    .page { background: $surface; padding: 0 1; }
    .title { height: 1; color: $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("e", "explain", "explain"),
        Binding("l", "log", "log"),
        Binding("c", "cancel", "cancel"),
        Binding("p", "pause", "pause"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
        Binding("escape", "everything", show=False),
    ]

    def __init__(self, look: Look, deeds: KeyDeeds, every_s: float = LOOK_EVERY_S) -> None:
        super().__init__()
        self._look = look
        self._deeds = deeds
        self._every_s = every_s
        self._wanted = JobFilter()
        self._view: TopView | None = None
        self._seen_at = 0.0
        self._away = ""
        self._leaving = threading.Event()
        self._again = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="top", daemon=True)

    def compose(self) -> ComposeResult:
        yield Static(id="headline")
        yield Static(id="lanes")
        yield DataTable(id="jobs", cursor_type="row", zebra_stripes=False)
        yield Static(id="gates")
        yield Static(id="devices")
        yield Input(id="filter", placeholder="state:dead cause:timeout file:clip7 …")
        yield Footer()

    def on_mount(self) -> None:
        table = self._table
        for name in COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self._thread.start()

    def on_unmount(self) -> None:
        self._leaving.set()
        self._again.set()

    def close(self) -> None:
        """After it has run: its thread asks no ledger that is closed by then."""
        self._leaving.set()
        self._again.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#jobs", DataTable)

    # ── the thread that looks ─────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        while not self._leaving.is_set():
            self._again.clear()
            wanted = self._wanted
            try:
                view, fault = self._look(wanted), ""
            except ConductorError as e:
                view, fault = None, str(e)
            if self._leaving.is_set():
                return
            if wanted == self._wanted:
                self.call_later(self.show, view, fault)
            self._again.wait(self._every_s)

    def show(self, view: TopView | None, fault: str) -> None:
        """On the screen's own thread. None: there was nothing to be seen, and why."""
        if view is None:
            self._away = fault
            self._show_headline()
            return
        is_back, before = bool(self._away), self._view
        self._away, self._view, self._seen_at = "", view, time.time()
        if is_back or before is None or (before.headline, before.foot) != (view.headline, view.foot):
            self._show_headline()
        if before is None or before.lanes != view.lanes:
            self.query_one("#lanes", Static).update(plain([" · ".join(lane.words for lane in view.lanes)]))
        if before is None or before.gates != view.gates:
            self.query_one("#gates", Static).update(self._cut(view.gates))
        if before is None or before.devices != view.devices:
            self.query_one("#devices", Static).update(self._cut(view.devices))
        if before is None or before.rows != view.rows:
            self._show_rows(before.rows if before else (), view.rows)

    def _cut(self, lines: tuple[str, ...]) -> Text:
        text = plain(lines)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _show_headline(self) -> None:
        widget = self.query_one("#headline", Static)
        if self._away:
            since = (
                f"; this is from {time.strftime('%H:%M:%S', time.localtime(self._seen_at))}"
                if self._view
                else ""
            )
            widget.update(Text(f"{self._away}{since}; trying again", style="bold red"))
        elif self._view is not None:
            words = line(self._view.headline) + (f"  [{self._view.foot}]" if self._view.foot else "")
            text = plain([words])
            text.stylize(STYLES[self._view.headline.tone])
            widget.update(text)

    def _show_rows(self, before: tuple[TopRow, ...], rows: tuple[TopRow, ...]) -> None:
        """In place where the same jobs stand in the same order: the cursor stays, nothing flickers."""
        table = self._table
        if [row.job_id for row in before] == [row.job_id for row in rows] and table.row_count == len(rows):
            for was, row in zip(before, rows, strict=True):
                for name, old, new in zip(COLUMNS, was.cells, row.cells, strict=True):
                    if old != new:
                        table.update_cell(row.job_id, name, _cell(name, new, row), update_width=True)
            return
        chosen, at = self.chosen, table.cursor_row
        table.clear()
        for row in rows:
            table.add_row(
                *(_cell(name, text, row) for name, text in zip(COLUMNS, row.cells, strict=True)),
                key=row.job_id,
            )
        ids = [row.job_id for row in rows]
        if rows:
            table.move_cursor(row=ids.index(chosen) if chosen in ids else min(max(at, 0), len(rows) - 1))

    # ── the keys ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def chosen(self) -> str | None:
        """The job under the cursor."""
        table = self._table
        if not table.row_count or table.cursor_row < 0 or table.cursor_row >= table.row_count:
            return None
        return table.coordinate_to_cell_key((table.cursor_row, 0)).row_key.value  # type: ignore[arg-type]

    def _subject(self, job_id: str) -> str:
        rows = self._view.rows if self._view else ()
        cells = next((row.cells for row in rows if row.job_id == job_id), ("", "", ""))
        return f"{cells[1]} ({cells[2]})"

    def action_move(self, by: int) -> None:
        table = self._table
        table.move_cursor(row=table.cursor_row + by)

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.add_class("open")
        box.focus()

    def action_everything(self) -> None:
        """Esc: no filter."""
        box = self.query_one("#filter", Input)
        box.value = ""
        self._filtered("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._filtered(event.value)

    def _filtered(self, words: str) -> None:
        try:
            self._wanted = self._deeds.parse(words)
        except ConductorError as e:
            self._refused(str(e))
            return
        self.query_one("#filter", Input).remove_class("open")
        self._table.focus()
        self._again.set()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.action_explain()

    def action_explain(self) -> None:
        if (job_id := self.chosen) is not None:
            title = self._subject(job_id)
            self._aside(lambda: self._deeds.explain(job_id), lambda lines: self._read(title, lines))

    def action_log(self) -> None:
        if (job_id := self.chosen) is not None:
            title = f"printed by {self._subject(job_id)}"
            self._aside(lambda: self._deeds.log(job_id), lambda lines: self._read(title, lines, True))

    def action_cancel(self) -> None:
        job_id = self.chosen
        if job_id is None:
            return

        def answered(is_yes: bool | None) -> None:
            if is_yes:
                self._aside(lambda: self._deeds.cancel(job_id), self._told)

        words = f"Cancel {self._subject(job_id)}? What comes after it is not made either."
        self.push_screen(YesOrNo(words), answered)

    def action_pause(self) -> None:
        def chose(lane: TopLane | None) -> None:
            if lane is None:
                return
            what = lane.place if lane.kind == "device" else f"{lane.kind} {lane.place}"
            words = f"Feed {what} again?" if lane.is_paused else (
                f"Pause {what}? What runs is finished, nothing new starts."
            )  # fmt: skip
            self.push_screen(YesOrNo(words), lambda is_yes: answered(lane) if is_yes else None)

        def answered(lane: TopLane) -> None:
            self._aside(lambda: self._deeds.set_paused(lane), self._told)

        view = self._view
        self.push_screen(LaneChoice((*view.lanes, *view.places) if view else ()), chose)

    def action_help(self) -> None:
        self.push_screen(TextPage("the keys", HELP.split("\n")))

    def _read(self, title: str, lines: list[str], is_from_end: bool = False) -> None:
        self.push_screen(TextPage(title, lines, is_from_end))

    def _told(self, words: str) -> None:
        self.notify(words, markup=False)
        self._again.set()

    def _aside(self, deed: Callable[[], T], then: Callable[[T], None]) -> None:
        """In a thread: the screen goes on while Redis or a disk takes its time."""

        def work() -> None:
            try:
                found = deed()
            except ConductorError as e:
                self.call_later(self._refused, str(e))
            else:
                self.call_later(then, found)

        self.run_worker(work, thread=True)

    def _refused(self, words: str) -> None:
        self.notify(words, severity="error", markup=False)


def _cell(name: str, text: str, row: TopRow) -> Text:
    style = STATE_STYLES.get(row.state, "") if name == "state" else "dim" if name == "id" else ""
    return Text(text, style=style, no_wrap=True)
