"""Looks at the ledger beside a run and shows it: a live view on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

from loguru import logger

from conductor.account import Account, Pace
from conductor.errors import Unreachable
from conductor.ports import Ledger
from conductor.status import causes_of_death, gather

LOOK_S = 0.25
LINE_EVERY_S = 5.0


class Watch:
    """One pair of eyes on the ledger. `look` is called from one thread at a time."""

    def __init__(self, ledger: Ledger, backlog: str | None = None) -> None:
        self.ledger = ledger
        self.backlog = backlog
        self.pace = Pace(gather(ledger, backlog, has_causes=False))

    def look(self) -> Pace:
        """The present state; the last known one while Redis is away."""
        try:
            self.pace.add(gather(self.ledger, self.backlog, has_causes=False))
        except Unreachable as e:
            logger.debug("No look: {}", e)
        return self.pace

    def account(self) -> Account:
        import msgspec

        account = self.look().account()
        return msgspec.structs.replace(account, causes=causes_of_death(self.ledger, self.backlog))


def is_live() -> bool:
    """A terminal that can move its cursor, and nobody who records it."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def watching(ledger: Ledger, backlog: str | None = None, footer: str = "") -> Generator[Watch]:
    """Show the run while the block lasts. The block's own thread stays free for the work."""
    watch = Watch(ledger, backlog)
    over = threading.Event()
    show = show_live if is_live() else show_lines
    thread = threading.Thread(target=show, args=(watch, over, footer), name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def show_lines(watch: Watch, over: threading.Event, footer: str) -> None:
    from conductor.display import one_line

    since = 0.0
    if footer:
        logger.info("{}", footer)
    while not over.wait(LOOK_S):
        pace = watch.look()
        since += LOOK_S
        if since >= LINE_EVERY_S:
            since = 0.0
            logger.bind(event="progress").info("{}", one_line(pace))


def show_live(watch: Watch, over: threading.Event, footer: str) -> None:
    from rich.console import Console
    from rich.live import Live

    from conductor.display import render

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None)
    with Live(render(watch.pace, footer), console=console, refresh_per_second=4, transient=True) as live:
        while not over.wait(LOOK_S):
            live.update(render(watch.look(), footer))
