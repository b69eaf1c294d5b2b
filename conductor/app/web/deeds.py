"""What was done through this process lately, and the way back from it: for who slipped, and for who asks in
the morning what others did. The record of it all is the journal; this is kept in memory alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from conductor.base.errors import UsageError
from conductor.model.spec import Value

#: So many deeds are remembered; of so many jobs all together each one.
MOST_DEEDS, MOST_JOBS = 100, 500_000
TAKEN_BACK = "it was taken back already"


class Deed(Value, frozen=True, kw_only=True):
    """`at`: epoch seconds by the ledger's clock. `back`: what a way back would do, as a sentence; empty:
    there is none. `taken_back_by`: who went it; empty: nobody."""

    number: int
    at: float
    who: str
    words: str
    back: str = ""
    taken_back_by: str = ""


@dataclass
class GoneBack:
    """What came of it, as a sentence, and the way of what could not go it yet."""

    words: str
    rest: GoBack | None = None


#: Goes the way back for the one who is named.
GoBack = Callable[[str], GoneBack]


@dataclass
class _KeptDeed:
    deed: Deed
    go_back: GoBack | None
    jobs: int


class DeedBook:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[_KeptDeed] = []
        self._last = 0

    def note(
        self, at: float, who: str, words: str, back: str = "", go_back: GoBack | None = None, jobs: int = 1
    ) -> Deed:
        """`jobs`: of so many the way back has to know. Without `go_back` there is none."""
        with self._lock:
            self._last += 1
            deed = Deed(number=self._last, at=at, who=who, words=words, back=back if go_back else "")
            self._kept.append(_KeptDeed(deed, go_back, jobs))
            while len(self._kept) > MOST_DEEDS or sum(kept.jobs for kept in self._kept[:-1]) > MOST_JOBS:
                del self._kept[0]
            return deed

    def latest(self) -> tuple[Deed, ...]:
        """The latest first."""
        with self._lock:
            return tuple(kept.deed for kept in reversed(self._kept))

    def take_back(self, number: int, who: str) -> str:
        """What came of it. Raises `KeyError` for one that is not remembered, `UsageError` where there is no
        way back, or none any more; whatever the way itself raises leaves it open."""
        with self._lock:
            kept = next((kept for kept in self._kept if kept.deed.number == number), None)
            if kept is None:
                raise KeyError(number)
            go_back, kept.go_back = kept.go_back, None
        if go_back is None:
            raise UsageError(TAKEN_BACK if kept.deed.taken_back_by else "there is no way back from that")
        try:
            gone = go_back(who)
        except BaseException:
            kept.go_back = go_back
            raise
        kept.go_back = gone.rest
        if gone.rest is None:
            kept.deed, kept.jobs = _taken(kept.deed, who), 0
        return gone.words


def _taken(deed: Deed, who: str) -> Deed:
    return Deed(number=deed.number, at=deed.at, who=deed.who, words=deed.words, taken_back_by=who)
