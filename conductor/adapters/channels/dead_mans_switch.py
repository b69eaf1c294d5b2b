"""A dead-man's switch: an address somewhere else that is called while the conductor ticks, and that raises
the alarm by itself when nobody calls. Its paths are as healthchecks has them: `/start`, none, `/EXIT CODE`,
`/fail`.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from conductor.base.logs.events import emit_event
from conductor.base.secrets import mask, scrub, tokens

LIMIT_S = 10.0
#: At its end the conductor waits no longer than that for the last word.
LAST_WORD_S = 5.0


class DeadMansSwitch(threading.Thread):
    """Calls from a thread of its own: a tick waits for no network. A standby, which does not tick, says
    nothing.
    """

    def __init__(self, address: str, every_s: float) -> None:
        super().__init__(name="dead-mans-switch", daemon=True)
        self._address = address
        self._every_s = every_s
        self._ticked_at: float | None = None
        self._wake = threading.Event()
        self._last_word: str | None = None
        self._has_failed = False

    def ticked(self) -> None:
        """Called in each tick: costs nothing."""
        is_first, self._ticked_at = self._ticked_at is None, time.monotonic()
        if is_first:
            self._wake.set()

    def end(self, word: str) -> None:
        """`word`: the exit code, or «fail». Waits for some seconds."""
        self._last_word = word
        self._wake.set()
        if self.is_alive():
            self.join(LAST_WORD_S)

    def run(self) -> None:
        self._wait(None)
        if self._ticked_at is not None:
            self._call("start")
        while self._last_word is None:
            self._wait(self._every_s)
            at = self._ticked_at
            if self._last_word is None and at is not None and time.monotonic() - at < 2 * self._every_s:
                self._call("")
        if self._ticked_at is not None:
            self._call(self._last_word)

    def _wait(self, limit_s: float | None) -> None:
        if self._last_word is None:
            self._wake.wait(limit_s)
            self._wake.clear()

    def _call(self, word: str) -> None:
        fault = call(self._address, word)
        if fault and not self._has_failed:
            emit_event("ping.failed", "The dead-man's switch was not reached: {error}", error=fault)
        self._has_failed = bool(fault)


def call(address: str, word: str, limit_s: float = LIMIT_S) -> str:
    """Why it was not reached; empty: it was. Never raises."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return "its address begins with neither http:// nor https://"
    path = f"{parts.path.rstrip('/')}/{word}" if word else parts.path
    try:
        # The scheme was looked at: no file is opened by this.
        with urllib.request.urlopen(urlunsplit(parts._replace(path=path)), timeout=limit_s) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as e:
        e.close()
        return f"it answered {e.code}"
    except (OSError, ValueError) as e:
        return mask(scrub(str(e)), {address, *tokens(address)})
    return ""


@contextmanager
def switch(address: str, every_s: float) -> Generator[DeadMansSwitch]:
    """Around a conductor's run: whoever leaves the block by an error has failed. Without an address nobody is
    called.
    """
    thread = DeadMansSwitch(address, every_s)
    if address:
        thread.start()
    try:
        yield thread
    except BaseException:
        thread.end("fail")
        raise
