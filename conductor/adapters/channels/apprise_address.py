"""A channel by the library apprise, which knows some hundred services: `slack://…`, `mailto://…`, `json://…`.

The only file that knows it; it is imported when the first message is sent. A service that is not there is a
falsy result to it and no exception; why stands in its log, which goes nowhere else.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from conductor.base.secrets import mask, scrub, tokens
from conductor.base.text import printable
from conductor.model.alerts import AlertMessage

NOT_INSTALLED = "apprise is not installed: pip install 'conductor-jobs[alerts]'"
#: How its log says what a warning is about: of all that it says there, no more is shown.
BEHIND = re.compile(r"(?:Socket|I/O) Exception: (.*)")
#: So much of a service's words is kept.
SHOWN = 200


class AppriseAddress:
    def __init__(self, variable: str, address: str) -> None:
        """`address`: what the environment variable holds; empty: it is not set."""
        self._variable = variable
        self._address = address

    @property
    def name(self) -> str:
        return self._variable

    def send(self, message: AlertMessage) -> str:
        if not self._address:
            return f"the environment variable {self._variable} is not set"
        try:
            import apprise
        except ImportError:
            return NOT_INSTALLED
        _quiet()
        kind = "success" if message.is_over else "failure" if message.level == "urgent" else "warning"
        capture: Any = apprise.LogCapture(level=logging.DEBUG)
        with capture as said:
            service: Any = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
            if not service.add(self._address):
                return f"what {self._variable} holds is no address that apprise knows"
            try:
                has_arrived = service.notify(
                    title=message.title,
                    body=message.body,
                    notify_type=kind,
                    body_format="text",
                    attach=message.attachment or None,
                )
            except Exception as e:  # noqa: BLE001  a plug-in of somebody else's: what it raises is its word
                return self._shown(f"{type(e).__name__}: {e}")
            return "" if has_arrived else self._shown(said.getvalue())

    def _shown(self, said: str) -> str:
        """Its last warning, and what was behind it, without what is secret of the address."""
        warned, why = "", ""
        for line in said.strip().splitlines():
            level, _, words = re.sub(r"^\S+ \S+ - (?=[A-Z]+ - )", "", line).partition(" - ")
            if level in ("WARNING", "ERROR", "CRITICAL"):
                warned = words
            elif level == "DEBUG" and (behind := BEHIND.match(words)):
                why = behind[1]
        if not warned and not why:
            warned = said.strip().rpartition("\n")[2] or "it gave no reason"
        line = ": ".join(part for part in (warned, why) if part)
        hidden = mask(scrub(line), {self._address, *tokens(self._address)})
        return printable(hidden)[:SHOWN]


def _quiet() -> None:
    """Its log would go to stderr by itself, addresses and all."""
    log = logging.getLogger("apprise")
    log.propagate = False
    if not any(isinstance(handler, logging.NullHandler) for handler in log.handlers):
        log.addHandler(logging.NullHandler())
