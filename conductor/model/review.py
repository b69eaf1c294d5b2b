"""What a job shows to a person, and what the person says to it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from conductor.model.spec import Exchanged, Value

#: A job shows no more than this: a person looks at each.
MOST_ITEMS = 200
#: Characters of what is said to one item, and of a person's note.
MOST_WORDS = 500

#: What a rejected item means. dies: the job is dead, as of its own fault. left_out: the job is done all the
#: same, and who comes after it reads which items were accepted (`ctx.verdicts`).
Rejection = Literal["dies", "left_out"]


class ReviewItem(Exchanged, frozen=True, kw_only=True):
    """One thing to be judged. `picture` and `clip` are files that the job's line writes or reads."""

    words: str
    picture: str = ""
    clip: str = ""
    #: Where in the clip it is, seconds from its beginning; `ends_s`: where it is over. The page plays it from
    #: there.
    at_s: float | None = None
    ends_s: float | None = None
    #: How sure the task is, from 0 to 1.
    sure: Annotated[float, Meta(ge=0, le=1)] | None = None


class ReviewAsked(Exchanged, frozen=True, kw_only=True):
    """All that one body shows."""

    items: tuple[ReviewItem, ...]
    rejected: Rejection = "dies"
    #: It is one of the first of its kind, which a person sees before the rest starts.
    is_canary: bool = False


class ItemVerdict(Exchanged, frozen=True, kw_only=True):
    """A person's word on one item, of which the first is 1. `at`: epoch seconds by the host on which it was
    said."""

    item: int
    is_accepted: bool
    who: str
    at: float
    note: str = ""


class OpenReview(Value, frozen=True, kw_only=True):
    """A job that waits for a person's verdict, as the ledger has it. `body`: ATTEMPT.TOKEN, whose receipt
    asks for it."""

    job_id: str
    body: str
    asked: ReviewAsked
    #: Of the items that were judged already, in the order of items.
    verdicts: tuple[ItemVerdict, ...] = ()
    #: So many jobs wait for it.
    behind: int = 0

    @property
    def open_items(self) -> tuple[int, ...]:
        judged = {verdict.item for verdict in self.verdicts}
        return tuple(number for number in range(1, len(self.asked.items) + 1) if number not in judged)

    @property
    def is_rejected(self) -> bool:
        """One rejected item is enough where the job is to die of it."""
        return self.asked.rejected == "dies" and any(not verdict.is_accepted for verdict in self.verdicts)

    @property
    def is_over(self) -> bool:
        return self.is_rejected or not self.open_items


def rejection_words(verdicts: tuple[ItemVerdict, ...]) -> str:
    """«by ann: too dark (item 2)», of the first that was rejected."""
    first = next((verdict for verdict in verdicts if not verdict.is_accepted), None)
    if first is None:
        return "by nobody"
    note = f": {first.note}" if first.note else ""
    return f"by {first.who}{note}" + (f" (item {first.item})" if len(verdicts) > 1 or first.item > 1 else "")
