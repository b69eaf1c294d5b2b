"""One event as the stream has it: an entry of the table (`conductor.model.events`), said at a moment by
somebody.
"""

from __future__ import annotations

import re
from typing import Any

from conductor.model.spec import Exchanged

_ID = re.compile(r"\d{1,20}-\d{1,20}\Z")


class ToldEvent(Exchanged, frozen=True, kw_only=True):
    """`at`: epoch seconds by the clock of the host that said it. `message`: the line for people. Names,
    messages and fields hold strangers' text: whoever shows them escapes them."""

    #: Of the stream: «1700000000000-0», ever greater; empty: not in the stream yet.
    id: str = ""
    name: str
    at: float
    level: str = "INFO"
    message: str = ""
    #: Who said it: «conduct@studio1», «worker-studio1-gpu@studio1».
    source: str = ""
    fields: dict[str, Any] = {}

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs that it is about."""
        one = self.fields.get("job_id")
        return (str(one),) if one else tuple(str(each) for each in self.fields.get("job_ids") or ())


def is_event_id(text: str) -> bool:
    return _ID.match(text) is not None


def order_of(event_id: str) -> tuple[int, int]:
    """Of two ids the greater is the later."""
    ms, _, number = event_id.partition("-")
    return int(ms), int(number or 0)
