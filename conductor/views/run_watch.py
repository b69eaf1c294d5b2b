"""Looks at the ledger beside a run and shows it: a live view on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress

import msgspec
from loguru import logger

from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.base.logs.logs import tinted
from conductor.base.text import printable
from conductor.model.subject import FileNames
from conductor.ports import Ledger
from conductor.views.dead_jobs import obituaries
from conductor.views.run_summary import Account, Pace
from conductor.views.status import gather

LOOK_S = 0.25
LINE_EVERY_S = 5.0
STDERR = 2


class LedgerWatch:
    """One pair of eyes on the ledger. `look` is called from one thread at a time."""

    def __init__(self, ledger: Ledger, backlog: str | None = None) -> None:
        self.ledger = ledger
        self.backlog = backlog
        self._files = FileNames(ledger.jobs.lines)
        self.pace = Pace(gather(ledger, backlog, self._files))
        self._died_before = frozenset(ledger.jobs.died(backlog))

    def look(self) -> Pace:
        """The present state; the last known one while Redis is away."""
        try:
            self.pace.add(gather(self.ledger, self.backlog, self._files))
        except Unreachable as e:
            logger.debug("No look: {}", e)
        return self.pace

    def account(self) -> Account:
        account = self.look().account()
        dead = obituaries(self.ledger, self.backlog, self._died_before) if account.dead else ()
        return msgspec.structs.replace(account, obituaries=dead)


@contextmanager
def watching(ledger: Ledger, backlog: str | None = None, footer: str = "") -> Generator[LedgerWatch]:
    """Show the run while the block lasts. The block's own thread stays free for the work."""
    watch = LedgerWatch(ledger, backlog)
    over = threading.Event()
    with ExitStack() as stack:
        tap = stack.enter_context(tapped()) if is_live() else None
        show = (
            (lambda: show_live(watch, over, footer, tap))
            if tap
            else (lambda: show_lines(watch, over, footer))
        )
        thread = threading.Thread(target=show, name="watch", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            over.set()
            thread.join()


def show_lines(watch: LedgerWatch, over: threading.Event, footer: str) -> None:
    from conductor.views.live_display import one_line

    if footer:
        logger.info("{}", footer)
    said = ""
    while not over.wait(LINE_EVERY_S):
        # A conductor that has nothing to do for a week says so once.
        if (line := one_line(watch.look())) != said:
            emit_event("run.progress", "{why}", why=line)
        said = line


# ── on a terminal ─────────────────────────────────────────────────────────────────────────────────────────


def is_live() -> bool:
    """A terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Tap:
    """What is written to stderr, by us or by a child, goes through a pipe, to be printed above the live
    view.
    """

    def __init__(self) -> None:
        self.terminal = os.fdopen(os.dup(STDERR), "w", encoding="utf-8", errors="backslashreplace")
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.dup2(writer, STDERR)
        os.close(writer)
        self._rest = b""

    def lines(self, wait_s: float) -> list[str]:
        """Whole lines that came within `wait_s`."""
        select.select([self._reader], [], [], wait_s)
        with suppress(BlockingIOError):
            while chunk := os.read(self._reader, 1 << 16):
                self._rest += chunk
        *whole, self._rest = self._rest.split(b"\n")
        return [line.decode("utf-8", "backslashreplace") for line in whole]

    def close(self) -> None:
        """Everything as it was; what is still in the pipe is written out."""
        sys.stderr.flush()
        os.dup2(self.terminal.fileno(), STDERR)
        for line in self.lines(0):
            self.terminal.write(f"{line}\n")
        self.terminal.close()
        os.close(self._reader)


@contextmanager
def tapped() -> Generator[Tap]:
    tap = Tap()
    try:
        yield tap
    finally:
        tap.close()


def show_live(watch: LedgerWatch, over: threading.Event, footer: str, tap: Tap) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from conductor.views.live_display import render

    console = Console(file=tap.terminal, no_color=bool(os.environ.get("NO_COLOR")) or None)
    view = render(watch.pace, footer)
    with Live(
        view,
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        while not over.is_set():
            for line in tap.lines(LOOK_S):
                live.console.print(Text.from_ansi(tinted(printable(line))))
            live.update(render(watch.look(), footer), refresh=True)
