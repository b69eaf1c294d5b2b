"""What `conductor top` lays over its table: a question, a text to read, the choice of a lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from conductor.app.top.source import TopLane
from conductor.base.text import printable


def plain(lines: Sequence[str]) -> Text:
    """Strangers' words: nothing in them is obeyed, neither by the terminal nor as markup."""
    return Text("\n".join(printable(line) for line in lines))


class YesOrNo(ModalScreen[bool]):
    """Answered by `y`; every other way out is a no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q,enter", "answer(False)", "no"),
    ]

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(plain([self.words, "", "y  yes      n  no"]))

    def action_answer(self, is_yes: bool) -> None:
        self.dismiss(is_yes)


class TextPage(ModalScreen[None]):
    """A text of any length, from its beginning or its end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "back"),
        Binding("j", "scroll('down')", show=False),
        Binding("k", "scroll('up')", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str], is_from_end: bool = False) -> None:
        super().__init__()
        self.title_text = title
        self.lines = lines
        self._is_from_end = is_from_end

    def compose(self) -> ComposeResult:
        with Vertical(classes="page"):
            yield Static(plain([f"{self.title_text}   (Esc: back)"]), classes="title")
            with VerticalScroll():
                yield Static(plain(self.lines))

    def on_mount(self) -> None:
        if self._is_from_end:
            self.query_one(VerticalScroll).scroll_end(animate=False)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, way: str) -> None:
        page = self.query_one(VerticalScroll)
        (page.scroll_down if way == "down" else page.scroll_up)(animate=False)


#: One digit each: lanes first. Of more, `conductor pause DEVICE`.
PLACE_KEYS = "123456789abcdefghijklmnoprstuvwxyz"


class LaneChoice(ModalScreen[TopLane | None]):
    """Which lane, device or backlog is to be paused, or fed again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"choose({n})", show=False) for n, key in enumerate(PLACE_KEYS, start=1)),
        Binding("escape,q", "choose(0)", "back"),
    ]

    def __init__(self, lanes: Sequence[TopLane]) -> None:
        super().__init__()
        self.lanes = lanes[: len(PLACE_KEYS)]

    def compose(self) -> ComposeResult:
        lines = [f"{key}  {lane.words}" for key, lane in zip(PLACE_KEYS, self.lanes, strict=False)]
        title = "Pause a lane, a device or a backlog, or feed it again:"
        with Vertical(classes="box"):
            yield Static(plain([title, "", *lines, "", "Esc: back"]))

    def action_choose(self, number: int) -> None:
        self.dismiss(self.lanes[number - 1] if 0 < number <= len(self.lanes) else None)
