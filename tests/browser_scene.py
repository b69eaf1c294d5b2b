"""A real browser: Debian's chromium, driven over its own protocol. Where none is installed its tests are
skipped with a word; continuous integration installs it and fails without it. Its shell without windows is the
same browser at half the CPU.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

#: As root, in a container, its sandbox cannot be had.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
LIMIT_MS = 40_000
EVENTS = "/api/v1/events"
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}


@contextmanager
def a_browser() -> Generator[Browser]:
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        words = "there is no chromium here (Debian: apt install chromium-headless-shell)"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page and everything that went wrong on it: what scripts threw, what its policy refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.set_default_timeout(LIMIT_MS)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._said)

    def _said(self, said: ConsoleMessage) -> None:
        # A stream that ends is tried again, and until then the page asks by itself: no fault of the page.
        if said.type == "error" and not said.location["url"].endswith(EVENTS):
            self.faults.append(f"{said.text} ({said.location['url']})")


def unreadable(page: Page) -> list[str]:
    """What axe finds: rules broken, with the first element of each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in found]


def is_whole(seen: Watched) -> None:
    """Nothing failed, nobody is shut out, nothing lies beside the screen."""
    assert seen.faults == []
    assert unreadable(seen.page) == []
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
